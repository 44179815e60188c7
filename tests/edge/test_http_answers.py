"""An HTTP/2 server that is no gRPC server: a client of either edge is told so, in a status it can read."""

import asyncio
import contextlib

import grpc
import h2.events
import pytest

from tests.edge.conftest import PREDICT, ask, predict
from tests.edge.native.conftest import Frames
from tests.proxy_process import EDGES, running_proxy

PAGE = b"<html><head><title>nope</title></head></html>\r\n"


def answering(*fields, body=PAGE):
    """Answer every request with such a head and body."""

    def answer(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.send_headers(event.stream_id, fields, end_stream=not body)
            if body:
                peer.h2.send_data(event.stream_id, body, end_stream=True)
            peer.flush()

    return answer


@contextlib.asynccontextmanager
async def serving(on_event):
    frames = Frames(on_event)
    server = await asyncio.get_running_loop().create_server(frames, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for peer in frames.peers:
            peer.transport.abort()


@pytest.fixture(params=EDGES)
async def told(request, connect):
    """What a client is told by a proxy before a server that answers so, and the proxy's line of log for it."""

    async def told(on_event, *flags):
        async with serving(on_event) as target:
            running = running_proxy("--upstream", target, *EDGES[request.param], *flags)
            proxy = await asyncio.to_thread(running.__enter__)
            try:
                await asyncio.to_thread(proxy.wait_for, "upstream_up")
                answer = await ask(connect(proxy), PREDICT, predict())
                line = None if flags else await asyncio.to_thread(proxy.wait_for, "upstream_error")
                return answer, line
            finally:
                await asyncio.to_thread(running.__exit__, None, None, None)

    return told


@pytest.mark.parametrize(
    ("fields", "code", "reason", "words"),
    [
        (
            ((":status", "404"), ("content-type", "text/html"), ("server", "nginx")),
            "UNIMPLEMENTED",
            "UPSTREAM_NOT_GRPC",
            "does not route this host name or path",
        ),
        (((":status", "502"),), "UNAVAILABLE", "UPSTREAM_NOT_GRPC", "nginx: grpc_pass, not proxy_pass"),
        (((":status", "413"),), "UNKNOWN", "UPSTREAM_MESSAGE_TOO_LARGE", "client_max_body_size"),
        (
            ((":status", "200"), ("content-type", "application/json")),
            "UNKNOWN",
            "UPSTREAM_NOT_GRPC",
            "an HTTP server answered, not TF Serving",
        ),
        (((":status", "200"),), "UNKNOWN", "UPSTREAM_NOT_GRPC", "a front that drops the trailers"),
    ],
)
@pytest.mark.parametrize("body", [PAGE, b""], ids=["page", "empty"])
async def test_an_http_answer_becomes_a_status_that_says_so(told, fields, code, reason, words, body):
    answer, line = await told(answering(*fields, body=body))
    assert (answer.code.name, answer.reason, line["reason"]) == (code, reason, reason)
    assert words in answer.details
    assert "nope" not in answer.details


async def test_without_diagnosis_the_status_of_http_is_still_told(told):
    answer, _ = await told(answering((":status", "502")), "--no-diagnosis")
    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert "http2 header with status: 502" in answer.details
    assert "grpc_pass" not in answer.details
