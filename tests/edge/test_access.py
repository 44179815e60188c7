"""Who may call, through both edges: by a name of its certificate, or by a bearer token."""

import asyncio
import json
from contextlib import AsyncExitStack

import grpc
import pytest
import pytest_asyncio

from proxy.core.tokens import read_tokens
from proxy.core.verdict import Verdict
from proxy.edge.access import Access, names_in
from proxy.wire.status import status_of
from tests.certificates import Authority, key_of
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import FakeServing
from tests.proxy_process import EDGES, ProxyProcess
from tests.test_app import get

OWN = (("grpc.use_local_subchannel_pool", 1),)
HEALTH = "/grpc.health.v1.Health/Check"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
ML = "spiffe://example.com/ns/ml/sa/batch"


# === names ===


@pytest.mark.parametrize(
    ("allowed", "dns", "uris", "who"),
    [
        (["batch.example.com"], ["batch.example.com"], [], "batch.example.com"),
        (["Batch.example.com"], ["BATCH.example.com"], [], "BATCH.example.com"),
        (["batch.example.com"], ["web.example.com", "batch.example.com"], [], "batch.example.com"),
        ([ML], ["web.example.com"], [ML], ML),
        (["*.example.com"], ["web.example.com"], [], "web.example.com"),
        (["spiffe://example.com/ns/ml/*"], [], [ML], ML),
        ([], ["web.example.com"], [ML], ML),
        ([], ["web.example.com"], [], "web.example.com"),
        ([], [], [], ""),
    ],
)
def test_a_client_is_known_by_the_name_that_may_call(allowed, dns, uris, who):
    assert Access(allowed).of_names(dns, uris) == who


@pytest.mark.parametrize(
    ("allowed", "dns", "uris"),
    [
        (["batch.example.com"], [], []),
        (["batch.example.com"], ["web.example.com"], []),
        (["batch.example.com"], ["batch.example.com.evil.net"], []),
        (["batch.example.com"], [], ["batch.example.com"]),
        (["*.example.com"], ["example.com"], []),
        (["*.example.com"], ["a.b.example.com"], []),
        (["*.example.com"], ["*.example.com"], []),
        (["*.example.com"], [".example.com"], []),
        ([ML], [], [f"{ML}/other"]),
        ([ML], [], [ML.upper()]),
        ([ML], [ML], []),
        (["spiffe://example.com/ns/ml/*"], [], ["spiffe://example.com/ns/mlops/sa/x"]),
        (["spiffe://example.com/ns/ml/*"], [], ["spiffe://evil.net/ns/ml/sa/x"]),
        (["spiffe://example.com/ns/ml/*"], [], ["spiffe://example.com/ns/ml/"]),
        (["spiffe://example.com/ns/ml/*"], [], ["spiffe://example.com/ns/ml/../web/sa/x"]),
        (["spiffe://example.com/ns/ml/*"], [], ["spiffe://example.com/ns/ml/sa/.."]),
        (["spiffe://example.com/ns/ml/*"], [], ["spiffe://example.com/ns/ml//sa"]),
        (["batch.example.com"], ["batch.example.com."], []),
    ],
)
def test_a_name_that_only_looks_like_it_may_not_call(allowed, dns, uris):
    refused = Access(allowed).of_names(dns, uris)
    assert isinstance(refused, Verdict)
    status = status_of(refused)
    assert status.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert all(name in status.text for name in [*dns, *uris])


def test_of_a_certificate_dns_names_and_uris_count():
    names = (("DNS", "a"), ("email", "b"), ("URI", "c"), ("IP Address", "1.2.3.4"), ("DNS", "d"))
    assert names_in({"subjectAltName": names}) == (["a", "d"], ["c"])
    assert names_in({}) == names_in(None) == ([], [])


# === tokens ===

TOKEN, OTHER = "0123456789abcdef-batch", "fedcba9876543210-web"
ACCESS = Access(tokens=read_tokens(f"batch:{TOKEN}\nweb:{OTHER}"))


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ([f"Bearer {TOKEN}"], "batch"),
        ([f"bearer {TOKEN}"], "batch"),
        ([f"BEARER   {OTHER} "], "web"),
    ],
)
def test_a_token_tells_who_has_it(fields, who):
    assert ACCESS.of_fields([each.encode() for each in fields]) == who


