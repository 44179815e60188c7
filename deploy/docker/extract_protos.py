"""Copy the generated protobuf modules that the proxy loads out of an installed TensorFlow.

Usage: extract_protos.py DESTINATION, with the full TensorFlow and the proxy's sources importable. Writes
DESTINATION/tensorflow, a megabyte instead of more than a thousand, to stand beside the other packages of the
container image. What is copied is what `proxy.wire.protos` and `proxy.wire.prediction_log` were seen to load, so
that they cannot disagree.
"""

import importlib.metadata
import shutil
import sys
from pathlib import Path

import proxy.wire.prediction_log
import proxy.wire.protos

MARKER = '''"""Not TensorFlow: only the protobuf modules of TensorFlow {version} that tfs-proxy needs (Apache-2.0)."""
'''


def main(destination: Path) -> None:
    """Copy every loaded module of the `tensorflow` namespace, and the package files above each."""
    package = sys.modules["tensorflow"]
    (source,) = (Path(path) for path in package.__path__)
    target = destination / "tensorflow"
    target.mkdir(parents=True)
    loaded = [module for name, module in sys.modules.items() if name.startswith("tensorflow.")]
    files = sorted({Path(module.__file__) for module in loaded if module.__file__})
    for file in files:
        if not (file.name.endswith("_pb2.py") or file.name == "__init__.py"):
            raise SystemExit(f"{file} is no generated module: TensorFlow itself has been loaded")
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    version = importlib.metadata.version("tensorflow")
    (target / "__init__.py").write_text(MARKER.format(version=version))
    print(f"{len(files)} modules of TensorFlow {version} for {proxy.__name__} in {target}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
