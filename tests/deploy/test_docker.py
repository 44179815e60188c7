"""The image is put together here as its Dockerfile does it, without Docker: same lock, same extraction."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.supply.locks import pinned

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
LOCKS = ("image.lock", "image-values.lock")
"""What the variants of the image install."""
SHARED = ("google", "grpc", "opentelemetry")
"""Folders into which several distributions put modules."""


PINNED = pinned("image.lock")
each_lock = pytest.mark.parametrize("lock", LOCKS)

LOAD_ALL = """
import importlib, pkgutil, sys
import proxy
WITH_TENSORFLOW = ("proxy.devserver", "proxy.demo", "proxy.cli.dev_server", "proxy.cli.demo")
for module in pkgutil.walk_packages(proxy.__path__, "proxy."):
    if not module.name.startswith(WITH_TENSORFLOW) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from proxy.wire.protos import predict_pb2, saved_model_pb2
request = predict_pb2.PredictRequest()
request.inputs["x"].float_val.append(1)
assert predict_pb2.PredictRequest.FromString(request.SerializeToString()) == request
assert not [name for name in sys.modules if name.startswith(("tensorflow.python", "numpy", "keras"))]
import tensorflow
assert tensorflow.__path__[0].startswith(sys.argv[1]), tensorflow.__path__
"""


@pytest.fixture(scope="module", params=LOCKS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of an image: what its lock names, the extracted modules, the proxy."""
    site = tmp_path_factory.mktemp("image") / "site-packages"
    site.mkdir()
    for name in pinned(request.param):
        distribution = importlib.metadata.distribution(name)
        tops = {Path(file).parts[0] for file in distribution.files or () if ".." not in Path(file).parts}
        for top in tops - {*SHARED, "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))
    for shared in SHARED:
        (site / shared).symlink_to(importlib.metadata.distribution("protobuf").locate_file(shared))
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "docker" / "extract_protos.py", site],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    # Where the hot path is compiled, most of it lies beside the package.
    for ours in (ROOT / "proxy", *ROOT.glob("*__mypyc.*.so")):
        (site / ours.name).symlink_to(ours)
    return site


def python(site: Path, code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python that has nothing but the image's site-packages."""
    environment = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-S", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
        cwd=site,
    )


def test_only_generated_modules_are_taken_out_of_tensorflow(site):
    files = [path for path in (site / "tensorflow").rglob("*") if path.is_file()]
    assert all(path.name.endswith("_pb2.py") or path.name == "__init__.py" for path in files)
    assert 20 < len(files) < 80
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_every_module_of_the_proxy_loads_from_what_the_image_holds(site):
    done = python(site, LOAD_ALL, site)
    assert done.returncode == 0, done.stderr


def test_without_the_extracted_modules_nothing_would(site, tmp_path):
    bare = tmp_path / "site-packages"
    bare.mkdir()
    for entry in site.iterdir():
        if entry.name != "tensorflow":
            (bare / entry.name).symlink_to(entry)
    done = python(bare, "import proxy.wire.protos")
    assert "the protobuf modules of TensorFlow are missing" in done.stderr


@each_lock
def test_the_bill_of_materials_names_what_the_lock_file_does_and_what_was_extracted(site, tmp_path, lock):
    bare = tmp_path / "site-packages"
    bare.mkdir()
    (bare / "tensorflow").symlink_to(site / "tensorflow")
    for name in (*pinned(lock), "tfs-proxy"):
        info = importlib.metadata.distribution(name)._path
        (bare / info.name).symlink_to(info)
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "docker" / "sbom.py", bare],
        capture_output=True,
        check=True,
        timeout=60,
    )
    bill = json.loads(done.stdout)
    told = {each["name"]: each["version"] for each in bill["components"]}
    assert told.pop("tensorflow-protobuf-modules") == importlib.metadata.version("tensorflow")
    assert told == pinned(lock)
    assert bill["metadata"]["component"]["name"] == "tfs-proxy"
    references = [each["bom-ref"] for each in (bill["metadata"]["component"], *bill["components"])]
    assert len(set(references)) == len(references)


def test_the_labels_are_those_that_registries_and_scanners_look_for():
    final = DOCKERFILE.rpartition("FROM ")[2]
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', final))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["title"] == project["name"]
    assert labels["licenses"] == project["license"]
    for name in ("version", "revision", "created", "source", "base.name"):
        assert re.fullmatch(r"\$\{([A-Z]+)\}", labels[name])
        assert re.search(rf"^ARG {labels[name][2:-1]}\b", final, re.MULTILINE), f"nothing sets {name}"


@each_lock
def test_the_image_lock_holds_no_tensorflow_and_nothing_for_development(lock):
    assert "tensorflow" not in pinned(lock)
    assert {"tensorflow-serving-api", "opentelemetry-sdk"} <= pinned(lock).keys()
    assert not {"keras", "pytest", "ruff"} & pinned(lock).keys()


def test_the_variants_differ_by_numpy_alone():
    without, with_it = pinned("image.lock"), dict(pinned("image-values.lock"))
    assert with_it.pop("numpy") == importlib.metadata.version("numpy")
    assert with_it == without


@each_lock
def test_the_image_runs_the_versions_that_were_tested(lock):
    assert pinned(lock).items() <= pinned("dev.lock").items()


def test_the_image_is_built_from_a_lock_that_is_there():
    (default,) = re.findall(r"^ARG LOCK=(\S+)$", DOCKERFILE, re.MULTILINE)
    (copied,) = re.findall(r"^COPY (.+) /locks/$", DOCKERFILE, re.MULTILINE)
    assert default == "image.lock"
    assert set(copied.split()) == {f"requirements/{name}" for name in LOCKS}


def test_what_the_dockerfile_copies_exists_and_is_in_the_build_context():
    patterns = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    ]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == each or fnmatch(source, f"{each}/*") for each in patterns), (
            f"{source} is ignored"
        )


def test_the_image_runs_as_nobody_stops_on_sigterm_and_says_how_it_is():
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER 65532:65532$", final, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", final, re.MULTILINE)
    assert "/livez" in final
    assert 'ENTRYPOINT ["tfs-proxy"]' in final


def test_the_health_check_succeeds_and_fails_with_the_admin_port():
    code = re.search(r'CMD \["python", "-c", "(import os, .+)"\]', DOCKERFILE).group(1)
    asked = []

    class Alive(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Alive)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    environment = {**os.environ, "TFS_PROXY_ADMIN_LISTEN": f"0.0.0.0:{server.server_port}"}
    try:
        alive = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=30)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    dead = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=False, timeout=30, capture_output=True
    )
    assert (alive.returncode, asked) == (0, ["/livez"])
    assert dead.returncode != 0
