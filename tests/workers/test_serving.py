"""Two workers serve as one proxy does: every call, whatever happens to one of them, on both edges."""

import asyncio
import os
import signal
from pathlib import Path

import grpc
import pytest

from tests.edge.conftest import PREDICT, ask, predict
from tests.proxy_process import EDGES, PATIENCE, ProxyProcess, running_proxy
from tests.test_app import until_ready
from tests.workers.conftest import has_ended, kill, killed, one_channel_each

STARTED = "worker_started"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
LIST_SERVICES = b"\x3a\x00"
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.mark.parametrize("edge", EDGES)
async def test_both_workers_answer_on_one_port(start, edge):
    with await start(*EDGES[edge]) as proxy:
        async with one_channel_each(proxy) as channels:
            for worker, channel in channels.items():
                assert await proxy.call(channel) == worker
        assert len([line for line in proxy.log if line["event"] == "serving"]) == 1
        assert proxy.wait_for("serving")["workers"] == 2
        assert not proxy.target.endswith(":0")
        assert proxy.stop() == 0
        assert [line["event"] for line in proxy.log[-2:]] == ["draining", "stopped"]


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "localhost"])
async def test_any_address_can_be_shared(start, edge, host):
    with await start("--listen", f"{host}:0", *EDGES[edge]) as proxy:
        proxy.target = f"{'[::1]' if host == '[::]' else '127.0.0.1'}:{proxy.target.rpartition(':')[2]}"
        async with one_channel_each(proxy):
            pass


async def test_both_workers_answer_on_one_unix_socket(start, tmp_path):
    path = tmp_path / "grpc.sock"
    with await start("--listen", f"unix:{path}") as proxy:
        assert proxy.target == f"unix:{path}"
        async with one_channel_each(proxy):
            pass
        assert proxy.stop() == 0
        assert not path.exists()


def test_one_worker_is_no_process_beside_the_proxy():
    with running_proxy("--upstream", "127.0.0.1:1", "--workers", "1") as proxy:
        tasks = Path(f"/proc/{proxy.process.pid}/task").iterdir()
        assert not "".join((task / "children").read_text() for task in tasks)
        assert "workers" not in proxy.wait_for("serving")
        assert not any("worker" in line for line in proxy.log)


@pytest.mark.parametrize("edge", EDGES)
async def test_a_killed_worker_comes_back_and_the_other_answers_meanwhile(start, edge):
    with await start("--model", "m", *EDGES[edge]) as proxy:
        async with one_channel_each(proxy) as channels:
            pids = proxy.pids()
            await killed(pids[0])
            assert await proxy.call(channels[1]) == 1
            while proxy.pids() == pids:
                # Whoever comes meanwhile comes to one who is there.
                async with grpc.aio.insecure_channel(proxy.target) as another:
                    await proxy.call(another)
            line = proxy.wait_for("worker_ended")
            assert (line["worker"], line["pid"], line["how"]) == (0, pids[0], "SIGKILL")
            await until_ready(proxy)
            # Its channel finds the way to one of the two by itself.
            assert await proxy.call(channels[0]) in {0, 1}
        assert proxy.pids()[1] == pids[1]
        assert await proxy.total("tfs_proxy_worker_restarts_total") == 1


async def test_of_a_worker_that_is_killed_under_load_the_calls_of_the_other_know_nothing(start):
    with await start() as proxy:
        async with one_channel_each(proxy) as channels:
            pids = proxy.pids()
            codes = []

            async def call_until_replaced() -> None:
                while proxy.pids() == pids:
                    codes.append((await ask(channels[1], PREDICT, predict())).code)

            calling = [asyncio.create_task(call_until_replaced()) for _ in range(4)]
            await killed(pids[0])
            await asyncio.gather(*calling)
        assert set(codes) == {grpc.StatusCode.OK}
        assert proxy.pids()[1] == pids[1]


async def test_a_worker_that_gets_sigterm_itself_ends_its_calls_and_another_takes_its_place(start, serving):
    with await start() as proxy:
        async with one_channel_each(proxy) as channels:
            pids = proxy.pids()
            with serving.hold("Predict") as hold:
                asking = asyncio.create_task(ask(channels[1], PREDICT, predict()))
                await hold.arrived()
                # Twice: a control group and its supervisor may both send it.
                kill(pids[1], signal.SIGTERM)
                kill(pids[1], signal.SIGTERM)
                hold.release()
                assert (await asking).code is grpc.StatusCode.OK
            await asyncio.to_thread(proxy.wait, lambda: proxy.pids()[1] != pids[1])
        assert proxy.wait_for("worker_ended")["how"] == "exit code 0"
        # Nobody had asked for them before.
        assert await proxy.total("tfs_proxy_requests_total") == proxy.made + 1


