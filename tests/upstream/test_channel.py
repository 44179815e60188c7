"""Channels that reach real servers."""

import asyncio
import socket
import subprocess

import grpc
import grpc.aio
import pytest

from proxy.core.types import ModelKey
from proxy.upstream.channel import ConnectivityWatch, Tls, open_channel
from proxy.upstream.client import GET_MODEL_METADATA
from proxy.wire.metadata import metadata_request, servable_of_response
from tests import odd_servers
from tests.fake_serving import FakeServing


async def served_by(channel: grpc.aio.Channel) -> int:
    """The version of model m that answers on `channel`."""
    ask = channel.unary_unary(GET_MODEL_METADATA)
    return servable_of_response(await ask(metadata_request(ModelKey("m")), timeout=10), "m").version


async def test_a_forward_proxy_in_the_environment_is_ignored_unless_told(serving, monkeypatch):
    serving.load("m", 1)
    for name in ("no_grpc_proxy", "no_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("http_proxy", address)
    async with open_channel(serving.target) as channel:
        assert await served_by(channel) == 1
    async with open_channel(serving.target, http_proxy=True) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await served_by(channel)


async def test_messages_beyond_four_mebibytes_pass_both_ways(serving):
    big = b"\n" + b"\x80\x80\x80\x04" + b"x" * (8 << 20)  # an unknown-to-us payload of 8 MiB
    serving.answer("GetModelStatus", big)
    async with open_channel(serving.target) as channel:
        ask = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        request = b"\x12" + b"\x80\x80\x80\x04" + b"x" * (8 << 20)  # field 2: nobody's
        assert await ask(request, timeout=10) == big


async def test_a_long_status_text_arrives_whole(serving):
    text = "x" * 100_000
    serving.fail("GetModelStatus", grpc.StatusCode.INTERNAL, text)
    async with open_channel(serving.target) as channel:
        ask = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"", timeout=10)
    assert caught.value.details() == text


async def test_every_address_behind_a_target_takes_part():
    async with FakeServing() as one, FakeServing() as two:
        one.load("m", 1)
        two.load("m", 2)
        async with open_channel(f"ipv4:{one.target},{two.target}") as channel:
            async with asyncio.timeout(10):
                seen = set()
                while seen != {1, 2}:
                    seen.add(await served_by(channel))


async def test_a_unix_socket_is_reached(tmp_path):
    serving = FakeServing(f"unix:{tmp_path}/tfs.sock")
    serving.load("m", 1)
    async with serving, open_channel(f"unix:{tmp_path}/tfs.sock") as channel:
        assert await served_by(channel) == 1


# TLS


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A CA, a server certificate for the name `tfs.example` alone, and a client certificate."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    openssl(*new, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    name = ("-addext", "subjectAltName=DNS:tfs.example")
    openssl(*new, *signed, *name, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.pem")
    openssl(*new, *signed, "-subj", "/CN=client", "-keyout", "client.key", "-out", "client.pem")
    return folder


@pytest.fixture
async def tls_serving(pki):
    credentials = grpc.ssl_server_credentials(
        [((pki / "server.key").read_bytes(), (pki / "server.pem").read_bytes())],
        root_certificates=(pki / "ca.pem").read_bytes(),
        require_client_auth=True,
    )
    async with FakeServing(credentials=credentials) as serving:
        serving.load("m", 1)
        yield serving


def client_tls(pki, **changes):
    return Tls(
        **{
            "ca": pki / "ca.pem",
            "certificate": pki / "client.pem",
            "key": pki / "client.key",
            "server_name": "tfs.example",
        }
        | changes
    )


async def test_tls_with_a_client_certificate_and_a_server_name_reaches_the_server(tls_serving, pki):
    async with open_channel(tls_serving.target, client_tls(pki)) as channel:
        assert await served_by(channel) == 1


@pytest.mark.parametrize("missing", ["ca", "server_name"])
async def test_a_server_that_is_not_who_it_should_be_is_not_spoken_to(tls_serving, pki, missing):
    async with open_channel(tls_serving.target, client_tls(pki, **{missing: None})) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served_by(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_a_tls_file_that_is_missing_or_no_pem_is_refused_at_once(pki, tmp_path, name):
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    for path in (tmp_path / "absent.pem", garbage):
        with pytest.raises(ValueError, match=r"cannot use the TLS files .*\.pem"):
            open_channel("tfs:8500", client_tls(pki, **{name: path}))


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_a_client_certificate_without_its_key_is_refused(pki, missing):
    with pytest.raises(ValueError, match="go together"):
        open_channel("tfs:8500", client_tls(pki, **{missing: None}))


# connectivity


async def test_the_watch_connects_and_tells_when_the_server_goes_and_comes_back(serving):
    changes: asyncio.Queue[bool] = asyncio.Queue()
    async with open_channel(serving.target) as channel:
        watch = ConnectivityWatch(channel, changes.put_nowait)
        assert watch.up is None
        await watch.start()
        async with asyncio.timeout(20):
            assert await changes.get() is True
            await serving.stop()
            assert await changes.get() is False
            assert watch.up is False
            await serving.start()
            assert await changes.get() is True
        await watch.stop()


async def test_a_server_that_is_back_before_it_was_missed_is_told_too(serving):
    """It may be another one."""
    changes: asyncio.Queue[bool] = asyncio.Queue()
    async with odd_servers.Tunnel(serving.target) as tunnel, open_channel(tunnel.target) as channel:
        watch = ConnectivityWatch(channel, changes.put_nowait)
        await watch.start()
        async with asyncio.timeout(10):
            assert await changes.get() is True
            tunnel.drop()
            assert await changes.get() is True
        await watch.stop()


async def test_a_server_that_was_never_there_is_down():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    changes: asyncio.Queue[bool] = asyncio.Queue()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        watch = ConnectivityWatch(channel, changes.put_nowait)
        await watch.start()
        assert await asyncio.wait_for(changes.get(), 10) is False
        await watch.stop()


async def test_the_watch_ends_with_the_channel(serving):
    changes: asyncio.Queue[bool] = asyncio.Queue()
    channel = open_channel(serving.target)
    watch = ConnectivityWatch(channel, changes.put_nowait)
    await watch.start()
    async with asyncio.timeout(10):
        assert await changes.get() is True
        await channel.close()
        assert await changes.get() is False
    await watch.stop()


async def test_a_watch_that_was_never_started_can_be_stopped(channel):
    await ConnectivityWatch(channel, lambda _: None).stop()