WRONG = {
    "none": [],
    "empty": [""],
    "another": ["Bearer 0000000000000000000"],
    "almost right": [f"Bearer {TOKEN[:-1]}"],
    "more than right": [f"Bearer {TOKEN}x"],
    "in another case": [f"Bearer {TOKEN.upper()}"],
    "without its scheme": [TOKEN],
    "of another scheme": [f"Basic {TOKEN}"],
    "no space": [f"Bearer{TOKEN}"],
    "its digest": [f"Bearer sha256:{'0' * 64}"],
    "the same twice": [f"Bearer {TOKEN}"] * 2,
    "a right one beside a wrong one": [f"Bearer {TOKEN}", "Bearer 0000000000000000000"],
    "no text": ["Bearer \udcff"],
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_what_is_no_known_token_is_refused_and_not_repeated(fields):
    refused = ACCESS.of_fields([each.encode("utf-8", "surrogateescape") for each in fields])
    assert isinstance(refused, Verdict)
    status = status_of(refused)
    assert status.code == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert "0123456789" not in status.text
    assert "00000" not in status.text


# === both edges ===


class Serving(FakeServing):
    """Knows what came with the last call."""

    def service(self, details):
        self.metadata = tuple(details.invocation_metadata)
        return super().service(details)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=EDGES)
async def proxies(request, tmp_path_factory):
    """A proxy that asks for names, one that asks for tokens, and the server behind them."""
    folder = tmp_path_factory.mktemp("access")
    authority = Authority(folder)
    server = authority.sign("server")
    tokens = folder / "tokens"
    tokens.write_text(f"# who may call\nbatch:{TOKEN}\n\nweb:{OTHER}\n")
    tokens.chmod(0o600)
    async with Serving() as serving, AsyncExitStack() as stack:
        serving.load("m")

        async def start(*flags: str) -> ProxyProcess:
            proxy = await asyncio.to_thread(
                ProxyProcess, "--upstream", serving.target, "--model", "m", *EDGES[request.param], *flags
            )
            stack.push_async_callback(asyncio.to_thread, proxy.__exit__, None, None, None)
            await asyncio.to_thread(proxy.wait_for, "upstream_up")
            return proxy

        names = await start(
            *("--listen-cert", str(server), "--listen-key", str(key_of(server))),
            *(
                "--listen-client-ca",
                str(authority.roots),
                "--client-san",
                "*.example.com",
                "--client-san",
                ML,
            ),
        )
        yield serving, authority, names, await start("--client-tokens", str(tokens), "--access-log")


async def refusals(proxy):
    return json.loads((await asyncio.to_thread(get, proxy, "/api/refusals"))[1])["refusals"]


async def ask_as(proxy, authority, alternative, method=PREDICT):
    name = f"client{abs(hash(alternative))}"
    certificate = authority.folder / f"{name}.pem"
    if not certificate.exists():
        certificate = await asyncio.to_thread(authority.sign, name, alternative)
    parts = (authority.roots, key_of(certificate), certificate)
    credentials = grpc.ssl_channel_credentials(*(each.read_bytes() for each in parts))
    async with grpc.aio.secure_channel(proxy.target, credentials, options=OWN) as channel:
        return await ask(channel, method, predict() if method == PREDICT else b"")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("alternative", ["DNS:batch.example.com", f"URI:{ML}", f"DNS:localhost,URI:{ML}"])
