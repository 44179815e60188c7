"""One client plays the script: directly and through a proxy; what is wrong is told case by case.

Law: what a client hears is judged by `script.wrong` alone. Here is what a case needs around it: that the server has the
call before it is cancelled, and that nobody has it afterwards; that proxy and server go and come back.
"""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.clients.programs import RECONNECTING, Program
from tests.clients.script import INPUTS, SCRIPT, Answer, Case, unasked, wrong
from tests.clients.serving import PREDICT, Serving, signatures
from tests.conftest import ROOT, Kept
from tests.proxy_process import ProxyProcess

PATIENCE = 20.0
NUMBERS = itertools.count()
UNAVAILABLE = 14
Wrong = dict[str, str]
"""What was wrong with each case, by its title; "" for nothing."""


class Client:
    """A running client of one address."""

    def __init__(self, program: Program, kept: Kept, target: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | program.environment(kept)
        self._process = subprocess.Popen(
            (*program.make(kept), target),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.version: str = json.loads(self.hear(3 * PATIENCE))["client"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """It goes by itself when nothing more is to be read; only one that hangs is ended."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)
        self._process.stdout.close()
        self._process.stderr.close()

    @property
    def gone(self) -> bool:
        return self._process.poll() is not None

    def tell(self, line: str) -> None:
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the client has ended: {self._last_words()}") from None

    def hear(self, patience: float = 2 * PATIENCE) -> str:
        """The next line that it prints."""
        late = threading.Timer(patience, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()
        if not line:
            raise AssertionError(f"the client has ended: {self._last_words()}")
        return line

    def _last_words(self) -> str:
        self._reader.join(PATIENCE)
        return f"{self._process.wait(PATIENCE)} {''.join(self._said)[-2000:]}"

    def _read(self) -> None:
        self._said.extend(self._process.stderr)


def in_flight(proxy: ProxyProcess) -> int:
    with urllib.request.urlopen(f"http://{proxy.admin}/metrics", timeout=PATIENCE) as response:
        found = re.search(r"^tfs_proxy_in_flight (\S+)", response.read().decode(), re.MULTILINE)
    assert found
    return int(float(found[1]))


def until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def play(client: Client, case: Case, folder: Path, serving: Serving, proxy: ProxyProcess | None) -> Answer:
    """Make one call; afterwards neither the proxy nor the server has it any more."""
    before = len(serving.seen)
    if case.held == "proxy":
        case = replace(case, sent=(unasked(next(NUMBERS)),))
    client.tell(case.line(folder))
    if case.cancel == "told":
        if case.held == "server":
            assert serving.wait_until(1, after=before, path=case.path), "the server never got the call"
        elif proxy is not None:
            until(lambda: in_flight(proxy) == 1, "the proxy never got the call")
        client.tell("now")
    answer = Answer.told(client.hear())
    assert serving.wait_until(0), "the server still has the call"
    if proxy is not None and (case.held or case.cancel != "never"):
        until(lambda: in_flight(proxy) == 0, "the proxy still has the call")
    if case.held == "proxy":
        serving.let_go()
    return answer


def cases_of(program: Program) -> list[Case]:
    return [case for case in SCRIPT if not program.why_not(case)]


def directly(program: Program, kept: Kept, folder: Path, serving: Serving) -> dict[str, Answer]:
    """What a client hears from the server itself, where that is the same call."""
    if not program.direct:
        return {}
    with Client(program, kept, serving.target) as client:
        return {
            case.title: play(client, case, folder, serving, None) for case in cases_of(program) if case.same
        }


def through(
    program: Program,
    kept: Kept,
    folder: Path,
    serving: Serving,
    proxy: ProxyProcess,
    direct: Mapping[str, Answer],
) -> tuple[str, Wrong]:
    """Who the client says it is, and what was wrong with each case that it can play."""
    found: Wrong = {}
    with Client(program, kept, proxy.target) as client:
        for case in cases_of(program):
            try:
                answer = play(client, case, folder, serving, proxy)
            except AssertionError as error:
                found[case.title] = str(error)
                if client.gone:
                    break
            else:
                found[case.title] = wrong(case, answer, direct.get(case.title))
        return client.version, found


@contextmanager
def judged_server(edge: Sequence[str]) -> Iterator[tuple[Serving, ProxyProcess]]:
    """The server of the script and a proxy in front of it that has seen its model."""
    with (
        Serving(signatures(INPUTS)) as serving,
        ProxyProcess("--upstream", serving.target, "--model", "m", *edge) as proxy,
    ):
        until(lambda: _ready(proxy), "the proxy never became ready")
        yield serving, proxy


def _ready(proxy: ProxyProcess) -> bool:
    try:
        urllib.request.urlopen(f"http://{proxy.admin}/readyz", timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        error.close()
        return False
    return True


REPLACED, KILLED, GONE, BACK = STEPS = tuple(
    f"{RECONNECTING}: {what}"
    for what in (
        "a successor takes the port",
        "the proxy is killed and comes back",
        "the server goes",
        "the server comes back",
    )
)


def reconnecting(
    programs: Sequence[Program], kept: Kept, folder: Path, edge: Sequence[str]
) -> dict[str, Wrong]:
    """All clients together, while proxy and server go and come back; by the client's name. No client is told."""
    good = next(case for case in SCRIPT if case.path == PREDICT)
    gone = replace(good, code=UNAVAILABLE, words="tfs-proxy", same=False)
    with ExitStack() as stack:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        flags = ("--listen", address, "--reuse-port", "--model", "m", *edge)
        serving = stack.enter_context(Serving(signatures(INPUTS)))

        def proxy() -> ProxyProcess:
            started = stack.enter_context(ProxyProcess("--upstream", serving.target, *flags))
            until(lambda: _ready(started), "the proxy never became ready")
            return started

        first = proxy()
        clients = {
            each.name: stack.enter_context(Client(each, kept, address))
            for each in programs
            if RECONNECTING not in each.lacks
        }
        found: dict[str, Wrong] = {name: {} for name in clients}

        def all_play(step: str, case: Case, patience: float = 0.0) -> None:
            for name, client in clients.items():
                found[name][step] = _patiently(client, case, folder, serving, patience)

        all_play(REPLACED, good)
        second = proxy()
        first.stop()
        all_play(REPLACED, good)
        second.stop(signal.SIGKILL)
        proxy()
        all_play(KILLED, good, PATIENCE)
        serving.stop()
        all_play(GONE, gone)
        serving.start()
        all_play(BACK, good, PATIENCE)
    return found


def _patiently(client: Client, case: Case, folder: Path, serving: Serving, patience: float) -> str:
    """Call, and while the answer is UNAVAILABLE and there is time, call again, as a client that retries does."""
    deadline = time.monotonic() + patience
    while True:
        answer = play(client, case, folder, serving, None)
        if answer.code != UNAVAILABLE or case.code == UNAVAILABLE or time.monotonic() > deadline:
            return wrong(case, answer, None)
        time.sleep(0.05)
