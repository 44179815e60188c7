"""The server answers for its models, and not for their metadata: late, never, wrongly, or with something else.

Law: what is known stays known. Requests that fit the last known signature flow; what contradicts it, and what was never
known, waits a bounded time and is told to come again. Unjudged passes only what the server itself keeps unknown.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.wire.protos import get_model_metadata_pb2
from tests.conftest import EXPLORE
from tests.edge.conftest import predict
from tests.fake_serving import DT_FLOAT, signature_def
from tests.faults.ground import MIB, Ground, tell
from tests.safety.clients import BAD, channel_to

METHOD = "GetModelMetadata"
INPUTS = {"x": (DT_FLOAT, (-1, 3))}
OK = "OK", ""
NEVER_KNOWN = "UNAVAILABLE", "SIGNATURE_UNAVAILABLE"
NOT_CONFIRMED = "UNAVAILABLE", "SIGNATURE_UNCONFIRMED"
WRONG = "INVALID_ARGUMENT", "RANK_MISMATCH"
LONGEST = 4.0


def _metadata(of: str = "m", *, entry: str = "signature_def", **packed: Any) -> str:
    """The answer for a model with another signature, in hexadecimal."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = of
    response.model_spec.version.value = 1
    other = signature_def({"z": (DT_FLOAT, (-1, 7))})
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def={"serving_default": other})
    response.metadata[entry].Pack(signatures)
    for name, value in packed.items():
        setattr(response.metadata[entry], name, value)
    return response.SerializeToString().hex()


@dataclass(frozen=True)
class Wrong:
    """What is ordered of the server, and what a request that fits a model never known is told.

    `unjudged`: of that model, what does not fit is passed on too.
    """

    order: dict[str, Any]
    never_known: tuple[str, str] = OK
    result: str = "error"
    unjudged: bool = False
    growth: int = field(default=24 * MIB)


def _answers(octets: str, times: int = 1, **more: Any) -> Wrong:
    return Wrong({"do": "answer", "octets": octets, "times": times}, unjudged=True, **more)


MATRIX = {
    "slow": Wrong({"do": "delay", "seconds": 0.4}, result="ok"),
    "hanging": Wrong({"do": "hold"}, NEVER_KNOWN, result="ok"),
    "failing": Wrong({"do": "fail", "code": "INTERNAL"}, NEVER_KNOWN),
    "gone": Wrong({"do": "fail", "code": "UNIMPLEMENTED"}, unjudged=True),
    "empty": _answers(""),
    "without-signatures": _answers(_metadata(entry="other")),
    "of-another-model": _answers(_metadata("another")),
    "garbage": _answers("ff" * 50),
    "garbage-in-its-any": _answers(_metadata(value=b"\xff" * 40)),
    "another-type-in-its-any": _answers(_metadata(type_url="type.googleapis.com/some.Other")),
    "huge": _answers("f2070a" + "00" * 10, 2 * MIB, growth=96 * MIB),
}


IN_SHORT = "slow", "hanging", "gone", "of-another-model", "garbage-in-its-any"


@pytest.mark.parametrize("name", MATRIX if EXPLORE else IN_SHORT)
async def test_metadata_that_is(ground: Ground, name: str):
    fault, server = MATRIX[name], ground.server
    model = f"never-known-{ground.edge}-{name}"
    server.load(model, INPUTS)
    fetches, forwarded = await asyncio.to_thread(_counts, ground, fault.result)
    async with ground.undisturbed(fault.growth), channel_to(ground.proxy.target) as channel:
        server.order(method=METHOD, **fault.order)
        try:
            fresh, known = await asyncio.gather(tell(channel, predict(model)), tell(channel, BAD))
            assert (fresh.code, fresh.reason) == fault.never_known, fresh
            # Within a second of the last confirmation nobody asks again.
            assert (known.code, known.reason) in {WRONG, NOT_CONFIRMED}, known
            assert max(fresh.seconds, known.seconds) < LONGEST, (fresh, known)
        finally:
            server.order("release")
            server.order("mend", method=METHOD)
        async with asyncio.timeout(10):
            while (now := await asyncio.to_thread(_counts, ground, fault.result))[0] == fetches:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (now[1] > forwarded) == fault.unjudged
        for told in (fresh, known):
            assert not told.reason or told.reason in ground.problems()
        async with asyncio.timeout(10):
            while (await tell(channel, predict(model, (3,)))).reason != "RANK_MISMATCH":
                server.order("under_way")
                server.ran.clear()  # as long as nothing is known
            while (await tell(channel, BAD)).reason != "RANK_MISMATCH":
                pass
        assert (await tell(channel, predict(model))).code == "OK"
    await asyncio.to_thread(server.unload, model)


def _counts(ground: Ground, result: str) -> tuple[float, float]:
    return (
        ground.count("tfs_proxy_signature_fetches_total", result=result),
        ground.count("tfs_proxy_judge_failures_total"),
    )
