"""A SavedModel directory: what keeps TF Serving from loading it, or makes every call on it fail.

Law: reads saved_model.pb and names of files, never runs a graph. A graph in another form than saved_model.pb
is only noticed, not read.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from proxy.core.explain import listing, quote
from proxy.core.types import DEFAULT_SIGNATURE, INIT_OP_SIGNATURE, dtype_name
from proxy.lint.base_path import is_model
from proxy.lint.finding import Finding, finding
from proxy.lint.warmup import check_warmup
from proxy.wire.metadata import SERVE_TAG
from proxy.wire.protos import saved_model_pb2

_LARGEST_GRAPH: Final = 1024**3
"""protobuf refused larger files in released servers (failure F55: "more than 1073741824 bytes")."""

_VARIABLE_OPS: Final = frozenset({"VarHandleOp", "VariableV2", "Variable"})
_PYTHON_OPS: Final = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
_LIBRARY_OPS: Final = {
    "TRTEngineOp": "TensorRT",
    "SimpleMLInferenceOp": "TensorFlow Decision Forests",
    "SimpleMLInferenceOpWithHandle": "TensorFlow Decision Forests",
}
_SHARD = re.compile(r"variables\.data-(\d{5})-of-(\d{5})")


def check_saved_model(directory: Path) -> Iterator[Finding]:
    """Every fault of one version directory."""
    path = directory / "saved_model.pb"
    if not path.is_file():
        if not is_model(directory):
            yield finding("saved-model-missing", directory, "there is no saved_model.pb")
        return
    yield from _warmup_elsewhere(directory)
    try:
        if path.stat().st_size > _LARGEST_GRAPH:
            yield finding(
                "graph-too-large", path, f"{path.stat().st_size} bytes; servers read at most {_LARGEST_GRAPH}"
            )
            return
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError:
        yield finding("saved-model-unreadable", path, "is not a SavedModel, or is cut")
        return
    if not saved_model.meta_graphs:
        yield finding("saved-model-unreadable", path, "holds no graph: empty or cut")
        return
    meta_graph = next(
        (each for each in saved_model.meta_graphs if set(each.meta_info_def.tags) == {SERVE_TAG}), None
    )
    if meta_graph is None:
        tags = "; ".join(listing(set(each.meta_info_def.tags)) for each in saved_model.meta_graphs)
        yield finding("tag-missing", path, f"no graph has exactly the tag 'serve'; there are: {tags}")
        return
    yield from _variables(directory, meta_graph)
    yield from _signatures(path, meta_graph)
    yield from _ops(path, meta_graph)
    warmup = directory / "assets.extra" / "tf_serving_warmup_requests"
    if warmup.is_file():
        yield from check_warmup(warmup, directory)


def _warmup_elsewhere(directory: Path) -> Iterator[Finding]:
    for folder in (directory, directory / "assets", directory / "assets_extra", directory / "extra"):
        stray = folder / "tf_serving_warmup_requests"
        if stray.is_file():
            yield finding("warmup-misplaced", stray, "the server does not look for warm-up requests here")


def _variables(directory: Path, meta_graph: Any) -> Iterator[Finding]:
    folder = directory / "variables"
    names = {child.name for child in folder.iterdir()} if folder.is_dir() else set()
    for name in sorted(names):
        if "tempstate" in name or name.endswith((".tmp", ".part", ".crdownload")):
            yield finding(
                "variables-temporary",
                folder / name,
                "a temporary file: the export or its copy is not complete",
            )
    if not any(node.op in _VARIABLE_OPS for node in _nodes(meta_graph)):
        return
    if not names:
        yield finding(
            "variables-missing", folder, "the graph has variables and this directory is missing or empty"
        )
        return
    if "variables.index" not in names:
        yield finding("variables-missing", folder, "variables.index is missing")
    shards = [found for name in names if (found := _SHARD.fullmatch(name))]
    present = {int(found.group(1)) for found in shards}
    count = max((int(found.group(2)) for found in shards), default=1)
    absent = [number for number in range(count) if number not in present]
    if absent:
        shard = f"variables.data-{absent[0]:05}-of-{count:05}"
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        yield finding("variables-missing", folder, f"{shard} is missing{more}")


def _nodes(meta_graph: Any) -> Iterator[Any]:
    yield from meta_graph.graph_def.node
    for function in meta_graph.graph_def.library.function:
        yield from function.node_def


def _signatures(path: Path, meta_graph: Any) -> Iterator[Finding]:
    signatures = {
        name: meta_graph.signature_def[name]
        for name in sorted(meta_graph.signature_def)
        if name != INIT_OP_SIGNATURE
    }
    if not signatures:
        yield finding("signatures-none", path, "the export has no signatures: nothing can be called")
        return
    if DEFAULT_SIGNATURE not in signatures:
        yield finding(
            "signature-default-none", path, f"there is no 'serving_default', only {listing(signatures)}"
        )
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    for name, signature in signatures.items():
        yield from _signature(path, f"signature {quote(name)}", signature, nodes)


def _signature(path: Path, where: str, signature: Any, nodes: Mapping[str, Any]) -> Iterator[Finding]:
    if not signature.method_name:
        yield finding("signature-method-empty", path, f"{where} has no method_name")
    sound = True
    for side, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        for alias in sorted(tensors):
            problem = _tensor_problem(tensors[alias], nodes)
            if problem is not None:
                sound = False
                yield finding(problem[0], path, f"{where}, {side} {quote(alias)}: {problem[1]}")
    if not sound:
        return
    fed = {_node_name(info.name) for info in signature.inputs.values()}
    for placeholder in _unbound(signature, nodes, fed):
        yield finding(
            "placeholder-unbound",
            path,
            f"{where}: its outputs need placeholder {quote(placeholder)}, which is none of its inputs",
        )
    yield from _batch(path, where, signature)


def _tensor_problem(info: Any, nodes: Mapping[str, Any]) -> tuple[str, str] | None:
    """The rule and the words for a TensorInfo that cannot be fed or fetched."""
    encoding = info.WhichOneof("encoding")
    if encoding in ("coo_sparse", "composite_tensor"):
        return "signature-tensor-sparse", f"a {encoding} has no single tensor to feed or fetch"
    if not info.name:
        return "signature-tensor-sparse", "it names no tensor"
    if info.dtype == 0:
        return "signature-tensor-sparse", f"its dtype is {dtype_name(0)}"
    if _node_name(info.name) not in nodes:
        return "signature-tensor-absent", f"the graph has no {quote(info.name)}"
    return None


def _node_name(tensor: str) -> str:
    """`^node` and `node:1` → `node`."""
    return tensor.removeprefix("^").partition(":")[0]


def _unbound(signature: Any, nodes: Mapping[str, Any], fed: set[str]) -> list[str]:
    """Placeholders that the outputs depend on and no input feeds; a fed node's own inputs do not count."""
    found: list[str] = []
    seen = {_node_name(info.name) for info in signature.outputs.values()}
    todo = deque(sorted(seen))
    while todo:
        name = todo.popleft()
        node = nodes.get(name)
        if node is None or name in fed:
            continue
        if node.op == "Placeholder":
            found.append(name)
        for each in node.input:
            source = _node_name(each)
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return found


