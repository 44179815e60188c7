"""The page over HTTP: every view, with everything to show and with nothing, and whatever clients call things."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from aiohttp import web

from proxy.core.availability import VersionStatus
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, Servable, Signature, TensorSpec, TensorView
from proxy.core.verdict import Verdict, Violation
from proxy.observe.admin.access import AUTHORISED
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.status import Serving, Upstream
from proxy.observe.admin.views import Check, ModelListing, Setting, Sources
from proxy.observe.metrics import Metrics
from proxy.observe.problems import Problems
from proxy.observe.suspects import Suspects
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"
EVIL = "<script>alert('x')</script>\"&amp;'><img src=x onerror=alert(1)>"
VIEWS = ("/", "/problems", "/models", "/try", "/suspects", "/captures", "/settings")
VOID = {"meta", "link", "input", "br", "img", "hr"}
OWN = {"Sec-Fetch-Site": "same-origin"}


class Page(HTMLParser):
    """The tags of a page as written; `faults` is what is not well-formed, or comes from nobody of ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.scripts = 0
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is not closed" for tag in self._open]
        self.faults += [
            f"id {each} twice" for each in {each for each in self.ids if self.ids.count(each) > 1}
        ]
        self.faults += [
            f"{each} is referred to and not there" for each in self.refers if each not in self.ids
        ]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.scripts += tag == "script"
        self.ids += [given["id"]] if "id" in given else []
        for name in ("aria-labelledby", "aria-describedby", "for"):
            self.refers += (given.get(name) or "").split()
        self.links += [given[name] for name in ("href", "src") if given.get(name)]
        self.faults += [f"{name} in {tag}" for name in given if name.startswith("on") or name == "style"]
        if tag == "img":
            self.faults.append("an img")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes another")


class Shown:
    """A running admin port with a page; tests change what it shows."""

    def __init__(self) -> None:
        self.problems = Problems()
        self.suspects = Suspects()
        self.checks = [Check("upstream", ok=True)]
        self.models: list[ModelListing] = []
        self.tried: list[tuple[bytes, bool]] = []
        self.answer: dict[str, Any] | None = None
        self.levels: list[str] = []
        self.try_send = False
        self.listens = "127.0.0.1:8600"
        self.base = ""

    def sources(self) -> Sources:
        async def attempt(message: bytes, send: bool) -> dict[str, Any] | None:
            self.tried.append((message, send))
            return self.answer

        async def set_level(name: str) -> None:
            self.levels.append(name)

        return Sources(
            lambda: self.checks,
            lambda: self.models,
            tuple,
            lambda: [
                Setting("upstream", EVIL, "flag", "Where it is. "),
                Setting("models", {EVIL: {"mode": EVIL}}, "file"),
            ],
            lambda: self.suspects,
            serving=Serving("native", self.listens, "localhost:8500", "interpreted", "1.2.3"),
            upstreams=lambda: [Upstream("localhost:8500", "down", None, EVIL)],
            problems=self.problems,
            attempt=attempt,
            try_send=self.try_send,
            set_log_level=set_level,
        )

    def refuse(self, name: str, *, diagnosis: Reason | None = None) -> None:
        violation = Violation(
            Reason.RANK_MISMATCH, f'inputs["{name}"]', f"input '{name}'", "rank 2 [?,3]", "rank 1 [3]", name
        )
        view = RequestView(ModelKey(name), name, (TensorView(name, 1, (3,)),), (name,))
        outcome = ended(
            PREDICT, code=3, model=name, signature=name, request=view, text=name, peer="ipv4:10.0.0.1:5"
        )
        outcome.identity = outcome.user_agent = outcome.request_id = name
        if diagnosis is None:
            outcome.refusal = Verdict((violation,))
        outcome.diagnosis = diagnosis
        self.problems.call_ended(outcome)
        self.suspects.call_ended(outcome)


def signature(name: str) -> Signature:
    return Signature(
        name,
        "tensorflow/serving/predict",
        {name: TensorSpec(name, 1, (-1, 3), f"{name}:0"), "any": TensorSpec("any", 7, None, "any:0")},
        {name: TensorSpec(name, 9, ())},
    )


def listing(name: str) -> ModelListing:
    servable = Servable(name, 2, {name: signature(name), "serving_default": signature("serving_default")})
    return ModelListing(
        name, (VersionStatus(2, "AVAILABLE"), VersionStatus(1, "END", 11, name)), (servable,), "enforce"
    )


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
async def port(shown: Shown) -> AsyncIterator[aiohttp.ClientSession]:
    server = AdminServer(
        Metrics(("1.2.3", "3.11", "interpreted")).registry, shown.sources(), version="1", port=0
    )
    shown.base = f"http://127.0.0.1:{await server.start()}"
    async with aiohttp.ClientSession(shown.base) as session:
        yield session
    await server.stop()


