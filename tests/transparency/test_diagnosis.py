"""With diagnosis on, an error keeps its code, and its text stays in front; nothing else changes."""

import grpc
import pytest

from tests.proxy_process import running_proxy
from tests.transparency.conftest import EDGES
from tests.transparency.scripted import Script, ask, channel_to
from tests.transparency.test_calls import ERRORS, PREDICT, every_method

TEXTS = ["", "Servable not found for request: Latest(m)", "Socket closed", "größer ≠ 大", "x" * 1024]


@pytest.fixture(scope="module", params=EDGES)
def explaining(request, server):
    with (
        running_proxy("--upstream", server.target, "--mode", "off", *EDGES[request.param]) as proxy,
        channel_to(proxy.target) as channel,
    ):
        yield channel


@every_method
@pytest.mark.parametrize("code", ERRORS, ids=lambda code: code.name)
def test_code_and_text_stay(server, explaining, method, kind, code):
    for text in TEXTS:
        server.script = Script(code=code, details=text, trailing=(("a", "1"), ("b-bin", b"\x00")))
        answer = ask(explaining, kind, method, (b"x",))
        assert answer.code is code
        assert answer.details.startswith(text)
        assert {("a", "1"), ("b-bin", b"\x00")} <= set(answer.trailing)


def test_details_that_cannot_be_read_stay_as_they_are(server, explaining):
    details = ("grpc-status-details-bin", b"\xff\xff")
    server.script = Script(
        code=grpc.StatusCode.INVALID_ARGUMENT, details="Missing ModelSpec", trailing=(details,)
    )
    answer = ask(explaining, "unary_unary", PREDICT, (b"x",))
    assert details in answer.trailing


def test_an_answer_without_an_error_gets_no_word(server, explaining):
    server.script = Script(messages=(b"y",), trailing=(("a", "1"),))
    answer = ask(explaining, "unary_unary", PREDICT, (b"x",))
    assert (answer.messages, answer.trailing, answer.details) == ([b"y"], (("a", "1"),), "")
