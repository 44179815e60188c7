"""Faults of an export are told as such: no request mends them."""

from proxy.core.reasons import Reason
from proxy.diagnosis import diagnose
from proxy.diagnosis.export_faults import EXPORT_FAULTS


def test_all_rows_blame_the_export_and_go_into_the_text():
    assert {row.diagnosis.reason for row in EXPORT_FAULTS} == {Reason.UPSTREAM_EXPORT_FAULT}
    assert all(row.diagnosis.append for row in EXPORT_FAULTS)


def test_rewording_around_a_fragment_does_no_harm():
    assert diagnose(9, "prefix: Table not initialized (suffix of another version)").failures == ("F57",)
