"""No request that is right for its signature is ever refused, whatever the dtype, the shape and the encoding."""

from hypothesis import given
from hypothesis import strategies as st

from tests.judging import verdict_on
from tests.property import wire
from tests.property.tensors import valid_requests


@given(
    valid_requests(), st.sampled_from((b"", wire.varint_field(2000, 1), wire.length_delimited(30, b"later")))
)
def test_no_valid_request_is_refused(case, unknown_field):
    servable, request = case
    verdict = verdict_on(request.SerializeToString() + unknown_field, servable)
    assert verdict.violations == ()