async def text_of(port: aiohttp.ClientSession, path: str, status: int = 200) -> str:
    async with port.get(path) as answer:
        text = await answer.text()
        assert answer.status == status, (path, text)
        return text


async def crawl(port: aiohttp.ClientSession, start: str = "/") -> dict[str, str]:
    """Every page that links lead to, by path; each must be there and well-formed."""
    found: dict[str, str] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        async with port.get(path, allow_redirects=False) as answer:
            text = await answer.text()
            assert answer.status == 200 or path.startswith("/readyz"), (path, answer.status, text[:200])
            found[path] = text
            if answer.content_type != "text/html":
                continue
        page = Page(text)
        assert page.faults == [], path
        assert page.scripts == 1, path
        for link in page.links:
            to = urlsplit(urljoin(path, link))
            assert not to.scheme, f"{path} leads out to {link}"
            if to.fragment:
                assert to.fragment in page.ids
            waiting.append(to.path + (f"?{to.query}" if to.query else ""))
    return found


async def test_with_nothing_to_show_every_view_teaches_what_to_do(shown, port):
    found = {path: text for path, text in (await crawl(port)).items() if path in VIEWS}
    assert found.keys() == set(VIEWS)
    assert "No requests yet" in found["/"]
    assert "127.0.0.1:8600" in found["/"]
    assert "None yet" in found["/problems"]
    assert "--model" in found["/models"]
    assert "The server has not died" in found["/suspects"]
    assert "--capture" in found["/captures"]


async def test_every_link_leads_somewhere_and_nothing_that_was_sent_is_markup(shown, port):
    shown.models = [listing(EVIL), listing("m/../m")]
    shown.checks = [Check(EVIL, ok=False, text=EVIL)]
    shown.refuse(EVIL)
    shown.refuse(EVIL, diagnosis=Reason.UPSTREAM_RESET)
    shown.refuse("a\udc9bb")
    found = await crawl(port)
    html = {path: text for path, text in found.items() if text.startswith("<!doctype html>")}
    assert len([path for path in html if path.startswith("/problems/")]) == 3
    assert len([path for path in html if path.startswith("/reasons/")]) == 2
    for path, text in html.items():
        assert "<script>" not in text, path
        assert "<img" not in text, path
    assert "&lt;script&gt;" in html["/"]
    assert r"a\udc9bb" in html["/problems"]


async def test_a_problem_shows_both_sides_the_remedy_and_who_sent_it(shown, port):
    shown.models = [listing("m")]
    shown.refuse("m")
    (problem,) = shown.problems.select()
    text = await text_of(port, f"/problems/{problem.id}")
    for told in (
        "∅ missing",
        "✓ fits",
        "RANK_MISMATCH",
        "10.0.0.1",
        "/reasons/RANK_MISMATCH",
        Reason.RANK_MISMATCH.about.remedy,
    ):
        assert told in text
    for language in ("Python", "Python, light", "grpcurl", "Node", "Go", "Java"):
        assert f">{language}</label>" in text
    assert text.count('type="radio"') == 6


async def test_filters_are_taken_as_api_takes_them_and_stay_in_the_form(shown, port):
    shown.refuse("one")
    shown.refuse("two")
    text = await text_of(port, "/problems?model=one&reason=RANK_MISMATCH&kind=refusal&client=10.0&since=900")
    assert "1 problem of this kind" in text
    assert "inputs[&#34;one&#34;]" in text
    assert "inputs[&#34;two&#34;]" not in text
    assert "<option selected>one</option>" in text
    assert 'value="10.0"' in text
    assert "Nothing matches" in await text_of(port, "/problems?client=nobody")


@pytest.mark.parametrize(
    "query", ["kind=nonsense", "reason=", "since=soon", "limit=-1", "limit=x", "nobody=knows"]
)
async def test_a_filter_that_makes_no_sense_is_passed_over(shown, port, query):
    shown.refuse("one")
    assert "inputs[&#34;one&#34;]" in await text_of(port, f"/problems?{query}")


@pytest.mark.parametrize(
    "path", ["/problems/nothing", "/models/nothing", "/reasons/NOTHING", f"/models/{'x' * 300}"]
)
async def test_what_is_not_there_is_told_on_a_page_that_leads_back(port, path):
    page = Page(await text_of(port, path, 404))
    assert page.faults == []
    assert len(page.links) > 8


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", f"/api/{EVIL}", 404),
        ("GET", "/settings/log-level", 405),
        ("POST", "/", 405),
        ("POST", "/metrics", 405),
        ("POST", "/try", 415),
    ],
)
async def test_a_wrong_path_is_a_page_with_the_way_back_in_a_browser_and_a_line_elsewhere(
    port, method, path, status
):
    async with port.request(method, path, headers=BROWSER | OWN, data=b"") as answer:
        text = await answer.text()
    assert (answer.status, answer.content_type) == (status, "text/html")
    assert ("Allow" in answer.headers) is (status == 405)
    page = Page(text)
    assert page.faults == []
    assert "/" in page.links
    assert "To the overview" in text
    assert "script&gt;" not in text
    for accept in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        async with port.request(method, path, headers=accept | OWN, data=b"") as answer:
            assert answer.content_type == "text/plain"
            assert await answer.text() == f"{status} {answer.reason}\n"


