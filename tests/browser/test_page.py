"""The page in a real browser, before a proxy whose clients make mistakes: what a person sees, by mouse and by keyboard."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from tests.browser.chromium import Chromium, Tab, found
from tests.browser.scene import NO_BATCH, Clients, everything, request, scene
from tests.proxy_process import ProxyProcess

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(found() is None, reason="there is no Chromium (Debian: chromium)"),
]

VIEWS = (
    "/",
    "/problems",
    "/models",
    "/models/classifier",
    "/try",
    "/suspects",
    "/captures",
    "/settings",
    "/reasons/RANK_MISMATCH",
)
TAB = ("Tab", 9)
ENTER = ("Enter", 13, "\r")


@dataclass
class Stage:
    """A proxy under traffic and a browser."""

    browser: Chromium
    proxy: ProxyProcess
    clients: Clients
    problem: str

    def at(self, path: str) -> str:
        return f"http://{self.proxy.admin}{path}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with scene("--try-send") as (proxy, clients, _), Chromium() as browser:
        await everything(clients)
        async with aiohttp.ClientSession() as session:
            asked = await session.get(f"http://{proxy.admin}/api/problems?reason=RANK_MISMATCH")
            problem = (await asked.json())["problems"][0]["id"]
        yield Stage(browser, proxy, clients, problem)


@pytest_asyncio.fixture(loop_scope="module")
async def tab(stage: Stage) -> AsyncIterator[Tab]:
    async with stage.browser.tab() as tab:
        await tab.look(1440, "light")
        yield tab
        assert tab.complaints == []
        assert [each for each in tab.requested if not each.startswith((stage.at("/"), "about:"))] == []


async def test_a_newcomers_mistake_appears_without_a_reload(stage, tab):
    await tab.open(stage.at("/problems"))
    await tab.run("window.here = true")
    await stage.clients.send(request("classifier", imagess=(1, (1, 3), 12)), client=1)
    await tab.until("document.querySelector('#list').innerText.includes('imagess')")
    assert await tab.run("window.here"), "it was loaded anew"


async def test_the_newest_problem_stands_first_on_the_overview(stage, tab):
    await tab.open(stage.at("/"))
    await stage.clients.send(NO_BATCH, client=1)
    await tab.until("document.querySelector('#worst tbody tr').innerText.includes('RANK_MISMATCH')")


async def test_what_is_open_chosen_and_focused_stays_while_the_page_follows(stage, tab):
    await tab.open(stage.at(f"/problems/{stage.problem}"))
    await tab.run("document.querySelector('#top a').focus()")
    await tab.click("label[for=lang-3]")
    await tab.click("#senders h2")
    await tab.run("document.querySelector('#top a').focus()")
    before = await tab.run("document.querySelector('#seen-title').textContent")
    await stage.clients.send(NO_BATCH, client=1)
    await tab.until(f"document.querySelector('#seen-title').textContent !== {json.dumps(before)}")
    assert await tab.run("document.activeElement.getAttribute('href')") == "/problems"
    assert await tab.run("document.querySelector('#lang-3').checked")


async def test_the_open_example_stays_the_only_one_while_new_ones_come(stage, tab):
    await tab.open(stage.at(f"/problems/{stage.problem}"))
    open_ones = "[...document.querySelectorAll('#examples details[open]')].map((each) => each.id)"
    before = await tab.run(open_ones)
    newest = "document.querySelector('#examples details').id"
    first = await tab.run(newest)
    await stage.clients.send(NO_BATCH, client=1)
    await tab.until(f"{newest} !== {json.dumps(first)}")
    assert await tab.run(open_ones) == before


async def test_filters_work(stage, tab):
    await tab.open(stage.at("/problems"))
    await tab.run("document.querySelector('#reason').value = 'RANK_MISMATCH'")
    async with tab.expecting("Page.loadEventFired"):
        await tab.click("form[role=search] button")
    assert "reason=RANK_MISMATCH" in await tab.run("location.search")
    shown = await tab.run(
        "[...document.querySelectorAll('#list tbody .main')].map((each) => each.textContent)"
    )
    assert set(shown) == {"RANK_MISMATCH"}
    assert await tab.run("document.querySelector('#reason').value") == "RANK_MISMATCH"


async def test_tabs_show_one_language_each_and_a_button_copies_it(stage, tab):
    await tab.open(stage.at(f"/problems/{stage.problem}"))
    await tab.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    visible = "[...document.querySelectorAll('.panel')].filter((each) => each.offsetParent).map((each) => each.innerText)"
    for place, word in ((1, "import tensorflow"), (3, "grpcurl"), (5, "package main"), (6, "class ")):
        await tab.click(f"label[for=lang-{place}]")
        (text,) = await tab.run(visible)
        assert word in text
    await tab.click("#lang-6:checked + label + .panel button")
    await tab.until("document.querySelector('#lang-6 + label + .panel button').textContent === 'Copied'")


async def test_the_keyboard_alone_is_enough(stage, tab):
    await tab.open(stage.at("/"))
    await tab.press(*TAB)
    assert await tab.run("document.activeElement.className") == "skip"
    box = await tab.run("JSON.stringify(document.activeElement.getBoundingClientRect())")
    assert json.loads(box)["x"] >= 0, "the skip link shows when it has the focus"
    await tab.press(*ENTER)
    await tab.until("document.activeElement.id === 'main'")
    for _ in range(30):
        await tab.press(*TAB)
        outline = await tab.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", await tab.run("document.activeElement.outerHTML")
        if await tab.run("document.activeElement.classList.contains('main')"):
            break
    async with tab.expecting("Page.loadEventFired"):
        await tab.press(*ENTER)
    assert await tab.run("location.pathname.startsWith('/problems/')")
    for _ in range(40):
        await tab.press(*TAB)
        if await tab.run("document.activeElement.type === 'radio'"):
            break
    await tab.press("ArrowRight", 39)
    assert await tab.run("document.querySelector('#lang-2').checked")
    assert "grpcio" in await tab.run("document.querySelector('#lang-2 + label + .panel').innerText")


async def test_a_request_is_made_judged_mended_and_sent(stage, tab):
    await tab.open(stage.at("/try?model=text"))
    await tab.run(
        "(() => { const all = [...document.querySelectorAll('textarea')];"
        " all[0].value = all[0].value.replace('DT_INT32', 'DT_INT64').replace('intVal', 'int64Val') })()"
    )
    async with tab.expecting("Page.loadEventFired"):
        await tab.click("button[value=judge]")
    assert "DTYPE_MISMATCH" in await tab.run("document.querySelector('#verdict').innerText")
    await tab.run(
        "(() => { const all = [...document.querySelectorAll('textarea')];"
        " all[0].value = all[0].value.replace('DT_INT64', 'DT_INT32').replace('int64Val', 'intVal') })()"
    )
    async with tab.expecting("Page.loadEventFired"):
        await tab.click("button[value=send]")
    verdict = await tab.run("document.querySelector('#verdict').innerText")
    assert "Accepted" in verdict
    assert "server's answer" in verdict
    asked = await tab.run("fetch('/api/problems?reason=DTYPE_MISMATCH').then((answer) => answer.json())")
    assert {each["field"] for each in asked["problems"]} == {'inputs["ids"].dtype'}
    assert sum(each["count"] for each in asked["problems"]) == 2, "what is tried is not counted"


@pytest.mark.parametrize("width", [375, 768, 1440])
async def test_nothing_has_to_be_scrolled_sideways(stage, tab, width):
    for scheme in ("light", "dark"):
        await tab.look(width, scheme)
        for view in (*VIEWS, f"/problems/{stage.problem}"):
            await tab.open(stage.at(view))
            over = await tab.run(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert over <= 0, view
            assert await tab.run(
                "[...document.querySelectorAll('.rows td')].filter((each) => each.offsetWidth)"
                ".every((each) => each.offsetWidth >= 32)"
            ), f"{view}: a column so narrow that its words stand on end"


async def test_on_a_phone_the_four_axes_of_a_picture_are_in_sight(stage, tab):
    await tab.look(375, "light")
    await tab.open(stage.at(f"/problems/{stage.problem}"))
    assert await tab.run("document.querySelectorAll('.axes thead th').length") == 5
    right, room = await tab.run(
        "(() => { const table = document.querySelector('.axes');"
        " return [table.getBoundingClientRect().right, table.parentElement.getBoundingClientRect().right] })()"
    )
    assert right <= room + 1


async def test_on_a_phone_the_name_of_the_view_is_in_sight(stage, tab):
    await tab.look(375, "light")
    await tab.open(stage.at("/settings"))
    right, room = await tab.run(
        "[document.querySelector('nav [aria-current]').getBoundingClientRect().right, innerWidth]"
    )
    assert right <= room


async def test_without_scripts_everything_is_there(stage):
    async with stage.browser.tab(scripts=False) as tab:
        await tab.look(1440, "light")
        for view in (*VIEWS, f"/problems/{stage.problem}"):
            await tab.open(stage.at(view))
        document = (await tab.send("DOM.getDocument"))["root"]["nodeId"]
        for selector in (".tabs > input:checked + label + .panel", "#senders", "#examples"):
            node = await tab.send("DOM.querySelector", nodeId=document, selector=selector)
            assert (await tab.send("DOM.getBoxModel", nodeId=node["nodeId"]))["model"]["height"] > 0
        assert tab.complaints == []


async def test_dark_is_dark(stage, tab):
    grounds = []
    for scheme in ("light", "dark"):
        await tab.look(768, scheme)
        await tab.open(stage.at("/"))
        grounds.append(await tab.run("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(245, 246, 248)", "rgb(15, 19, 24)"]


async def test_many_viewers_do_not_lock_out_each_other(stage, tab):
    """Beyond the bound of streams a page looks by the clock, and says nothing of it to anybody."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        streams = [await session.get(stage.at("/api/events")) for _ in range(8)]
        try:
            assert {each.status for each in streams} <= {200, 503}
            await tab.open(stage.at("/problems"))
            await stage.clients.send(request("classifier", picture=(1, (1, 3), 12)), client=1)
            await tab.until("document.querySelector('#list').innerText.includes('picture')")
        finally:
            for each in streams:
                each.close()
    # The refusal of a stream is shown by the browser itself.
    tab.complaints[:] = [each for each in tab.complaints if "/api/events" not in each]
