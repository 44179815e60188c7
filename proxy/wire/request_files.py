"""Files with a PredictRequest in them → the bytes that a client would send.

Law: reads and converts, never judges. A binary file is passed on as it is; text, JSON and .npz become the
message they describe. Whatever cannot be read is said in one sentence; nothing in a file is ever executed.
"""

import contextlib
import io
import json
import pickle
import zipfile
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final

from google.protobuf import json_format, text_format

from proxy.core.explain import printable, quote
from proxy.wire.arrays import tensor_of
from proxy.wire.file_kinds import JSON, NPY, NPZ, PICKLE, SAVED_MODEL, TEXT, TFRECORD, is_request, kind_of
from proxy.wire.protos import predict_pb2


class Format(StrEnum):
    """How a file holds its request."""

    BINARY = "binary"
    TEXT = "text"
    JSON = "json"
    NPZ = "npz"


@dataclass(frozen=True, slots=True)
class Address:
    """What a file of bare arrays does not say: the model, and if wanted the signature and the version."""

    model: str = ""
    signature: str = ""
    version: int | None = None


class UnreadableRequestError(ValueError):
    """The file holds no request; the text says what is wrong with it and what to do."""


SUFFIXES: Final = {
    ".pb": Format.BINARY,
    ".bin": Format.BINARY,
    ".binpb": Format.BINARY,
    ".pbtxt": Format.TEXT,
    ".textproto": Format.TEXT,
    ".txtpb": Format.TEXT,
    ".json": Format.JSON,
    ".npz": Format.NPZ,
}
_FORMAT_OF_KIND: Final = {JSON: Format.JSON, TEXT: Format.TEXT, NPZ: Format.NPZ}
_WANTED: Final = {
    Format.BINARY: "a PredictRequest",
    Format.TEXT: "a PredictRequest in protobuf's text format",
    Format.JSON: "a PredictRequest in JSON",
    Format.NPZ: "an .npz archive",
}
_REMEDY: Final = "`tfs-proxy example MODEL` prints a client that makes one"
_ARRAYS: Final = "save the arrays with np.savez(FILE, alias=array) and name the model with --model"
_REMEDIES: Final = {
    SAVED_MODEL: "to judge requests by it, give its directory with --path",
    TFRECORD: "`tfs-proxy replay` sends the requests in it",
    NPY: _ARRAYS,
    PICKLE: _ARRAYS,
}
_LONGEST_LINE: Final = 400
_REST_KEYS: Final = ("instances", "inputs", "examples")


def format_of(name: str, data: bytes) -> Format:
    """What the file called `name` is: by its ending, else by what is in it."""
    found = SUFFIXES.get(PurePath(name).suffix.lower()) or _FORMAT_OF_KIND.get(kind := kind_of(data))
    if found is not None:
        return found
    if not kind and not is_request(data):
        raise UnreadableRequestError(
            "holds no PredictRequest in any known form (binary, text, JSON, .npz); if it is meant to, name its form with --format"
        )
    return Format.BINARY


def message_of(
    name: str, data: bytes, form: Format | None, address: Address, default_model: str = ""
) -> bytes:
    """The serialised PredictRequest in the file called `name`; `form` None: find out.

    `address` is for .npz files and must be empty for all others; `default_model` is for those .npz files
    whose `address` names none. Raises UnreadableRequestError.
    """
    if not data and form is not Format.BINARY:
        raise UnreadableRequestError("is empty")
    form = form or format_of(name, data)
    try:
        return _read(data, form, address, default_model)
    except UnreadableRequestError as error:
        kind = kind_of(data)
        if not kind or _FORMAT_OF_KIND.get(kind) is form or (kind, form) == (TEXT, Format.JSON):
            raise
        raise UnreadableRequestError(_another(kind, form)) from error


def _read(data: bytes, form: Format, address: Address, default_model: str) -> bytes:
    if form is Format.NPZ:
        return _from_npz(data, replace(address, model=address.model or default_model))
    if address != Address():
        raise UnreadableRequestError(
            "names its own model: --model, --signature and --version are for .npz files, which only hold arrays"
        )
    if form is not Format.BINARY:
        return _from_words(form, data)
    if kind_of(data):
        raise UnreadableRequestError
    return data


