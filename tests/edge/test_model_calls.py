"""--max-model-calls: one model's calls leave room for those of others, with either edge."""

import asyncio

import grpc
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.verdict import Verdict
from proxy.edge.model_calls import ModelCalls, is_confirmed
from tests.edge.conftest import PREDICT, ask, judged, predict


def verdict(model="m", version=1):
    return Verdict(model=model, version=version)


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_no_model_has_more_than_its_limit_and_what_has_none_is_not_remembered(most, steps):
    own = {"a": 1, "b": -1}
    calls, under_way = ModelCalls(most, own), dict.fromkeys("abc", 0)
    for model, comes in steps:
        limit = {"a": 1, "b": 10**9, "c": most}[model]
        if comes:
            full = calls.enter(verdict(model))
            assert (full is not None) == (under_way[model] >= limit)
            under_way[model] += full is None
        elif under_way[model]:
            calls.leave(model)
            under_way[model] -= 1
        assert calls._calls == {name: count for name, count in under_way.items() if count}


def test_only_what_the_server_has_confirmed_counts():
    assert is_confirmed(verdict())
    assert not is_confirmed(verdict(version=None))
    assert not is_confirmed(Verdict())
    assert not is_confirmed(None)


async def test_beyond_its_limit_a_call_is_refused_at_once_and_other_models_go_on(
    serving, start_proxy, connect, tmp_path
):
    """…a limit of its own goes before that of all; when a call ends the next one is taken."""
    serving.load("few")
    serving.load("other")
    file = tmp_path / "settings.yaml"
    file.write_text("models: {few: {max_calls: 1}}\nmax_model_calls: 2\n")
    proxy = await start_proxy("--config", str(file))
    channel = connect(proxy)
    await judged(proxy, channel)
    for model in ("few", "other"):
        assert (await ask(channel, PREDICT, predict(model))).code is grpc.StatusCode.OK
    for model, most in (("few", 1), ("m", 2)):
        with serving.hold("Predict") as hold:
            held = [asyncio.create_task(ask(channel, PREDICT, predict(model))) for _ in range(most)]
            await hold.arrived(most)
            refused = await ask(channel, PREDICT, predict(model))
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert f"at most {most} calls at a time of model '{model}'" in refused.details
            assert refused.retry_seconds == 1
            wrong = await ask(channel, PREDICT, predict(model, shape=(3,)))
            assert wrong.reason == "RANK_MISMATCH", "what is refused anyway is told why"
            other = asyncio.create_task(ask(channel, PREDICT, predict("other")))
            await hold.arrived()
            hold.release()
            assert {(await each).code for each in (*held, other)} == {grpc.StatusCode.OK}
        assert (await ask(channel, PREDICT, predict(model))).code is grpc.StatusCode.OK


async def test_calls_that_are_given_up_are_no_longer_counted(serving, start_proxy, connect):
    proxy = await start_proxy("--max-model-calls", "1")
    channel = connect(proxy)
    await judged(proxy, channel)
    assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    for _ in range(3):
        with serving.hold("Predict") as hold:
            given_up = channel.unary_unary(PREDICT)(predict())
            await hold.arrived()
            given_up.cancel()
        async with asyncio.timeout(10):
            while (await ask(channel, PREDICT, predict())).code is not grpc.StatusCode.OK:
                pass
