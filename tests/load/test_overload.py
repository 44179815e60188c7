"""Three times as many calls as the server can answer: each gets an answer or a refusal, and the proxy's own services too.

How fast it all is, is for `make trust`.
"""

import asyncio

from proxy.build_info import build
from tests.load.overload import MEMORY, shown
from tests.proxy_process import EDGES

LIMIT = "--max-model-calls 16"


async def test_under_overload_every_call_is_answered_or_refused_and_probes_are_answered():
    those = [shown(edge, build().hot_path, LIMIT, 1.5, warm_up=0.0) for edge in EDGES]
    for found in await asyncio.gather(*those):
        load, watched = found.load, found.watched
        assert load.unexpected == {}
        assert set(load.took) <= {0, 4, 8}
        assert sum(map(len, load.took.values())) == load.offered
        assert load.took[0]
        assert load.took[8]
        assert watched.failed == []
        assert watched.admin
        assert watched.health
        assert watched.most - found.before < MEMORY
        assert found.again > 0
