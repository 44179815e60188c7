"""What client code connects to, by where the proxy listens, what it asks, and whose names its certificate carries."""

import pytest

from proxy.client_code.server import Server
from proxy.observe.admin.pages.reaching import server_for
from proxy.observe.admin.status import Asks, Serving
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("127.0.0.1:8600", "127.0.0.1:8600"),
        ("tfs.example:8600", "tfs.example:8600"),
        ("0.0.0.0:8600", "here.example:8600"),
        ("[::]:8600", "here.example:8600"),
        ("[::1]:8600", "[::1]:8600"),
        ("unix:/run/tfs.sock", "unix:/run/tfs.sock"),
    ],
)
def test_the_address_stands_unless_nobody_can_call_it(listen, target):
    assert server_for(Serving(listen=listen), "here.example") == Server(target)


def test_what_is_asked_is_brought():
    server = server_for(Serving(listen="h:1", asks=Asks(token=True)), "h")
    assert server == Server("h:1", token=True)


@pytest.mark.parametrize(
    ("listen", "names", "target", "name"),
    [
        ("127.0.0.1:1", "IP:127.0.0.1", "127.0.0.1:1", None),
        ("[::1]:1", "IP:0:0:0:0:0:0:0:1", "[::1]:1", None),
        ("127.0.0.1:1", "DNS:tfs.example", "127.0.0.1:1", "tfs.example"),
        ("127.0.0.1:1", "DNS:*.example,DNS:two.example", "127.0.0.1:1", "two.example"),
        ("127.0.0.1:1", "DNS:*.example", "127.0.0.1:1", None),
        ("a.example:1", "DNS:*.example", "a.example:1", None),
        ("a.b.example:1", "DNS:*.example,DNS:x.example", "a.b.example:1", "x.example"),
        ("0.0.0.0:1", "DNS:tfs.example", "tfs.example:1", None),
        ("0.0.0.0:1", "DNS:tfs.example,DNS:here.example", "here.example:1", None),
        ("0.0.0.0:1", "DNS:tfs.example,DNS:HERE.example", "here.example:1", None),
        ("0.0.0.0:1", "DNS:*.example", "here.example:1", None),
        ("0.0.0.0:1", "", "here.example:1", None),
        ("unix:/run/tfs.sock", "DNS:tfs.example", "unix:/run/tfs.sock", None),
    ],
)
def test_the_host_is_one_that_the_certificate_carries_or_is_checked_by_one(
    authority, listen, names, target, name
):
    certificate = authority.sign("server", names)
    asks = Asks(certificate)
    assert server_for(Serving(listen=listen, asks=asks), "here.example") == Server(
        target, True, "ca.pem", name
    )


def test_a_certificate_of_the_client_is_a_file_beside_the_program(authority):
    asks = Asks(authority.sign("server", "DNS:h"), client_certificate=True, token=True)
    server = server_for(Serving(listen="h:1", asks=asks), "h")
    assert server == Server("h:1", True, "ca.pem", None, "client.pem", "client.key", True)


def test_a_certificate_that_has_gone_is_one_without_names(tmp_path):
    server = server_for(Serving(listen="0.0.0.0:1", asks=Asks(tmp_path / "gone.pem")), "here.example")
    assert server == Server("here.example:1", True, "ca.pem")
