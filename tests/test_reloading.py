"""Settings, certificates and tokens exchanged while calls are under way: none fails, and what is wrong changes nothing."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
from pathlib import Path

import grpc
import pytest

from tests.certificates import Authority, key_of
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import FakeServing
from tests.odd_servers import server_credentials
from tests.proxy_process import EDGES, ProxyProcess
from tests.test_app import get

OWN = (("grpc.use_local_subchannel_pool", 1),)
TOKEN, OTHER, THIRD = (f"{letter * 20}-secret" for letter in "abc")
WRONG = predict(shape=(3,))


class Running(ProxyProcess):
    """A proxy with a settings file of its own."""

    def reloads(self, event: str = "settings_reloaded") -> list[dict]:
        return [line for line in self.log if line["event"] == event]

    async def next(
        self, event: str = "settings_reloaded", *, hup: bool = True, known: int | None = None
    ) -> dict:
        """The next line of this kind, asked for by SIGHUP or by what has changed."""
        known = len(self.reloads(event)) if known is None else known
        if hup:
            self.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(self._wait, lambda: len(self.reloads(event)) > known)
        return self.reloads(event)[known]

    def _wait(self, condition) -> None:
        with self._told:
            assert self._told.wait_for(condition, 20), (self.log, self.noise)

    async def get(self, path: str) -> str:
        return (await asyncio.to_thread(get, self, path))[1]


class Load:
    """Calls one after the other, half of them over new connections, and how each ended."""

    def __init__(self, connect) -> None:
        self._connect = connect
        self.codes: list[grpc.StatusCode] = []
        self.texts: set[str] = set()
        self.reasons: set[str] = set()
        self._ended = asyncio.Event()

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._call(fresh=fresh)) for fresh in (True, False, True, False)]
        await self.more()
        return self

    async def __aexit__(self, kind, *_):
        if kind is None:
            await self.more()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, calls: int = 40) -> None:
        """Wait for so many more calls."""
        until = len(self.codes) + calls
        async with asyncio.timeout(20):
            while len(self.codes) < until:
                await self._ended.wait()
                self._ended.clear()

    async def _call(self, *, fresh: bool) -> None:
        channel, how = self._connect()
        while True:
            answered = await ask(channel, PREDICT, predict(), **how)
            self.codes.append(answered.code)
            self._ended.set()
            if answered.code is not grpc.StatusCode.OK:
                self.texts.add(answered.details)
                self.reasons.add(answered.reason)
            if fresh:
                await channel.close()
                channel, how = self._connect()


@pytest.fixture
async def serving():
    async with FakeServing() as serving:
        serving.load("m")
        yield serving


@pytest.fixture
def authority(tmp_path) -> Authority:
    (tmp_path / "pki").mkdir()
    return Authority(tmp_path / "pki")


@pytest.fixture(params=[*EDGES, "workers"])
async def start(request, serving, tmp_path):
    """Start a proxy whose settings file says this."""
    flags = ("--workers", "2") if request.param == "workers" else EDGES[request.param]
    async with contextlib.AsyncExitStack() as stack:

        async def start(text: str = "", *more: str) -> Running:
            config = tmp_path / "proxy.yaml"
            config.write_text(text)
            proxy = await asyncio.to_thread(
                Running, "--upstream", serving.target, "--model", "m", "--config", str(config), *flags, *more
            )
            stack.push_async_callback(asyncio.to_thread, proxy.__exit__, None, None, None)
            for _ in range(200):
                if (await asyncio.to_thread(get, proxy, "/readyz"))[0] == 200:
                    break
                await asyncio.sleep(0.05)
            proxy.config = config
            return proxy

        yield start


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Another file in its place, as editors do."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(path)


def plain(proxy):
    return lambda: (grpc.aio.insecure_channel(proxy.target, options=OWN), {})


async def verdict(proxy, message=WRONG, **how) -> str:
    async with grpc.aio.insecure_channel(proxy.target, options=OWN) as channel:
        answered = await ask(channel, PREDICT, message, **how)
        return answered.reason or answered.code.name


async def test_policies_are_exchanged_under_load_and_nothing_of_the_old_one_is_remembered(start):
    proxy = await start("mode: enforce")
    # Remembered on its second time, whichever way it went.
    assert {await verdict(proxy) for _ in range(6)} == {"RANK_MISMATCH"}
    async with Load(plain(proxy)) as load:
        write(proxy.config, "mode: enforce\nmodels: {m: {max_batch: 1, severities: {RANK_MISMATCH: off}}}\n")
        assert (await proxy.next())["changed"] == ["models"]
    # What came before the change passed, and what came after it was refused for that alone.
    assert set(load.codes) <= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    assert load.reasons <= {"BATCH_TOO_LARGE"}
    async with grpc.aio.insecure_channel(proxy.target, options=OWN) as channel:
        async with asyncio.timeout(10):
            while (await ask(channel, PREDICT, predict())).reason != "BATCH_TOO_LARGE":
                pass
    write(proxy.config, "mode: observe\n")
    line = await proxy.next()
    assert (line["changed"], line["files"]) == (["mode", "models"], ["config"])
    async with asyncio.timeout(10):
        while {await verdict(proxy, predict()), await verdict(proxy)} & {"BATCH_TOO_LARGE", "RANK_MISMATCH"}:
            pass
    shown = json.loads(await proxy.get("/api/config"))
    assert shown["mode"] == {"value": "observe", "origin": "file"}
    assert shown["models"]["value"] == {}
    assert 'tfs_proxy_config_reloads_total{result="ok"} 2.0' in await proxy.get("/metrics")


async def test_a_bad_file_changes_nothing_and_all_that_is_wrong_is_told_at_once(start, tmp_path):
    tokens = tmp_path / "tokens"
    write(tokens, f"a:{TOKEN}\n")
    proxy = await start("mode: enforce", "--client-tokens", str(tokens))
    how = {"metadata": (("authorization", f"Bearer {TOKEN}"),)}
    write(proxy.config, "mode: strict\nmax_batsh: 3\nmodels: {m: {max_batch: x}}\n")
    write(tokens, f"short:{OTHER[:9]}\n{THIRD}\n")
    line = await proxy.next("settings_reload_failed")
    for part in (
        "strict",
        "max_batsh",
        "did you mean 'max_batch'?",
        "models: m",
        "line 1: the token is",
        "line 2",
    ):
        assert part in line["text"]
    for secret in (TOKEN, OTHER[:9], THIRD):
        assert secret not in json.dumps(proxy.log)
    assert await verdict(proxy, **how) == "RANK_MISMATCH"
    metrics = await proxy.get("/metrics")
    assert 'tfs_proxy_config_reloads_total{result="failed"} 1.0' in metrics
    assert "tfs_proxy_config_last_reload_successful 0.0" in metrics
    write(tokens, f"a:{TOKEN}\n")
    write(proxy.config, "mode: enforce\nmax_batch: 1\n")
    assert (await proxy.next())["changed"] == ["max_batch"]
    assert "tfs_proxy_config_last_reload_successful 1.0" in await proxy.get("/metrics")


async def test_which_methods_may_be_called_is_asked_anew_of_methods_that_were_called_before(start):
    operators = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
    proxy = await start("mode: enforce\n")
    async with grpc.aio.insecure_channel(proxy.target, options=OWN) as channel:

        async def becomes(text: str, method: str, code: grpc.StatusCode) -> None:
            if text:
                write(proxy.config, text)
                await proxy.next()
            async with asyncio.timeout(10):
                while (await ask(channel, method, predict() if method == PREDICT else b"")).code is not code:
                    pass

        ok, forbidden = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED
        await becomes("", operators, forbidden)
        await becomes("allow-admin-methods: true\n", operators, ok)
        await becomes("mode: enforce\n", operators, forbidden)
        await becomes("", PREDICT, ok)
        await becomes("allow-method: /tensorflow.serving.ModelService/*\n", PREDICT, forbidden)
        await becomes("allow-method: /tensorflow.serving.PredictionService/*\n", PREDICT, ok)


@pytest.mark.parametrize("start", ["native"], indirect=True)
@pytest.mark.parametrize(
    "state", ["emptied", "deleted", "a folder", "a pipe", "a hundred megabytes", "cut short"]
)
async def test_a_settings_file_that_is_none_at_the_moment_changes_nothing(start, state):
    proxy = await start("max_batch: 1\n")
    proxy.config.unlink()
    if state == "a folder":
        proxy.config.mkdir()
    elif state == "a pipe":
        os.mkfifo(proxy.config)
    elif state != "deleted":
        with proxy.config.open("w") as file:
            file.write("max_batch: [" if state == "cut short" else "")
            if state == "a hundred megabytes":
                file.truncate(100 << 20)
    assert str(proxy.config) in (await proxy.next("settings_reload_failed"))["text"]
    assert await verdict(proxy, predict()) == "BATCH_TOO_LARGE"


async def test_a_proxy_that_ends_takes_no_other_settings_and_does_not_say_so(start):
    proxy = await start("mode: enforce\n", "--drain-seconds", "1")
    proxy.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(proxy.wait_for, "draining")
    write(proxy.config, "max_batch: 1\n")
    proxy.process.send_signal(signal.SIGHUP)
    assert await verdict(proxy, predict()) == "OK"
    await asyncio.to_thread(proxy.process.wait, 20)
    assert not proxy.reloads()


async def test_what_needs_a_restart_is_named_and_the_rest_takes_effect(start):
    proxy = await start("admin-listen: 127.0.0.1:0\nlog-level: info\nrefusals: 7\n")
    write(proxy.config, "upstream: elsewhere:1\nlog-level: debug\nrefusals: 8\nreflection: false\n")
    line = await proxy.next()
    # The upstream is a flag here, which wins as ever.
    assert (line["changed"], line["needs_restart"], line["level"]) == (
        ["log_level"],
        ["reflection", "refusals"],
        "warning",
    )
    shown = json.loads(await proxy.get("/api/config"))
    assert (shown["refusals"]["value"], shown["log_level"]["value"]) == (7, "debug")


@pytest.mark.parametrize("start", ["native", "workers"], indirect=True)
async def test_a_change_is_seen_without_a_signal_through_the_links_that_kubernetes_swaps(start, tmp_path):
    mounted = tmp_path / "mounted"
    for number, batch in ((1, 5), (2, 1)):
        (mounted / f"..{number}").mkdir(parents=True)
        (mounted / f"..{number}" / "proxy.yaml").write_text(f"max_batch: {batch}\n")
    (mounted / "..data").symlink_to("..1")
    (mounted / "proxy.yaml").symlink_to("..data/proxy.yaml")
    proxy = await start("", "--config", str(mounted / "proxy.yaml"))
    async with Load(plain(proxy)) as load:
        (mounted / "..fresh").symlink_to("..2")
        (mounted / "..fresh").replace(mounted / "..data")
        line = await proxy.next(hup=False, known=0)
        assert set(load.codes) == {grpc.StatusCode.OK}
        assert (line["changed"], line["files"]) == (["max_batch"], ["config"])
    async with asyncio.timeout(10):
        while await verdict(proxy, predict()) != "BATCH_TOO_LARGE":
            pass


def served_by(proxy, roots: Path) -> str:
    """The name in the certificate of whoever answers."""
    host, _, port = proxy.target.rpartition(":")
    context = ssl.create_default_context(cafile=str(roots))
    with (
        socket.create_connection((host, int(port)), timeout=5) as open_socket,
        context.wrap_socket(open_socket, server_hostname="localhost") as secured,
    ):
        return dict(pair[0] for pair in secured.getpeercert()["subject"])["commonName"]


async def test_certificates_are_exchanged_under_load(start, authority, tmp_path):
    first, second = authority.sign("first"), authority.sign("second")
    cert, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    shutil.copy(first, cert)
    shutil.copy(key_of(first), key)
    key.chmod(0o600)
    proxy = await start("", "--listen-cert", str(cert), "--listen-key", str(key))
    assert await asyncio.to_thread(served_by, proxy, authority.roots) == "first"
    credentials = grpc.ssl_channel_credentials(authority.roots.read_bytes())
    options = (*OWN, ("grpc.ssl_target_name_override", "localhost"))
    async with Load(
        lambda: (grpc.aio.secure_channel(proxy.target, credentials, options=options), {})
    ) as load:
        # Half of the pair is no pair: as if the other were still being written.
        write(key, key_of(second).read_text())
        failed = await proxy.next("settings_reload_failed")
        assert str(cert) in failed["text"]
        await load.more()
        assert await asyncio.to_thread(served_by, proxy, authority.roots) == "first"
        write(cert, second.read_text())
        line = await proxy.next()
        assert set(line["files"]) == {"listen_cert"}
        async with asyncio.timeout(10):
            while await asyncio.to_thread(served_by, proxy, authority.roots) != "second":
                pass
        await load.more()
    assert set(load.codes) == {grpc.StatusCode.OK}, load.texts


async def test_tokens_are_exchanged_under_load(start, tmp_path):
    tokens = tmp_path / "tokens"
    write(tokens, f"a:{TOKEN}\n")
    proxy = await start("", "--client-tokens", str(tokens))
    held = [TOKEN]

    def connect():
        how = {"metadata": (("authorization", f"Bearer {held[0]}"),)}
        return grpc.aio.insecure_channel(proxy.target, options=OWN), how

    async with Load(connect) as load:
        write(tokens, f"a:{TOKEN}\na:{OTHER}\n", 0o644)
        assert (await proxy.next())["files"] == ["client_tokens"]
        assert proxy.wait_for("secret_readable_by_all")["path"] == str(tokens)
        await load.more()
        assert set(load.codes) == {grpc.StatusCode.OK}, load.texts
    write(tokens, f"a:{OTHER}\n")
    await proxy.next()
    async with asyncio.timeout(10):
        while (
            await verdict(proxy, metadata=(("authorization", f"Bearer {TOKEN}"),)) != "CLIENT_UNAUTHENTICATED"
        ):
            pass
    assert await verdict(proxy, metadata=(("authorization", f"Bearer {OTHER}"),)) == "RANK_MISMATCH"
    assert TOKEN not in json.dumps(proxy.log) + json.dumps(proxy.noise)


async def test_a_connection_that_stands_is_asked_again_when_names_change(start, authority):
    server, client = authority.sign("server"), authority.sign("client", "URI:spiffe://example.com/ns/ml/a")
    proxy = await start(
        "client-san: spiffe://example.com/ns/ml/*\n",
        *(
            "--listen-cert",
            str(server),
            "--listen-key",
            str(key_of(server)),
            "--listen-client-ca",
            str(authority.roots),
        ),
    )
    parts = (authority.roots, key_of(client), client)
    credentials = grpc.ssl_channel_credentials(*(each.read_bytes() for each in parts))
    async with grpc.aio.secure_channel(proxy.target, credentials, options=OWN) as channel:
        assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
        write(proxy.config, "client-san: spiffe://example.com/ns/web/*\n")
        assert (await proxy.next())["changed"] == ["client_san"]
        async with asyncio.timeout(10):
            while (await ask(channel, PREDICT, predict())).reason != "CLIENT_NOT_ALLOWED":
                pass


@pytest.mark.parametrize("start", ["native", "workers"], indirect=True)
async def test_the_way_to_the_server_is_met_with_the_certificates_that_are_there_then(
    start, serving, tmp_path
):
    first, second = (Authority(_made(tmp_path / name)) for name in ("first", "second"))
    names = ("ca.pem", "proxy.pem", "proxy.key")
    for authority in (first, second):
        authority.sign("proxy", "")
        authority.sign("server")

    async def serve(authority: Authority) -> None:
        await serving.stop()
        serving._credentials = server_credentials(authority.folder, demand=True)
        await serving.start()

    def place(authority: Authority) -> None:
        for name in names:
            write(tmp_path / name, (authority.folder / name).read_text())

    await serve(first)
    place(first)
    ca, cert, key = (str(tmp_path / name) for name in names)
    proxy = await start("", "--upstream-ca", ca, "--upstream-cert", cert, "--upstream-key", key)
    assert await verdict(proxy, predict()) == "OK"
    place(second)
    line = await proxy.next()
    assert set(line["files"]) == {"upstream_ca", "upstream_cert", "upstream_key"}
    assert await verdict(proxy, predict()) == "OK"
    await serve(second)
    async with asyncio.timeout(20):
        while await verdict(proxy, predict()) != "OK":
            pass


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("start", ["native"], indirect=True)
async def test_tls_and_tokens_do_not_come_and_go(start, authority, tmp_path):
    server = authority.sign("server")
    tokens = tmp_path / "tokens"
    write(tokens, f"a:{TOKEN}\n")
    proxy = await start("")
    write(proxy.config, f"listen-cert: {server}\nlisten-key: {key_of(server)}\nclient-tokens: {tokens}\n")
    assert (await proxy.next())["needs_restart"] == ["listen_cert", "listen_key", "client_tokens"]
    assert await verdict(proxy) == "RANK_MISMATCH"


async def test_an_access_log_that_is_switched_on_tells_who_called(start):
    proxy = await start("mode: enforce\n")
    write(proxy.config, "access-log: true\n")
    await proxy.next()

    def told() -> list[dict]:
        return [line for line in proxy.log if line["event"] == "call"]

    async with asyncio.timeout(10):
        while not told():
            await verdict(proxy, predict(), metadata=(("x-request-id", "mine"),))
    line = told()[0]
    assert (line["code"], line["request_id"]) == ("OK", "mine")
    assert line["peer"].startswith("ipv4:127.0.0.1")
    assert "grpc-python" in line["user_agent"]


@pytest.mark.parametrize("start", [*EDGES], indirect=True)
async def test_a_larger_number_of_calls_holds_for_the_adaptive_limit_too(start):
    proxy = await start("max-concurrent-calls: 3\n", "--adaptive")
    write(proxy.config, "max-concurrent-calls: 30\n")
    await proxy.next()
    assert "tfs_proxy_upstream_calls_limit 30.0" in await proxy.get("/metrics")


@pytest.mark.parametrize("start", ["native"], indirect=True)
async def test_limits_are_exchanged(start):
    proxy = await start("default-deadline: 5\n")
    write(proxy.config, "max-message-bytes: 10\naccess-log: true\n")
    assert (await proxy.next())["changed"] == ["default_deadline", "max_message_bytes", "access_log"]
    assert await verdict(proxy, predict()) == "MESSAGE_TOO_LARGE"
    await asyncio.to_thread(proxy.wait_for, "call")
