"""What the proxy says itself can be read: statuses, messages in percent-encoding, details, metadata, trailers.

The octets are cut into texts at each newline: the first four are those of a violation, the others of a verdict.
"""

from google.rpc import error_details_pb2, status_pb2
from hpack import Decoder

from proxy.core.explain import escape, quote
from proxy.core.reasons import Code, Reason
from proxy.core.verdict import Verdict, Violation
from proxy.edge.metadata import warnings
from proxy.edge.native.http2.fields import TRAILERS, examine
from proxy.edge.native.rpc import details_of, encode_message, message_of, status_block
from proxy.wire.status import DETAILS_BUDGET, TEXT_BUDGET, sentence_of, status_of
from tests.fuzz.texts import latin

_REASONS = sorted(Reason)


def seeds() -> list[bytes]:
    return [
        b"\x01inputs[\"x\"]\ninput 'x'\nfloat32[1]\nint32[1]\nm\nserving_default\nserving_default(x: float32[1]) -> y",
        "\x23größe\n漢字\n%00\r\x1b[31m\n'\\'\n\nx".encode(),
        b"\x05" + b"x" * 900 + b"\n" + b"\\" * 400,
    ]


def check(data: bytes) -> None:
    if not data:
        return
    texts = [line.decode("utf-8", "replace") for line in data[1:].split(b"\n")]
    texts += [""] * (8 - len(texts))
    reason = _REASONS[data[0] % len(_REASONS)]
    violation = Violation(reason, *texts[:5])
    version = int.from_bytes(texts[5].encode()[:7])
    count = 1 + data[0] % 3
    verdict = Verdict(
        (violation,) * count,
        (),
        texts[6],
        version,
        texts[7],
        texts[4],
        retry_seconds=1.5 if data[0] & 1 else None,
    )
    code, text, details = status_of(verdict)
    assert code == int(reason.about.code)
    assert 0 < len(text) <= TEXT_BUDGET
    assert latin(text)
    assert len(details) <= DETAILS_BUDGET
    assert latin(sentence_of(violation))
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (code, text)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == reason
    for told in (*texts, text):
        _check_message(told, code, details)
        assert latin(escape(told, 100))
        assert len(escape(told, 100)) <= 103
        assert latin(quote(told))
    for key, value in warnings((violation,) * 9):
        assert latin(value)
        assert len(key) + len(value) <= 600


def _check_message(text: str, code: Code, details: bytes) -> None:
    """gRPC's Percent-Encoded: printable ASCII, and the text again when it is read."""
    encoded = encode_message(text)
    assert latin(encoded.decode("ascii"))
    fields = tuple(Decoder(1 << 20).decode(status_block(code, text, details, alone=False), raw=True))
    block = examine(fields, TRAILERS)
    assert block.fault is None
    assert block.get(b"grpc-status") == b"%d" % code
    assert message_of(block) == text
    assert details_of(block) == details
