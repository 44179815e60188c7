"""The network between proxy and server, in a namespace of its own: packets are lost, late, doubled, spoilt, out of order.

Law: what TCP mends nobody sees but in time; a cable that is cut costs each call its deadline, until the kernel gives the
connection up.
"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.conftest import EXPLORE
from tests.faults.cable import CLEAR, CUT, Cable, NoNetworkError, Weather
from tests.faults.conftest import OddServer, prepared
from tests.faults.ground import Ground, marked, tell
from tests.safety.clients import BAD, channel_to

RESET, UNREACHABLE = "UPSTREAM_RESET", "UPSTREAM_UNREACHABLE"
PATIENCE = 60.0
GIVEN_UP = 45.0
"""TCP_USER_TIMEOUT is 30 s with the native edge, 20 s with gRPC's core."""

WEATHERS = {
    "that-loses-a-tenth": Weather(loss=0.1),
    "that-is-slow-and-out-of-order": Weather(delay=0.02, jitter=0.03),
    "that-doubles-a-fifth": Weather(doubled=0.2),
    "that-spoils-a-twentieth": Weather(corrupted=0.05),
    "that-carries-32-kib-a-second": Weather(rate=32 * 1024),
    "that-does-all-of-it": Weather(0.03, 0.01, 0.02, 0.05, 0.02, 256 * 1024),
}
IN_SHORT = ("that-does-all-of-it",)


@pytest.fixture(scope="session")
def cable() -> Iterator[Cable]:
    try:
        cable = Cable().__enter__()
    except NoNetworkError as error:
        pytest.skip(f"no network namespaces for us on this machine: {error}")
    try:
        yield cable
    finally:
        cable.__exit__()


@pytest.fixture(scope="session")
def far(cable: Cable, edge: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A ground whose server is at the other end of the cable."""
    folder = tmp_path_factory.mktemp("far")
    with (
        OddServer(host=cable.there, before=cable.inside()) as server,
        prepared(edge, server, folder) as ground,
    ):
        yield ground


@pytest.fixture(autouse=True)
def clear(cable: Cable) -> Iterator[None]:
    yield
    cable.weather = CLEAR


@pytest.mark.parametrize("name", WEATHERS if EXPLORE else IN_SHORT)
async def test_a_network(far: Ground, cable: Cable, name: str):
    before = await far.settled()
    with far.server.spared():
        async with far.standing_by(many=4) as bystanders:
            carried = cable.carried
            cable.weather = WEATHERS[name]
            await bystanders.served_again(30, PATIENCE)
            assert cable.carried > carried + 30
            cable.weather = CLEAR
            await bystanders.served_again(8, PATIENCE)
        assert bystanders.answers.keys() == {("OK", "")}, bystanders.texts[:3]
        assert bystanders.longest < PATIENCE / 2
        await far.comes_to_rest(before)


async def test_a_cable_that_is_cut_for_a_moment(far: Ground, cable: Cable):
    before = await far.settled()
    with far.server.spared():
        async with far.standing_by() as bystanders, channel_to(far.proxy.target) as channel:
            cable.weather = CUT
            told = await tell(channel, marked(b"of this call"), timeout=1.0)
            assert told.code == "DEADLINE_EXCEEDED", told
            assert told.seconds < 2.0, told
            told = await tell(channel, BAD, timeout=20)
            assert (told.code, told.reason) == ("UNAVAILABLE", "SIGNATURE_UNCONFIRMED"), told
            assert told.seconds < 4.0, told
            cable.weather = CLEAR
            await bystanders.served_again()
        assert bystanders.answers.keys() == {("OK", "")}, bystanders.texts[:3]
        await far.comes_to_rest(before)


@pytest.mark.skipif(not EXPLORE, reason="half a minute until the kernel gives up: make trust")
async def test_a_cable_that_is_cut_for_good(far: Ground, cable: Cable):
    """Without a FIN or a RST: the connection is given up in bounded time, and the page says so until it is mended."""
    allowed = {("UNAVAILABLE", RESET), ("UNAVAILABLE", UNREACHABLE), ("DEADLINE_EXCEEDED", "")}
    async with (
        far.disturbed(allowed, longest=GIVEN_UP) as bystanders,
        channel_to(far.proxy.target) as channel,
    ):
        cut = time.monotonic()
        cable.weather = CUT
        while (told := await tell(channel, marked(b"of this call"), timeout=2.0)).code != "UNAVAILABLE":
            assert told.code == "DEADLINE_EXCEEDED", told
            assert time.monotonic() - cut < GIVEN_UP, told
        assert told.reason in {RESET, UNREACHABLE}, told
        await far.says("unreachable")
        assert (await asyncio.to_thread(far.upstream)) == "down"
        cable.weather = CLEAR
        await bystanders.served_again()
        assert (await asyncio.to_thread(far.upstream)) == "up"