async def test_code_calls_what_listens_on_every_address_by_the_name_that_the_page_was_asked_by(shown):
    shown.models = [listing("m")]
    shown.listens = "0.0.0.0:8600"
    server = AdminServer(
        Metrics(("1.2.3", "3.11", "interpreted")).registry,
        shown.sources(),
        version="1",
        port=0,
        names=("tfs.example",),
    )
    port = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for host, target in (
                (f"tfs.example:{port}", "tfs.example:8600"),
                ("tfs.example", "tfs.example:8600"),
                ("[::1]", "[::1]:8600"),
                (f"[::1]:{port}", "[::1]:8600"),
            ):
                async with session.get("/models/m", headers={"Host": host}) as answer:
                    assert f"grpc.insecure_channel(&#39;{target}&#39;, OPTIONS)" in await answer.text()
    finally:
        await server.stop()


async def test_a_page_allows_its_own_style_and_script_and_nothing_else(port):
    async with port.get("/") as answer:
        policy = dict(
            part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
        )
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in str(policy)
    assert set(policy.values()) == {"'self'", "'none'"}


# === a request to try ===


def form(**fields: str | bytes) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        if not isinstance(value, str):
            data.add_field("file", io.BytesIO(value), filename=name.replace("_", "."))
        else:
            data.add_field(name, value)
    return data


JSON = json.dumps({"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "3"}]}, "floatVal": [0]})
REFUSED = {
    "verdict": "refuse",
    "code": "INVALID_ARGUMENT",
    "text": f"input: {EVIL}",
    "model": "m",
    "version": 1,
    "signature": "serving_default",
    "violations": [
        {"reason": "RANK_MISMATCH", "field": "f", "expected": "[?,3]", "got": "[3]", "hint": "send [1,3]"}
    ],
    "warnings": [],
    "mending": {"certainty": "the", "steps": [{"do": "expand_dims", "input": "x", "axis": 0}]},
}


async def test_a_request_from_the_form_is_judged_and_the_verdict_shown_in_full(shown, port):
    shown.models = [listing("m")]
    shown.answer = REFUSED
    data = form(model="m", signature="serving_default", alias="serving_default", tensor=JSON, do="send")
    async with port.post("/try", data=data, headers=OWN) as answer:
        text = await answer.text()
    assert answer.status == 200
    ((message, sent),) = shown.tried
    assert b"serving_default" in message
    assert not sent, "not without --try-send"
    assert Page(text).faults == []
    for told in (
        "INVALID_ARGUMENT: input: &lt;script&gt;",
        "expand_dims(input=x, axis=0)",
        "Send [1,3].",
        "∅ missing",
    ):
        assert told in text
    assert "&#34;size&#34;: &#34;3&#34;" in text, "what was sent stays in the form"


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("request_json", b'{"modelSpec": {"name": "m"}}', ""),
        ("request_pb", b"\x0a\x03\x0a\x01m", ""),
        ("request_pbtxt", b'model_spec { name: "m" }', ""),
        ("request_json", b"{", "is not a PredictRequest in JSON"),
        ("request_json", b'{"instances": []}', "REST API"),
        ("request_json", b"[" * 100_000, ""),
        ("arrays_npz", b"PK\x03\x04", "tfs-proxy check"),
        ("picture_png", b"\x89PNG\r\n\x1a\n", ""),
    ],
)
async def test_a_request_file_is_read_as_check_reads_it(shown, port, name, data, told):
    shown.answer = REFUSED | {"verdict": "forward", "violations": [], "text": ""}
    async with port.post("/try", data=form(**{name: data, "do": "judge"}), headers=OWN) as answer:
        text = await answer.text()
    assert answer.status == 200, text
    assert told in text
    assert ("Not judged" in text) is (not shown.tried)


async def test_what_is_no_tensor_is_told_with_the_input_that_holds_it(shown, port):
    shown.models = [listing("m")]
    data = form(model="m", signature="", alias="x", tensor='{"dtype": "DT_NONSENSE"}', do="judge")
    async with port.post("/try", data=data, headers=OWN) as answer:
        text = await answer.text()
    assert "input &#39;x&#39; is no TensorProto in JSON" in text
    assert shown.tried == []


