"""What comes first (RFC 9113 §3.4), and what those are told who begin otherwise."""

import pytest

from proxy.edge.native.http2 import frames as f
from tests.edge.native.http2.conftest import ends_with


def test_a_server_greets_with_its_settings_once_the_preface_is_there(server):
    (name, values), *rest = server.greeting
    assert name == "SETTINGS"
    assert values == {
        f.INITIAL_WINDOW_SIZE: 1 << 20,
        f.MAX_HEADER_LIST_SIZE: 65_536,
        f.MAX_CONCURRENT_STREAMS: 1024,
    }
    assert rest == [("WINDOW_UPDATE", 0, (8 << 20) - 65_535), ("SETTINGS", "ack")]


def test_a_client_greets_first_and_forbids_push(client):
    assert client.greeting[0][1][f.ENABLE_PUSH] == 0


@pytest.mark.parametrize(
    "octets", [b"INVALID CONNECTION PREFACE\r\n\r\n", f.PREFACE[:-1] + b"X", b"\x16\x03\x01"]
)
def test_a_wrong_preface_ends_the_connection(converse, octets):
    server = converse()
    fresh = type(server.connection)(server, server.connection.limits, server=True)
    server.connection = fresh
    server.hears(octets)
    assert server.says() == [("GOAWAY", 0, f.PROTOCOL_ERROR)]


def test_an_http_1_client_is_told_in_its_own_words(converse):
    server = converse()
    server.connection = type(server.connection)(server, server.connection.limits, server=True)
    server.hears(b"POST /v1/models/m:predict HTTP/1.1\r\n\r\n")
    answer = server.raw()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"gRPC" in answer
    assert server.connection.closed


@pytest.mark.parametrize("role", [True, False])
def test_the_first_frame_must_be_settings(converse, frame, role):
    fresh = converse(server=role)
    fresh.connection = type(fresh.connection)(fresh, fresh.connection.limits, server=role)
    fresh.hears(*([f.PREFACE] if role else []), frame(f.PING, 0, 0, bytes(8)))
    assert ends_with(fresh, f.PROTOCOL_ERROR)
