"""The gate on the 132 recorded requests, against the signatures of the models they were sent to."""

import pytest

from proxy.core.availability import Absence, VersionStatus
from proxy.core.policy import Policies
from proxy.gate import PREDICT, Gate, Message, Refuse
from proxy.wire.metadata import servable_of_saved_model
from tests.truth.rows import IDS, ROWS, request_of

LOADED = {"multi": (1, 3)}


# What is wrong besides the reason expected.
ALSO_WRONG = {
    "two: inputs swapped (dtype crossed)": {"RANK_MISMATCH"},
    "ssd: DT_INVALID empty TensorProto()": {"RANK_MISMATCH"},
}
# Where the proxy says what the server only seems to say.
OTHER_CODE = {
    'twosig_def: "__saved_model_init_op"': "FAILED_PRECONDITION",
    'nosuch: version_label "stable"': "NOT_FOUND",
}


class OnDisk:
    """The signatures of `models_dir` as the recorded server served them: no labels, `multi` in two versions."""

    def __init__(self, models_dir):
        self.models_dir = models_dir

    def peek(self, key):
        versions = LOADED.get(key.model, (1,))
        version = key.version if key.version is not None else max(versions)
        if key.label is not None or version not in versions or not (self.models_dir / key.model).exists():
            return None
        return servable_of_saved_model(self.models_dir / key.model / str(version), key.model)

    async def lookup(self, key, timeout, client):
        if not (self.models_dir / key.model).exists():
            return Absence(key)
        return Absence(key, tuple(VersionStatus(each, "AVAILABLE") for each in LOADED.get(key.model, (1,))))

    async def recheck(self, key, seen, timeout, arrived, client):
        return seen


@pytest.mark.parametrize("row", ROWS, ids=IDS)
async def test_the_verdict_on_a_recorded_request_is_the_expected_one(row, models_dir):
    decision = await Gate(OnDisk(models_dir), Policies()).judge(Message(PREDICT, request_of(row)))
    expect = row["expect"]
    if expect["verdict"] == "either":
        return
    if expect["verdict"] == "forward":
        assert not isinstance(decision, Refuse)
        warned = [each.reason for each in decision.verdict.warnings]
        assert warned == ([expect["warn"]] if "warn" in expect else [])
        return
    assert isinstance(decision, Refuse)
    reasons = {each.reason for each in decision.verdict.violations}
    wanted = [set(each.split("|")) for each in expect["reasons"]]
    assert all(reasons & each for each in wanted)
    assert reasons <= set().union(*wanted, ALSO_WRONG.get(row["label"], ()))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
async def test_a_refusal_has_the_code_of_the_recorded_one(row, models_dir):
    decision = await Gate(OnDisk(models_dir), Policies()).judge(Message(PREDICT, request_of(row)))
    if isinstance(decision, Refuse) and row["code"] != "OK":
        assert decision.verdict.status_code.name == OTHER_CODE.get(row["label"], row["code"])
