"""Real models and a real dev server for everyone: built once, served by one subprocess.

Properties are tried on the same examples in every run; `TFS_PROXY_EXPLORE=20 pytest tests/property` tries 20
times as many new ones.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from proxy.build_info import build

EXPLORE = int(os.environ.get("TFS_PROXY_EXPLORE", "0"))
settings.register_profile(
    "tfs-proxy",
    deadline=None,
    derandomize=not EXPLORE,
    max_examples=80 * max(1, EXPLORE),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tfs-proxy")

# A caught signal is an ignored one no more in the processes that tests start: under nohup, or in the background of a
# shell, they would ignore what tests send them, as pytest itself goes on to do.
for _each in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_each) is signal.SIG_IGN:
        signal.signal(_each, lambda *_: None)

ROOT = Path(__file__).parent.parent
MAKE_MODELS = ROOT / "tests" / "models" / "make_models.py"
# `nover` is left out: the port stays closed until every model has a version. `renamed` is swapped by those who need it.
SERVED = (
    *("ssd", "f300", "two", "unk", "twosig", "twosig_def", "half", "scalar", "fixed", "slow", "stateful"),
    *("echo", "cls", "conv", "convresize", "enc", "corrupt", "emptyver"),
    *("stacked", "retrieval", "embed", "pair", "ragged", "nested", "sparse", "rnn"),
    *("spectrogram", "flat", "keras", "bert", "columns", "examples", "column"),
)
MULTI = """
model_config_list {
  config {
    name: "multi"
    base_path: "%s"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 3 } }
  }
}
"""


interpreted_only = pytest.mark.skipif(
    build().hot_path == "compiled", reason="puts something of its own into the hot path, which is compiled"
)
"""For the few tests that stand in for a class of the hot path, or change its constants."""


@pytest.fixture
def set_constant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change a constant of a module of the hot path; where that is compiled, constants are part of its code."""
    if build().hot_path == "compiled":
        pytest.skip("a constant cannot be changed where the hot path is compiled")
    return monkeypatch.setattr


@dataclass
class DevServer:
    """A running dev server: `target` is where it answers, `process` is ours to watch or to lose."""

    target: str
    process: subprocess.Popen[str]
    log: Path

    def stop(self) -> int:
        """SIGTERM, and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


StartDevServer = Callable[..., DevServer]


Kept = Callable[[str, bytes, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def kept(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A folder that is made once, `kept(name, made_of, make)`; with pytest's cache until `made_of` changes."""
    cached = pytestconfig.pluginmanager.hasplugin("cacheprovider")

    def folder(name: str, made_of: bytes, make: Callable[[Path], None]) -> Path:
        cache = pytestconfig.cache.mkdir(name) if cached else tmp_path_factory.getbasetemp() / name
        cache.mkdir(exist_ok=True)
        done = cache / hashlib.sha256(made_of).hexdigest()[:16]
        if not done.exists():
            making = Path(tempfile.mkdtemp(dir=cache))
            try:
                make(making)
                with contextlib.suppress(OSError):  # another run was faster
                    making.rename(done)
            finally:
                shutil.rmtree(making, ignore_errors=True)
        return done

    return folder


@pytest.fixture(scope="session")
def models_dir(kept: Kept) -> Path:
    """Every model of `make_models.py`, one folder each; made anew when script or TensorFlow change."""

    def build(folder: Path) -> None:
        done = subprocess.run(
            [sys.executable, MAKE_MODELS, folder], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    made_of = MAKE_MODELS.read_bytes() + importlib.metadata.version("tensorflow").encode()
    return kept("tf-models", made_of, build)


@contextlib.contextmanager
def dev_server_factory(folder: Path) -> Iterator[StartDevServer]:
    started: list[DevServer] = []

    def start(*flags: str, env: dict[str, str] | None = None) -> DevServer:
        log = folder / f"dev-server-{len(started)}.log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "proxy.devserver", "--listen", "127.0.0.1:0", *flags],
                cwd=ROOT,
                env=os.environ | (env or {}),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        line = process.stdout.readline()
        started.append(DevServer(line.rpartition(" ")[2].strip(), process, log))
        assert line.startswith("dev server ready on "), log.read_text()[-3000:]
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.stop()


@pytest.fixture
def start_dev_server(tmp_path: Path) -> Iterator[StartDevServer]:
    """Start a dev server of the test's own with the given flags: `start_dev_server("--model", "a=/path")`."""
    with dev_server_factory(tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def start_shared_dev_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartDevServer]:
    """Start a dev server for many tests, which only ask it and neither crash nor reconfigure it."""
    with dev_server_factory(tmp_path_factory.mktemp("dev-servers")) as start:
        yield start


@pytest.fixture(scope="session")
def dev_server(
    models_dir: Path, tmp_path_factory: pytest.TempPathFactory, start_shared_dev_server: StartDevServer
) -> DevServer:
    """The dev server with every model."""
    config = tmp_path_factory.mktemp("dev-server") / "models.config"
    config.write_text(MULTI % (models_dir / "multi"))
    flags = [f"--model={name}={models_dir / name}" for name in SERVED]
    return start_shared_dev_server(f"--model-config-file={config}", *flags)