async def test_health_and_reflection_are_answered_by_each(start):
    with await start("--model", "m") as proxy:
        await until_ready(proxy)
        async with one_channel_each(proxy) as channels:
            for channel in channels.values():
                answered = await ask(channel, HEALTH, b"")
                assert (answered.code, answered.response) == (grpc.StatusCode.OK, b"\x08\x01")
                listed = await channel.stream_stream(REFLECTION)(iter([LIST_SERVICES])).read()
                assert b"tensorflow.serving.PredictionService" in listed


async def test_requests_are_recorded_by_both_into_one_folder(start, tmp_path):
    folder = tmp_path / "captured"
    with await start("--capture", str(folder), "--capture-sample", "1") as proxy:
        async with one_channel_each(proxy) as channels:
            for channel in channels.values():
                await proxy.call(channel)
        assert len([line for line in proxy.log if line["event"] == "capturing"]) == 1
        assert proxy.stop() == 0
    assert sorted(path.name for path in folder.iterdir()) == ["m.000001.tfrecord", "m.000002.tfrecord"]


# === the end ===


@pytest.mark.parametrize("edge", EDGES)
async def test_calls_under_way_end_well_on_every_worker_and_so_does_the_command(start, serving, edge):
    with await start(*EDGES[edge]) as proxy:
        async with one_channel_each(proxy) as channels:
            with serving.hold("Predict") as hold:
                asking = [asyncio.create_task(ask(each, PREDICT, predict())) for each in channels.values()]
                await hold.arrived()
                await hold.arrived()
                stopping = asyncio.create_task(asyncio.to_thread(proxy.stop))
                await asyncio.to_thread(proxy.wait_for, "draining")
                code, text = await proxy.get("/readyz")
                assert (code, "draining" in text) == (503, True)
                hold.release()
                assert [(await each).code for each in asking] == [grpc.StatusCode.OK] * 2
            assert await stopping == 0
        assert len([line for line in proxy.log if line["event"] == "draining"]) == 1


async def test_ctrl_c_at_a_terminal_lets_the_calls_of_all_workers_end(serving):
    # A terminal sends it to the whole process group.
    flags = ("--workers", "2", "--upstream", serving.target, "--drain-seconds", "600")
    proxy = await asyncio.to_thread(ProxyProcess, *flags, before=("setsid",))
    with serving.hold("Predict") as hold:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            asking = asyncio.create_task(ask(channel, PREDICT, predict()))
            await hold.arrived()
            os.killpg(proxy.process.pid, signal.SIGINT)
            await asyncio.to_thread(proxy.wait_for, "draining")
            hold.release()
            assert (await asking).code is grpc.StatusCode.OK
    assert await asyncio.to_thread(proxy.process.wait, PATIENCE) == 0
    await asyncio.to_thread(proxy.stop)
    assert not proxy.noise


async def test_a_second_signal_cuts_calls_short_on_every_worker(start, serving):
    with await start("--drain-seconds", "60") as proxy:
        async with one_channel_each(proxy) as channels:
            with serving.hold("Predict") as hold:
                asking = [asyncio.create_task(ask(each, PREDICT, predict())) for each in channels.values()]
                await hold.arrived()
                await hold.arrived()
                proxy.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(proxy.wait_for, "draining")
                assert await asyncio.to_thread(proxy.stop) == 1
                assert grpc.StatusCode.OK not in [(await each).code for each in asking]


async def test_a_third_signal_gets_the_end_at_once(start, serving):
    proxy = await start("--drain-seconds", "60")
    workers = [os.pidfd_open(pid) for pid in proxy.pids().values()]
    for pid in proxy.pids().values():
        kill(pid, signal.SIGSTOP)
    try:
        proxy.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(proxy.wait_for, "draining")
        # Which of two pending signals of one number is the second, nobody can tell: they are sent as two numbers.
        proxy.process.send_signal(signal.SIGTERM)
        proxy.process.send_signal(signal.SIGTERM)
        while proxy.process.poll() is None:
            proxy.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0)
        assert proxy.process.returncode == -signal.SIGTERM
    finally:
        for pid in proxy.pids().values():
            kill(pid, signal.SIGCONT)
        await asyncio.to_thread(proxy.stop)
    assert all([await asyncio.to_thread(has_ended, each) for each in workers])


async def test_workers_end_by_themselves_when_their_supervisor_is_killed(start, serving):
    proxy = await start()
    workers = [os.pidfd_open(pid) for pid in proxy.pids().values()]
    (folder,) = {Path(line).parent for line in _open_sockets(proxy.pids()[0])}
    with serving.hold("Predict") as hold:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            asking = asyncio.create_task(ask(channel, PREDICT, predict()))
            await hold.arrived()
            await asyncio.to_thread(proxy.stop, signal.SIGKILL)
            assert all([await asyncio.to_thread(has_ended, each) for each in workers])
            assert (await asking).code is not grpc.StatusCode.OK
    assert not folder.exists()
    assert not proxy.noise


def _open_sockets(pid: int) -> set[str]:
    """The paths of the private admin sockets that a process listens on."""
    inodes = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {
        line[7]
        for line in lines
        if len(line) > 7 and f"socket:[{line[6]}]" in inodes and ".1.sock" in line[7]
    }