def _batch(path: Path, where: str, signature: Any) -> Iterator[Finding]:
    firsts = {alias: _first_dim(info) for alias, info in signature.inputs.items()}
    for alias in sorted(firsts):
        if firsts[alias] == 1:
            yield finding(
                "signature-batch-one", path, f"{where}, input {quote(alias)}: the batch is fixed at 1"
            )
    if not firsts or any(first != -1 for first in firsts.values()):
        return
    for alias in sorted(signature.outputs):
        info = signature.outputs[alias]
        if info.HasField("tensor_shape") and not info.tensor_shape.unknown_rank and _first_dim(info) != -1:
            yield finding(
                "signature-output-batch",
                path,
                f"{where}, output {quote(alias)}: its first dimension is not the batch",
            )


def _first_dim(info: Any) -> int | None:
    """The first dimension (-1: free), or None for a scalar or an unknown rank."""
    return int(info.tensor_shape.dim[0].size) if info.tensor_shape.dim else None


def _ops(path: Path, meta_graph: Any) -> Iterator[Finding]:
    """Operations that a released server does not have, or not on every device."""
    told: set[str] = set()
    for node in _nodes(meta_graph):
        if node.op in told:
            continue
        if node.op in _PYTHON_OPS:
            yield finding("op-python", path, f"node {quote(node.name)} calls a Python function ({node.op})")
        elif node.op in _LIBRARY_OPS:
            library = _LIBRARY_OPS[node.op]
            yield finding("op-needs-library", path, f"{node.op} needs a server built with {library}")
        elif node.attr["data_format"].s == b"NCHW" if "data_format" in node.attr else False:
            yield finding(
                "op-channels-first", path, f"node {quote(node.name)} ({node.op}) has data_format NCHW"
            )
        else:
            continue
        told.add(node.op)
