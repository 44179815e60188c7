"""The admin port with tokens and a certificate of its own, and both exchanged."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.core.tokens import read_tokens
from proxy.observe.admin.access import AUTHORISED, Certificate, context
from proxy.observe.admin.connections import BOUNDS
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.views import Check, Setting, Sources
from proxy.observe.metrics import Metrics
from tests.certificates import Authority, key_of

TOKEN, OTHER = "0123456789abcdef", "fedcba9876543210"


def sources() -> Sources:
    return Sources(
        lambda: [Check("upstream", ok=False, text="secret-host:8500 unreachable")],
        tuple,
        tuple,
        lambda: [Setting("admin_tokens", "/etc/tokens", "flag")],
    )


def server(**more) -> AdminServer:
    return AdminServer(Metrics(("0", "3.11", "interpreted")).registry, sources(), version="1", port=0, **more)


@pytest.fixture
async def admin() -> AsyncIterator[AdminServer]:
    admin = server(tokens=read_tokens(f"me:{TOKEN}"))
    port = await admin.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        admin.session = session
        yield admin
    await admin.stop()


async def get(admin: AdminServer, path: str, *fields: str) -> aiohttp.ClientResponse:
    headers = [("Authorization", field) for field in fields]
    async with admin.session.get(path, headers=headers) as response:
        await response.read()
        return response


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


EVERYTHING = ("/", "/metrics", "/readyz?verbose", "/api/config", "/api/models", "/api/refusals", "/nothing")


@pytest.mark.parametrize("path", EVERYTHING)
async def test_without_a_token_nothing_is_told_and_a_browser_asks_for_one(admin, path):
    answer = await get(admin, path)
    assert answer.status == 401
    assert [each.split()[0] for each in answer.headers.getall("WWW-Authenticate")] == ["Basic", "Bearer"]
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "field", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic("", TOKEN), basic("anyone", TOKEN)]
)
async def test_a_token_opens_every_page_as_bearer_or_as_a_password(admin, field):
    for path in EVERYTHING[:-1]:
        assert (await get(admin, path, field)).status in {200, 503}
    assert (await get(admin, "/nothing", field)).status == 404


@pytest.mark.parametrize(
    "fields",
    [
        (f"Bearer {OTHER}",),
        (f"Bearer {TOKEN}0",),
        (f"Bearer {TOKEN[:-1]}",),
        (TOKEN,),
        (basic(TOKEN, ""),),
        (basic("", OTHER),),
        ("Basic ???",),
        ("Basic",),
        (f"Digest {TOKEN}",),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
    ],
)
async def test_what_is_no_token_opens_nothing(admin, fields):
    answer = await get(admin, "/api/config", *fields)
    assert answer.status == 401
    assert TOKEN not in await answer.text()


async def test_probes_need_none_and_are_told_no_more_than_whether(admin):
    assert (await get(admin, "/livez")).status == 200
    bare = await get(admin, "/readyz")
    assert (bare.status, await bare.text()) == (503, "not ready\n")
    assert "secret-host" in await (await get(admin, "/readyz", f"Bearer {TOKEN}")).text()


async def test_tokens_are_exchanged(admin):
    admin.adopt((), read_tokens(f"me:{OTHER}"))
    assert (await get(admin, "/api/models", f"Bearer {TOKEN}")).status == 401
    assert (await get(admin, "/api/models", f"Bearer {OTHER}")).status == 200


@pytest.mark.parametrize(("tokens", "known"), [(f"me:{TOKEN}", True), (None, False)])
async def test_a_handler_knows_whether_a_request_came_with_a_token(tokens, known):
    seen = []
    admin = server(tokens=None if tokens is None else read_tokens(tokens))

    async def handler(request: web.Request) -> web.Response:
        seen.append(request[AUTHORISED])
        return web.Response()

    await admin._by_token(make_mocked_request("GET", "/", {"Authorization": f"Bearer {TOKEN}"}), handler)
    assert seen == [known]


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


async def certified(port: int, authority: Authority) -> str:
    """Who answers, by its certificate: asked by an address, so that the client names nobody."""
    trusting = ssl.create_default_context(cafile=str(authority.roots))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"ok\n")
    subject = writer.get_extra_info("peercert")["subject"]
    writer.close()
    return dict(pair[0] for pair in subject)["commonName"]


async def test_https_is_answered_with_a_certificate_that_can_be_another(authority):
    first, second = authority.sign("first"), authority.sign("second")
    admin = server(certificate=Certificate(first, key_of(first)))
    port = await admin.start()
    try:
        assert await certified(port, authority) == "first"
        admin.adopt((), None, context(second, key_of(second)))
        assert await certified(port, authority) == "second"
    finally:
        await admin.stop()


async def test_who_opens_connections_and_says_nothing_keeps_nobody_out(authority):
    certificate = authority.sign("first")
    admin = server(
        certificate=Certificate(certificate, key_of(certificate)), bounds=BOUNDS._replace(connections=4)
    )
    port = await admin.start()
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
    try:
        assert await certified(port, authority) == "first"
        # The first of them had to make room long ago.
        silent[0].settimeout(5)
        assert await asyncio.to_thread(silent[0].recv, 1) == b""
    finally:
        for each in silent:
            each.close()
        await admin.stop()


async def test_plain_http_is_not_answered_on_a_port_with_a_certificate(authority):
    certificate = authority.sign("first")
    admin = server(certificate=Certificate(certificate, key_of(certificate)))
    port = await admin.start()
    try:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{port}/livez")
    finally:
        await admin.stop()


def test_a_pair_that_does_not_fit_is_told_of_in_a_sentence(authority):
    one, other = authority.sign("one"), authority.sign("other")
    with pytest.raises(ValueError, match=r"cannot use the TLS files of --admin-…"):
        Certificate(one, key_of(other))
