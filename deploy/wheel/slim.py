"""Build the wheel of tfs-proxy-slim: the proxy with TensorFlow's message classes in it instead of TensorFlow beside it.

Usage: slim.py DESTINATION, with the environment of requirements/dev.lock. The classes are those of
tensorflow-serving-api, which the project declares, and of the TensorFlow that it brings: of the one all, of the other
those that are needed. `proxy.wire.protos` uses them where the real packages are not installed.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRACT = ROOT / "deploy" / "docker" / "extract_protos.py"
CARRIED = "proxy/carried"
NAME, SLIM_NAME = '\nname = "tfs-proxy"\n', '\nname = "tfs-proxy-slim"\n'
DECLARED = '  "tensorflow-serving-api>=2.21",\n'

MARKER = '''"""Only generated protobuf modules: of TensorFlow {tensorflow}, and of tensorflow-serving-api {api} (Apache-2.0)."""
'''


def main(destination: Path) -> None:
    """Build the wheel from a copy of the sources."""
    with tempfile.TemporaryDirectory() as folder:
        tree = sources(Path(folder))
        project = tree / "pyproject.toml"
        project.write_text(slim(project.read_text()))
        carry(tree / CARRIED)
        hatchling("wheel", destination, tree)


def sources(folder: Path) -> Path:
    """A copy of what a source distribution holds."""
    hatchling("sdist", folder, ROOT)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def slim(project: str) -> str:
    """The project under the other name, without the one dependency."""
    for each in (NAME, DECLARED):
        if project.count(each) != 1:
            raise SystemExit(f"pyproject.toml does not say once: {each.strip()}")
    return project.replace(NAME, SLIM_NAME).replace(DECLARED, "")


def carry(package: Path) -> None:
    """Put the generated modules into a package of the proxy."""
    subprocess.run([sys.executable, EXTRACT, package], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    (api,) = {
        Path(file.locate()).parents[1]
        for file in importlib.metadata.files("tensorflow-serving-api") or ()
        if file.name == "predict_pb2.py"
    }
    shutil.copytree(
        api, package / "tensorflow_serving", ignore=shutil.ignore_patterns("__pycache__", "*_grpc.py")
    )
    versions = {
        "tensorflow": importlib.metadata.version("tensorflow"),
        "api": importlib.metadata.version("tensorflow-serving-api"),
    }
    (package / "__init__.py").write_text(MARKER.format(**versions))


def hatchling(target: str, destination: Path, source: Path) -> None:
    """Build one target."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", destination.resolve()]
    subprocess.run(command, cwd=source, check=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
