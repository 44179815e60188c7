"""The 132 recorded requests through the real proxy: refused for the right reasons, or answered as directly."""

import pytest

from tests.truth.rows import IDS, ROWS, request_of


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_recorded_request_meets_with_the_expected_verdict(row, direct, through):
    expect = row["expect"]
    message = request_of(row)
    answer = through.predict(message)

    if expect["verdict"] == "refuse" or (expect["verdict"] == "either" and answer.refused):
        assert answer.refused, answer
        reasons = answer.reasons | {answer.reason}
        for wanted in expect["reasons"]:
            assert reasons & set(wanted.split("|")), (wanted, answer)
        return
    assert not answer.refused, answer
    alone = direct.predict(message)
    assert (answer.code, answer.response) == (alone.code, alone.response)
    if expect["verdict"] == "forward":
        warned = [each.partition(":")[0] for each in answer.warnings]
        assert warned == ([expect["warn"]] if "warn" in expect else [])