async def test_a_certificate_with_such_a_name_may_call(proxies, alternative):
    _, authority, names, _ = proxies
    assert (await ask_as(names, authority, alternative)).code is grpc.StatusCode.OK


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("alternative", "identity"),
    [
        ("DNS:batch.example.org", "batch.example.org"),
        (f"URI:{ML}/x", f"{ML}/x"),
        ("", ""),
        ("IP:127.0.0.1", ""),
    ],
)
async def test_a_certificate_without_may_not_and_nothing_goes_on(proxies, alternative, identity):
    serving, authority, names, _ = proxies
    before, refused = serving.calls["Predict"], len(await refusals(names))
    answered = await ask_as(names, authority, alternative)
    assert (answered.code, answered.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert serving.calls["Predict"] == before
    # The record follows the answer.
    async with asyncio.timeout(10):
        while len(found := await refusals(names)) == refused:
            pass
    refusal = found[0]
    assert (refusal["identity"], refusal["code"]) == (identity, "PermissionDenied")


@pytest.mark.asyncio(loop_scope="module")
async def test_health_is_told_to_any_certificate(proxies):
    _, authority, names, _ = proxies
    assert (await ask_as(names, authority, "", HEALTH)).response == b"\x08\x01"


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_certificate_there_is_no_connection(proxies):
    _, authority, names, _ = proxies
    credentials = grpc.ssl_channel_credentials(authority.roots.read_bytes())
    async with grpc.aio.secure_channel(names.target, credentials, options=OWN) as channel:
        assert (await ask(channel, HEALTH, b"")).code is grpc.StatusCode.UNAVAILABLE


def with_token(*values: str):
    return {"metadata": tuple(("authorization", value) for value in values)}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", [PREDICT, STATUS, "/a.B/C"])
async def test_a_known_token_calls_any_method_and_ends_at_the_proxy(proxies, method):
    serving, _, _, tokens = proxies
    async with grpc.aio.insecure_channel(tokens.target, options=OWN) as channel:
        message = predict() if method == PREDICT else b"\n\x03\n\x01m" if method == STATUS else b""
        sent = {"metadata": (("x-own", "1"), ("authorization", f"bearer {TOKEN}"))}
        answered = await ask(channel, method, message, **sent)
    assert answered.reason != "CLIENT_UNAUTHENTICATED"
    assert ("x-own", "1") in serving.metadata
    assert "authorization" not in dict(serving.metadata)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", [PREDICT, STATUS, "/a.B/C"])
@pytest.mark.parametrize("values", [(), (f"Bearer {TOKEN}x",), (f"Bearer {TOKEN}", f"Bearer {OTHER}")])
async def test_without_one_a_call_is_refused_before_it_is_read(proxies, method, values):
    serving, _, _, tokens = proxies
    before = serving.calls.copy()
    async with grpc.aio.insecure_channel(tokens.target, options=OWN) as channel:
        answered = await ask(channel, method, predict(), **with_token(*values))
        assert (answered.code, answered.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CLIENT_UNAUTHENTICATED")
        # A stream that never ends has its answer all the same.
        call = channel.stream_stream(method)(timeout=10, metadata=with_token(*values)["metadata"])
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    assert serving.calls["Predict"] == before["Predict"]


@pytest.mark.asyncio(loop_scope="module")
async def test_health_asks_for_no_token(proxies):
    async with grpc.aio.insecure_channel(proxies[3].target, options=OWN) as channel:
        assert (await ask(channel, HEALTH, b"")).response == b"\x08\x01"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_refusal_tells_whose_token_it_was_and_nothing_tells_the_token(proxies):
    _, _, _, tokens = proxies
    async with grpc.aio.insecure_channel(tokens.target, options=OWN) as channel:
        wrong = await ask(channel, PREDICT, predict(shape=(3,)), **with_token(f"Bearer {OTHER}"))
    assert wrong.reason == "RANK_MISMATCH"
    line = await asyncio.to_thread(tokens.wait_for, "request_refused", reason="RANK_MISMATCH")
    assert line["identity"] == "web"
    pages = [
        (await asyncio.to_thread(get, tokens, path))[1]
        for path in ("/", "/api/config", "/api/refusals", "/metrics", "/api/models", "/readyz?verbose")
    ]
    assert json.loads(pages[2])["refusals"][0]["identity"] == "web"
    for text in (*pages, json.dumps(tokens.log)):
        assert TOKEN not in text
        assert OTHER not in text