def _another(kind: str, form: Format) -> str:
    """What to say of a file of another kind than `form`."""
    told = f"this is {kind}, not {_WANTED[form]}"
    own = _FORMAT_OF_KIND.get(kind)
    if own is not None:
        return f"{told}; if a request is in it, say --format {own}"
    return f"{told}; {_REMEDIES.get(kind, _REMEDY)}"


def _from_words(form: Format, data: bytes) -> bytes:
    request = predict_pb2.PredictRequest()
    try:
        text = data.decode("utf-8-sig")
        if form is Format.JSON:
            _reject_rest(text)
            json_format.Parse(text, request)
        else:
            text_format.Parse(text, request)
    except UnicodeDecodeError as error:
        raise UnreadableRequestError(f"is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except RecursionError:
        raise UnreadableRequestError("is nested deeper than any PredictRequest") from None
    except json_format.ParseError as error:
        raise UnreadableRequestError(
            f"is not a PredictRequest in JSON (proto3 mapping): {_first_line(error)}"
        ) from error
    except text_format.ParseError as error:
        raise UnreadableRequestError(
            f"is not a PredictRequest in protobuf's text format: line:column {_first_line(error)}"
        ) from error
    return bytes(request.SerializeToString())


def _reject_rest(text: str) -> None:
    """TF Serving's REST API has a JSON of its own, which is the likelier thing to have at hand."""
    with contextlib.suppress(json.JSONDecodeError):
        top = json.loads(text)
        if not isinstance(top, dict) or "modelSpec" in top or "model_spec" in top:
            return
        found = next((key for key in _REST_KEYS if key in top), None)
        if found is not None:
            raise UnreadableRequestError(
                f"is a body for TF Serving's REST API (it has {found!r} and no 'modelSpec'); a PredictRequest "
                "in JSON reads "
                '{"modelSpec": {"name": "m"}, "inputs": {"x": {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "1"}]}, "floatVal": [1.0]}}}'
            )


def _first_line(error: Exception) -> str:
    """What others say of a file, which may quote it."""
    line = (str(error).splitlines() or [""])[0].rstrip(". ")
    return printable(line[:_LONGEST_LINE]) or type(error).__name__


# === .npz ===


def _from_npz(data: bytes, address: Address) -> bytes:
    if not address.model:
        raise UnreadableRequestError("holds arrays only: say with --model which model they are for")
    request = predict_pb2.PredictRequest()
    try:
        request.model_spec.name = address.model
        request.model_spec.signature_name = address.signature
    except UnicodeEncodeError:
        raise UnreadableRequestError("cannot be sent: --model and --signature must be UTF-8 text") from None
    if address.version is not None:
        request.model_spec.version.value = address.version
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                alias = member.removesuffix(".npy")
                with archive.open(member) as stream:
                    try:
                        request.inputs[alias].CopyFrom(tensor_of(_read_array(stream)))
                    except UnreadableRequestError:
                        raise
                    except Exception as error:
                        # zlib, numpy and pickle have many ways to say that they cannot read something.
                        raise UnreadableRequestError(f"array {quote(alias)}: {_first_line(error)}") from error
    except UnreadableRequestError:
        raise
    except Exception as error:  # as many as zipfile has
        raise UnreadableRequestError(f"is not an .npz archive of numpy: {_first_line(error)}") from error
    return bytes(request.SerializeToString())


def _read_array(stream: Any) -> Any:
    try:
        from numpy.lib import format as npy  # only .npz files need numpy
    except ModuleNotFoundError:
        raise UnreadableRequestError("reading .npz files needs numpy: pip install numpy") from None
    content = io.BytesIO(stream.read())
    version = npy.read_magic(content)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    _, _, dtype = read_header(content)
    if dtype.hasobject:
        return _ObjectArrays(content).load()
    content.seek(0)
    return npy.read_array(content, allow_pickle=False)


class _ObjectArrays(pickle.Unpickler):
    """Reads what numpy writes for an array of objects, and calls nothing but what rebuilds arrays.

    A pickle can name any function to be called; here every name but these is refused.
    """

    _ALLOWED: Final = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            # How str and bytes look in the older pickle protocols.
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(
                f"holds Python objects ({module}.{name}); only str and bytes can be sent"
            )
        return super().find_class(module, name)
