"""Bounds that HTTP/2 does not know are told to whoever sets them."""

import pytest

from proxy.edge.native.http2.limits import Limits


@pytest.mark.parametrize(
    "wrong",
    [{"stream_window": 1000}, {"connection_window": 2**31}, {"frame_size": 1000}, {"frame_size": 2**24}],
)
def test_limits_that_http_2_does_not_know_are_refused(wrong):
    with pytest.raises(ValueError, match=r"octets|frame_size"):
        Limits(**wrong)
