"""What the lock files pin, and what the packages say of themselves.

Law: reads files and what is installed; asks no network.
"""

import re
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from packaging.markers import Marker

from deploy.docker.sbom import licence_of

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = tuple(sorted(path.name for path in REQUIREMENTS.glob("*.lock")))
SHIPPED = "image-values.lock"
"""The most that is installed with the proxy, but for TensorFlow itself, which the ordinary wheel asks for."""

_PIN = re.compile(r"^([a-z0-9._-]+)==([^ \\;]+)(?: ; ([^\\]+))?", re.MULTILINE)


def pinned(lock: str) -> Mapping[str, str]:
    """Name → version, as far as the lock means this Python on this system."""
    text = (REQUIREMENTS / lock).read_text()
    return {
        name: version
        for name, version, marker in _PIN.findall(text)
        if not marker or Marker(marker.strip()).evaluate()
    }


def licence(name: str) -> str:
    """Of an installed package, as it says itself."""
    told = licence_of(distribution(name))
    return str(told.get("expression") or told["license"]["name"])


def unhashed(lock: str) -> list[str]:
    """Entries without a hash: whatever an index answers would be installed."""
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", (REQUIREMENTS / lock).read_text(), flags=re.MULTILINE)[1:]
    return [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block]


def licences_table() -> str:
    """Of all that is shipped, as Markdown."""
    names = sorted({*pinned(SHIPPED), "tensorflow"})
    rows = "".join(f"| {name} | {licence(name)} |\n" for name in names)
    return f"| package | licence |\n|---|---|\n{rows}"
