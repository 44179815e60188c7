"""Three readers of a PredictRequest, which must be one: the scanner, the reader by hand, and protobuf itself."""

from proxy.wire.request import parse_predict
from proxy.wire.unusual import read_predict
from tests.fuzz.messages import requests as seeds  # noqa: F401
from tests.property.test_scanner import expected_of, outcome


def check(data: bytes) -> None:
    expected = expected_of(data)
    assert outcome(read_predict, data) == expected
    assert outcome(parse_predict, data) == expected
