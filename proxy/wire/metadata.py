"""What TF Serving or a SavedModel says of a servable, in our words.

Law: reads descriptions, decides nothing about requests. Where a description says nothing of a shape, the
shape is unknown: an export that forgot it must not make every request wrong.
"""

from collections.abc import Mapping
from pathlib import Path

from google.protobuf.message import DecodeError

from proxy.core.availability import VersionStatus
from proxy.core.types import INIT_OP_SIGNATURE, UNKNOWN_DIM, ModelKey, Servable, Signature, TensorSpec
from proxy.wire.protos import get_model_metadata_pb2, get_model_status_pb2, meta_graph_pb2, saved_model_pb2

SIGNATURE_DEF_FIELD = "signature_def"
"""The only `metadata_field` that TF Serving supports (`get_model_metadata_impl.cc`)."""

SERVE_TAG = "serve"
"""The tag set that TF Serving loads."""

_REFERENCE_OFFSET = 100
"""Reference dtypes are their base dtype plus this (`types.proto`); a fed or fetched tensor is of the base dtype."""


class UnreadableMetadataError(ValueError):
    """The description of a servable cannot be read; the text says which part and why."""


def metadata_request(key: ModelKey) -> bytes:
    """GetModelMetadataRequest for the servable that `key` addresses."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[SIGNATURE_DEF_FIELD])
    request.model_spec.name = key.model
    if key.version is not None:
        request.model_spec.version.value = key.version
    elif key.label is not None:
        request.model_spec.version_label = key.label
    return bytes(request.SerializeToString())


def status_request(model: str) -> bytes:
    """GetModelStatusRequest for all versions of `model` (measured: a label in it would be ignored)."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    return bytes(request.SerializeToString())


def servable_of_response(data: bytes, model: str) -> Servable:
    """The servable that a serialised GetModelMetadataResponse describes; `model` is the name asked for.

    Raises UnreadableMetadataError.
    """
    signature_map = get_model_metadata_pb2.SignatureDefMap()
    try:
        response = get_model_metadata_pb2.GetModelMetadataResponse.FromString(data)
        if SIGNATURE_DEF_FIELD not in response.metadata:
            raise UnreadableMetadataError(f"the metadata of {model!r} has no {SIGNATURE_DEF_FIELD}")
        packed = response.metadata[SIGNATURE_DEF_FIELD]
        if not packed.Unpack(signature_map):
            raise UnreadableMetadataError(f"the metadata of {model!r} holds a {packed.type_url!r}")
    except DecodeError as error:
        raise UnreadableMetadataError(f"the metadata of {model!r} cannot be parsed: {error}") from error
    if response.model_spec.name not in {"", model}:
        # Judged by it, what is right would be refused, and what is wrong passed on.
        raise UnreadableMetadataError(
            f"asked for the metadata of {model!r}, got that of {response.model_spec.name!r}"
        )
    if not response.model_spec.HasField("version"):
        raise UnreadableMetadataError(f"the metadata of {model!r} does not say of which version it is")
    return Servable(model, response.model_spec.version.value, _signatures(signature_map.signature_def))


def versions_of_response(data: bytes) -> tuple[VersionStatus, ...]:
    """The versions in a serialised GetModelStatusResponse, newest first.

    Raises UnreadableMetadataError.
    """
    try:
        response = get_model_status_pb2.GetModelStatusResponse.FromString(data)
    except DecodeError as error:
        raise UnreadableMetadataError(f"the model status cannot be parsed: {error}") from error
    versions = (
        VersionStatus(
            each.version, _state_name(each.state), each.status.error_code, each.status.error_message
        )
        for each in response.model_version_status
    )
    return tuple(sorted(versions, key=lambda status: -status.version))


def servable_of_saved_model(path: Path, model: str) -> Servable:
    """The servable in a SavedModel directory, or in the newest version directory of a model's base path.

    The version is the number that names the directory, 0 where it is not a number. Raises
    UnreadableMetadataError.
    """
    directory = _version_directory(path)
    try:
        saved_model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    except FileNotFoundError:
        why = "it has no saved_model.pb" if path.exists() else "there is nothing of that name"
        raise UnreadableMetadataError(f"no SavedModel in {path}: {why}") from None
    except NotADirectoryError:
        raise UnreadableMetadataError(
            f"{path} is a file: name the directory that has saved_model.pb, or a model's base path"
        ) from None
    except OSError as error:
        raise UnreadableMetadataError(f"cannot read the SavedModel in {path}: {error.strerror}") from error
    except DecodeError as error:
        raise UnreadableMetadataError(f"{directory / 'saved_model.pb'} is no SavedModel: {error}") from error
    tag_sets = [set(each.meta_info_def.tags) for each in saved_model.meta_graphs]
    for tags, meta_graph in zip(tag_sets, saved_model.meta_graphs, strict=True):
        if tags == {SERVE_TAG}:
            version = int(directory.name) if _is_version(directory) else 0
            return Servable(model, version, _signatures(meta_graph.signature_def))
    found = ", ".join("{" + ", ".join(sorted(tags)) + "}" for tags in tag_sets) or "none"
    raise UnreadableMetadataError(f"{directory} has no graph with the tags {{{SERVE_TAG}}}; it has {found}")


def _version_directory(path: Path) -> Path:
    if (path / "saved_model.pb").exists() or not path.is_dir():
        return path.resolve()
    versions = [each for each in path.iterdir() if _is_version(each)]
    return max(versions, key=lambda each: int(each.name), default=path).resolve()


def _is_version(directory: Path) -> bool:
    return directory.name.isascii() and directory.name.isdigit()


def _state_name(state: int) -> str:
    states = get_model_status_pb2.ModelVersionStatus.State
    return states.Name(state) if state in states.values() else f"STATE_{state}"


def _signatures(definitions: Mapping[str, meta_graph_pb2.SignatureDef]) -> dict[str, Signature]:
    return {
        name: Signature(
            name=name,
            method=definition.method_name,
            inputs={alias: _spec(alias, info) for alias, info in definition.inputs.items()},
            outputs={alias: _spec(alias, info) for alias, info in definition.outputs.items()},
            defaults=frozenset(definition.defaults),
        )
        for name, definition in definitions.items()
        if name != INIT_OP_SIGNATURE
    }


def _spec(alias: str, info: meta_graph_pb2.TensorInfo) -> TensorSpec:
    dtype = info.dtype - _REFERENCE_OFFSET if info.dtype > _REFERENCE_OFFSET else info.dtype
    shape = None
    if info.HasField("tensor_shape") and not info.tensor_shape.unknown_rank:
        shape = tuple(dim.size if dim.size >= 0 else UNKNOWN_DIM for dim in info.tensor_shape.dim)
    # Empty for the sparse and composite encodings, which have no single graph tensor.
    return TensorSpec(alias, dtype, shape, info.name)