async def test_the_answer_is_shown_to_whoever_asked(shown):
    shown.try_send = True
    shown.models = [listing("m")]
    outputs = [{"alias": "y", "tensor": "float32[2]", "values": ["1", "2"], "more": False}]
    shown.answer = REFUSED | {
        "verdict": "forward",
        "violations": [],
        "text": "",
        "answer": {"problem": "", "seconds": 0.002, "outputs": outputs},
    }
    server = AdminServer(
        Metrics(("1.2.3", "3.11", "interpreted")).registry, shown.sources(), version="1", port=0
    )
    base = f"http://127.0.0.1:{await server.start()}"
    try:
        async with aiohttp.ClientSession(base) as session:
            data = form(model="m", signature="", alias="x", tensor=JSON, do="send")
            async with session.post("/try", data=data, headers=OWN) as answer:
                text = await answer.text()
    finally:
        await server.stop()
    assert [sent for _, sent in shown.tried] == [True]
    for told in ("after 2 ms", "float32[2]", "1, 2"):
        assert told in text


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://attacker.example"}, {"Origin": "null"}],
)
@pytest.mark.parametrize("path", ["/try", "/settings/log-level"])
async def test_nobody_elses_page_can_send_a_form(shown, port, path, headers):
    async with port.post(path, data=form(do="judge", level="debug"), headers=headers) as answer:
        assert answer.status == 403
    assert shown.tried == []


async def test_a_form_may_be_large_and_has_an_end(shown, port):
    shown.answer = REFUSED
    async with port.post(
        "/try", data=form(a_pb=b"\x0a\x03\x0a\x01m" + bytes(3 << 20)), headers=OWN
    ) as answer:
        assert answer.status == 200
    for path, size in (("/try", 8 << 20), ("/settings/log-level", 1 << 20)):
        try:
            async with port.post(path, data=form(a_pb=bytes(size)), headers=OWN) as answer:
                assert answer.status in {403, 413}
        except aiohttp.ClientError:
            # Cut off, which is told only to who still listens.
            continue
    assert len(shown.tried) == 1


async def test_one_request_is_tried_at_a_time(shown):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def attempt(_: bytes, __: bool) -> None:
        begun.set()
        await may_end.wait()

    sources = replace(shown.sources(), attempt=attempt)
    server = AdminServer(Metrics(("1.2.3", "3.11", "interpreted")).registry, sources, version="1", port=0)
    base = f"http://127.0.0.1:{await server.start()}"
    try:
        async with aiohttp.ClientSession(base) as session:
            first = asyncio.create_task(
                session.post("/try", data=form(a_pb=b"\x0a\x03\x0a\x01m"), headers=OWN)
            )
            await begun.wait()
            for headers, told in ((OWN, "503 Service Unavailable: another"), (OWN | BROWSER, "<h1>Another")):
                data = form(a_pb=b"\x0a\x03\x0a\x01m")
                async with session.post("/try", data=data, headers=headers) as second:
                    assert second.status == 503
                    assert f"{told} request is being tried" in await second.text()
            may_end.set()
            assert (await first).status == 200
    finally:
        await server.stop()


# === the level of the log ===


async def test_settings_say_what_they_are_and_what_is_in_them(port):
    text = await text_of(port, "/settings")
    assert "Where it is." in text
    assert ": mode: " in text, "of models too, which hold others"


async def test_without_a_token_the_level_is_shown_and_cannot_be_changed(shown, port):
    text = await text_of(port, "/settings")
    assert "disabled" in text
    assert "--admin-tokens" in text
    async with port.post("/settings/log-level", data={"level": "debug"}, headers=OWN) as answer:
        assert answer.status == 403
    assert shown.levels == []


async def test_who_has_a_token_changes_the_level(shown):
    @web.middleware
    async def authorise(request: web.Request, handler: Any) -> web.StreamResponse:
        request[AUTHORISED] = True
        return await handler(request)

    server = AdminServer(
        Metrics(("1.2.3", "3.11", "interpreted")).registry, shown.sources(), version="1", port=0
    )
    # As the check of the token does it, before any handler.
    server._runner.app._middlewares.append(authorise)
    base = f"http://127.0.0.1:{await server.start()}"
    try:
        async with aiohttp.ClientSession(base) as session:
            assert "disabled" not in await text_of(session, "/settings")
            for level, status in (("debug", 200), ("nonsense", 400)):
                async with session.post("/settings/log-level", data={"level": level}, headers=OWN) as answer:
                    assert answer.status == status
                    text = await answer.text()
                assert ("The log level is debug" in text) is (status == 200)
    finally:
        await server.stop()
    assert shown.levels == ["debug"]
