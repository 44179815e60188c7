"""The fast part of `python -m tests.differential`: another thousand seeds than the long one begins with."""

import asyncio

import pytest

from tests.differential.__main__ import running_routes
from tests.differential.planned import planned
from tests.differential.serving import Serving


async def test_a_thousand_calls_look_the_same_to_both_ends_over_every_route():
    wrong, ended = [], set()
    async with running_routes() as (names, routes):
        assert {"direct", "grpcio edge", "native edge"} <= set(names)
        for first in range(1_000_000, 1_001_000, 20):
            for how, differences in await asyncio.gather(*map(routes.compare, range(first, first + 20))):
                ended.add(how)
                wrong += differences
    assert not wrong
    assert ended == {"admitted", "refused", "slow"}


async def test_a_server_that_answers_otherwise_over_one_route_is_found(monkeypatch: pytest.MonkeyPatch):
    async def answer_otherwise(self, method, requests, context):
        if ("x-route", "native edge") in context.invocation_metadata():
            context.set_trailing_metadata((("x-other", "1"),))
        yield b""

    monkeypatch.setattr(Serving, "_answer", answer_otherwise)
    async with running_routes() as (_, routes):
        found = [await routes.compare(seed) for seed in range(40)]
    assert any("x-other" in line for _, differences in found for line in differences)


def test_a_seed_makes_the_same_call_again_and_others_make_others():
    first = [planned(seed) for seed in range(300)]
    planned.cache_clear()
    assert [planned(seed) for seed in range(300)] == first
    assert len({call.messages for call in first}) > 250
