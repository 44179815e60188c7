"""Write a bill of materials of the Python packages in the image, as CycloneDX 1.6.

Usage: sbom.py SITE_PACKAGES, to standard output. What is told is what is installed there, not what was meant to be; a
test compares it with the lock file. The packages of the base image are none of its business: scanners know those.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

ROOT = "tfs-proxy"


def bill(site: Path) -> dict[str, Any]:
    """The bill of all that is installed in a folder."""
    found = sorted(distributions(path=[str(site)]), key=name_of)
    components = [component(each) for each in found if name_of(each) != ROOT]
    extracted = tensorflow(site)
    if extracted is not None:
        components.append(extracted)
    roots = [each for each in found if name_of(each) == ROOT]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(roots[0], kind="application")} if roots else {},
        "components": components,
    }


def name_of(distribution: Distribution) -> str:
    """The name as package indexes normalise it."""
    return re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()


def component(distribution: Distribution, kind: str = "library") -> dict[str, Any]:
    name, version = name_of(distribution), distribution.version
    url = f"pkg:pypi/{name}@{version}"
    told = {"type": kind, "bom-ref": url, "name": name, "version": version, "purl": url}
    return {**told, "licenses": [licence_of(distribution)]}


def licence_of(distribution: Distribution) -> dict[str, Any]:
    """As CycloneDX writes it: an SPDX expression, or of older metadata the name that it gives."""
    metadata = distribution.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return {"expression": expression}
    classified = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier") or []
        if each.startswith("License ::")
    ]
    return {"license": {"name": " or ".join(classified) or metadata.get("License") or "not told"}}


def tensorflow(site: Path) -> dict[str, Any] | None:
    """What extract_protos.py has taken out of TensorFlow: no distribution, and none of its runtime."""
    marker = site / "tensorflow" / "__init__.py"
    said = re.search(r"protobuf modules of TensorFlow (\S+)", marker.read_text()) if marker.exists() else None
    if said is None:
        return None
    return {
        "type": "library",
        "bom-ref": "tensorflow-protobuf-modules",
        "name": "tensorflow-protobuf-modules",
        "version": said[1],
        "description": "generated protobuf modules of TensorFlow, without its runtime",
        "licenses": [{"expression": "Apache-2.0"}],
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(json.dumps(bill(Path(sys.argv[1])), indent=1))
