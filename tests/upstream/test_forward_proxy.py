"""Which forward proxy counts, what it exempts, and that its credentials stay where they are needed."""

import base64

import pytest

from proxy.diagnosis.reach import ForwardProxy
from proxy.upstream.endpoints import Endpoint
from proxy.upstream.forward_proxy import Tunnel, forward_proxy, tunnel_to

TFS = Endpoint("tfs.example", 8500)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"http_proxy": "http://u:secret@p:3128"}, ForwardProxy("http_proxy", "p:3128")),
        ({"http_proxy": "http://u:1/secret@p:3128"}, None),
        ({"http_proxy": "http://u:1#secret@p:3128"}, None),
        ({"http_proxy": "http://u:1?secret@p:3128"}, None),
        ({"http_proxy": "u:secret@p:3128"}, None),
        ({"http_proxy": "http://[::1]:3128"}, ForwardProxy("http_proxy", "[::1]:3128")),
        ({"HTTP_PROXY": "http://p:3128"}, None),
        ({"grpc_proxy": "", "http_proxy": "http://p"}, None),
        ({"grpc_proxy": "http://g", "https_proxy": "http://h"}, ForwardProxy("grpc_proxy", "g")),
        ({"http_proxy": "socks5://p:1"}, None),
        ({"http_proxy": "http://p", "no_proxy": ".example"}, ForwardProxy("http_proxy", "p", "no_proxy")),
        (
            {"http_proxy": "http://p", "no_grpc_proxy": "x", "no_proxy": ".example"},
            ForwardProxy("http_proxy", "p"),
        ),
        ({"http_proxy": "http://p", "no_proxy": "10.0.0.0/8"}, ForwardProxy("http_proxy", "p")),
    ],
)
def test_the_forward_proxy_is_the_one_that_grpc_takes(environ, expected):
    assert forward_proxy(TFS, environ) == expected


def test_an_address_may_be_exempt_by_range_and_a_unix_socket_always_is():
    environ = {"http_proxy": "http://p", "no_proxy": "10.0.0.0/8"}
    assert forward_proxy(Endpoint("10.1.2.3", 8500), environ).bypass == "no_proxy"
    assert forward_proxy(Endpoint(path="/s"), environ) is None


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("http://p:3128", "p", 3128), ("http://p", "p", 443), ("http://u:s@[::1]:3128/", "::1", 3128)],
)
def test_a_tunnel_leads_through_the_forward_proxy_that_counts(url, host, port):
    tunnel = tunnel_to(TFS, {"grpc_proxy": url, "http_proxy": "http://other:1"})
    assert (tunnel.host, tunnel.port, tunnel.variable) == (host, port, "grpc_proxy")


@pytest.mark.parametrize(
    "environ", [{}, {"http_proxy": "http://p", "no_proxy": "example"}, {"http_proxy": ""}]
)
def test_there_is_no_tunnel_where_no_forward_proxy_applies(environ):
    assert tunnel_to(TFS, environ) is None


def test_a_unix_socket_is_never_reached_through_a_tunnel():
    assert tunnel_to(Endpoint(path="/s"), {"http_proxy": "http://p:1"}) is None


def test_credentials_are_decoded_for_the_proxy_and_shown_to_nobody():
    tunnel = tunnel_to(TFS, {"http_proxy": "http://me:pass%3Aword@p:3128"})
    assert tunnel.authorization == b"Basic " + base64.b64encode(b"me:pass:word")
    assert str(tunnel) == "the forward proxy p:3128 (http_proxy)"
    assert repr(tunnel) == repr(Tunnel("p", 3128, "http_proxy"))
