"""The page of a live proxy, of each edge and of several workers: what clients send shows up, and nothing of it is markup."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from tests.browser.scene import NO_BATCH, Clients, everything, request, scene
from tests.observe.admin.pages.test_page import EVIL, OWN, Page, crawl, form
from tests.proxy_process import EDGES, ProxyProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATIONS = {**EDGES, "workers": ("--workers", "2")}


@dataclass
class Live:
    proxy: ProxyProcess
    clients: Clients
    port: aiohttp.ClientSession


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=STATIONS)
async def live(request: pytest.FixtureRequest) -> AsyncIterator[Live]:
    async with scene("--try-send", *STATIONS[request.param]) as (proxy, clients, _):
        await everything(clients)
        async with aiohttp.ClientSession(f"http://{proxy.admin}") as port:
            yield Live(proxy, clients, port)


async def test_every_link_leads_somewhere_and_nothing_that_was_sent_is_markup(live):
    await live.clients.send(request(EVIL, EVIL, **{EVIL: (1, (1, 3), 12)}))
    await live.clients.send(request("classifier", EVIL, **{EVIL: (1, (1, 3), 12)}))
    await live.clients.send(request("classifier", **{EVIL: (1, (1, 3), 12)}))
    found = await crawl(live.port)
    html = {path: text for path, text in found.items() if text.startswith("<!doctype html>")}
    assert len([path for path in html if path.startswith("/problems/")]) >= 7
    for path, text in html.items():
        assert "<script>" not in text, path
        assert "<img" not in text, path
    assert "&lt;script&gt;" in html["/problems"]


async def test_a_request_is_tried_by_the_live_signature_and_sent(live):
    async with live.port.post(
        "/try", data=form(r_pb=NO_BATCH.SerializeToString(), do="send"), headers=OWN
    ) as answer:
        text = await answer.text()
    assert Page(text).faults == []
    assert "RANK_MISMATCH" in text
    assert "∅ missing" in text
    assert "server&#39;s answer" not in text
    fitting = request("text", ids=(3, (1, 128), 512), mask=(3, (1, 128), 512)).SerializeToString()
    async with live.port.post("/try", data=form(r_pb=fitting, do="send"), headers=OWN) as answer:
        text = await answer.text()
    assert "Accepted" in text
    assert "The server's answer" in text


async def test_what_is_tried_is_neither_counted_nor_logged(live):
    async def count() -> int:
        async with live.port.get("/api/status") as answer:
            return (await answer.json())["counts"]["requests"]

    before = await count()
    lines = len(live.proxy.log)
    await live.port.post("/try", data=form(r_pb=NO_BATCH.SerializeToString(), do="judge"), headers=OWN)
    assert await count() == before
    assert len(live.proxy.log) == lines
