"""Memory comes back after a peak, whatever it was that needed it, and again the next time."""

import asyncio
import time

from proxy.build_info import build
from tests.load.peaks import LEFT, PEAKS, at_rest
from tests.load.server import Server
from tests.load.standing import memory, standing
from tests.proxy_process import EDGES

PATIENCE = 25.0


async def peak_after_peak(edge):
    """What each needed, and whether it was waited for in vain until it came back."""
    async with Server() as server, standing(server.target, edge, build().hot_path) as proxy:
        before = await at_rest(proxy)
        grown = {}
        for name, peak in PEAKS.items():
            grown[name] = await peak(proxy, server) - before
            until = time.monotonic() + PATIENCE
            while (left := memory(proxy.process.pid).resident - before) > LEFT:
                assert time.monotonic() < until, f"{edge}: {left >> 20} MiB are left of {name}"
                await asyncio.sleep(0.2)
        return grown


async def test_memory_comes_back_after_a_peak():
    for grown in await asyncio.gather(*map(peak_after_peak, EDGES)):  # at a time: most of it is waiting
        assert max(grown.values()) > 3 * LEFT
