"""What values show, where a policy asks: of every tensor that the readers see and of no other, or the request is refused.

Where the readers see a request, the look at its values ends in facts or in MalformedRequestError, which the gate refuses.
"""

import math

from proxy.core.types import DTYPES
from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.request import parse_predict
from proxy.wire.values import value_facts
from tests.fuzz.messages import requests
from tests.judging import predict, tensor


def seeds() -> list[bytes]:
    odd = predict(
        nan=tensor("float32", (2,), float_val=[math.nan, 1.0]),
        bits=tensor("float16", (2,), half_val=[-1, 0x7C00]),
        brain=tensor("bfloat16", (1,), half_val=[-0x8000]),
        one=tensor("int8", (3,), int_val=[-5]),
        text=tensor("string", (1,), tensor_content=b"\x04abcd"),
    )
    return [*requests(), odd.SerializeToString(deterministic=True)]


def check(data: bytes) -> None:
    try:
        view = parse_predict(data)
    except (MalformedRequestError, TooComplexError):
        return
    try:
        facts = value_facts(data)
    except MalformedRequestError:
        return
    # In the order in which they stand there, which counts for nobody.
    seen = {each.alias: each for each in facts}
    assert seen.keys() == {each.alias for each in view.inputs if each.dtype in DTYPES}
    for each in facts:
        assert 0 <= each.images <= each.strings
        assert 0 <= each.examples <= each.strings
