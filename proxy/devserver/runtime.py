"""TensorFlow's C API through ctypes: the one file that touches the shared library.

Law: names and bytes go in, tensors and TensorFlowError come out; nothing here knows signatures or gRPC.

tensorflow_model_server loads a model with the C++ function LoadSavedModel and runs it with Session::Run. The
C API calls those same two, so every text, silence and crash below this line is TensorFlow's own. The Python
package would not do: its Session compares each feed with the placeholder's shape, which the C++ server never
does; it also takes ten times as long to start. What is loaded is libtensorflow_cc of the installed wheel.
"""

import contextlib
import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any, Final, Self

from proxy.devserver.protos import config_pb2, error_codes_pb2


class TensorFlowError(Exception):
    """A status that is not OK: `code` is the canonical number, the same in TensorFlow and gRPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """`CODE_NAME: text`, as absl::Status prints itself."""
        return f"{error_codes_pb2.Code.Name(self.code)}: {self.message}"


UNKNOWN: Final[int] = error_codes_pb2.UNKNOWN
INVALID_ARGUMENT: Final[int] = error_codes_pb2.INVALID_ARGUMENT
NOT_FOUND: Final[int] = error_codes_pb2.NOT_FOUND
FAILED_PRECONDITION: Final[int] = error_codes_pb2.FAILED_PRECONDITION
UNIMPLEMENTED: Final[int] = error_codes_pb2.UNIMPLEMENTED
DATA_LOSS: Final[int] = error_codes_pb2.DATA_LOSS


class _Buffer(Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


class _Output(Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


# Every function used, its result and its arguments, as in tensorflow/c/c_api.h, tf_tensor.h, tf_status.h.
_FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "TF_NewStatus": (c_void_p, ()),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_NewBuffer": (POINTER(_Buffer), ()),
    "TF_DeleteBuffer": (None, (POINTER(_Buffer),)),
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_TensorFromProto": (None, (POINTER(_Buffer), c_void_p, c_void_p)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_TensorType": (c_int, (c_void_p,)),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_TensorByteSize": (c_size_t, (c_void_p,)),
    "TF_TensorElementCount": (c_int64, (c_void_p,)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_DataTypeSize": (c_size_t, (c_int,)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
    "TF_NewGraph": (c_void_p, ()),
    "TF_DeleteGraph": (None, (c_void_p,)),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_NewSession": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (
            c_void_p,
            POINTER(_Buffer),
            c_char_p,
            POINTER(c_char_p),
            c_int,
            c_void_p,
            POINTER(_Buffer),
            c_void_p,
        ),
    ),
    "TF_SessionRun": (
        None,
        (
            c_void_p,
            POINTER(_Buffer),
            POINTER(_Output),
            POINTER(c_void_p),
            c_int,
            POINTER(_Output),
            POINTER(c_void_p),
            c_int,
            c_void_p,
            c_int,
            c_void_p,
            c_void_p,
        ),
    ),
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
}
_BYTES_PER_TSTRING: Final = 24  # sizeof(TF_TString), tensorflow/core/platform/ctstring_internal.h
_DT_FLOAT: Final = 1
_LONGEST_TIMEOUT_MS: Final = 2**31 - 1


def _load_library() -> ctypes.CDLL:
    """Load libtensorflow_cc and let it look at its devices.

    Raises:
        ModuleNotFoundError: the TensorFlow wheel, or its C++ library, is not installed.
    """
    spec = importlib.util.find_spec("tensorflow")
    folders = (spec.submodule_search_locations if spec else None) or ()
    paths = [path for folder in folders for path in sorted(Path(folder).glob("libtensorflow_cc.*"))]
    if not paths:
        raise ModuleNotFoundError(
            "the dev server runs models with the real TensorFlow, and its C++ library is not installed: "
            "pip install 'tfs-proxy[devserver]'"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    with _muted_stderr() if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0" else contextlib.nullcontext():
        library = ctypes.CDLL(str(paths[0]))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        # The first session makes the devices, which log as they come up.
        graph, options = library.TF_NewGraph(), library.TF_NewSessionOptions()
        status = library.TF_NewStatus()
        library.TF_DeleteSession(library.TF_NewSession(graph, options, status), status)
        library.TF_DeleteStatus(status)
        library.TF_DeleteSessionOptions(options)
        library.TF_DeleteGraph(graph)
    return library


@contextlib.contextmanager
def _muted_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere: TensorFlow 2.21 logs its start whatever TF_CPP_MIN_LOG_LEVEL says."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_TF: Final = _load_library()


@contextlib.contextmanager
def _status() -> Iterator[int]:
    """Yield a TF_Status and raise TensorFlowError if the call left anything but OK in it."""
    status = _TF.TF_NewStatus()
    try:
        yield status
        code = _TF.TF_GetCode(status)
        if code:
            raise TensorFlowError(code, _TF.TF_Message(status).decode(errors="replace"))
    finally:
        _TF.TF_DeleteStatus(status)


def _buffer(data: bytes) -> _Buffer:
    """View `data` as a TF_Buffer without a copy; the caller keeps `data` alive."""
    return _Buffer(ctypes.cast(c_char_p(data), c_void_p), len(data), None)


class Tensor:
    """A tensor in TensorFlow's memory; freed with the object."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __del__(self) -> None:
        _TF.TF_DeleteTensor(self.handle)

    @classmethod
    def from_proto(cls, serialized: bytes) -> Self:
        """Parse a serialized TensorProto with Tensor::FromProto; padding, zero fill, wrap-around are its own.

        Raises:
            TensorFlowError: INVALID_ARGUMENT when TensorFlow cannot make a tensor of it.
        """
        tensor = cls(_TF.TF_AllocateTensor(_DT_FLOAT, None, 0, 4))
        with _status() as status:
            _TF.TF_TensorFromProto(byref(_buffer(serialized)), tensor.handle, status)
        return tensor

    @property
    def dtype(self) -> int:
        """The number in types.proto."""
        return int(_TF.TF_TensorType(self.handle))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(_TF.TF_Dim(self.handle, axis) for axis in range(_TF.TF_NumDims(self.handle)))

    def values(self, element: str) -> list[Any]:
        """List the elements in row-major order; `element` is the format of one, as in `struct`."""
        size = _TF.TF_TensorByteSize(self.handle)
        if not size:
            return []
        elements: Any = memoryview((c_char * size).from_address(_TF.TF_TensorData(self.handle))).cast("B")
        return list(elements.cast(element))

    @property
    def strings(self) -> list[bytes]:
        """The elements of a DT_STRING tensor, in row-major order."""
        start = _TF.TF_TensorData(self.handle)
        elements = (start + _BYTES_PER_TSTRING * i for i in range(_TF.TF_TensorElementCount(self.handle)))
        return [
            ctypes.string_at(_TF.TF_StringGetDataPointer(at), _TF.TF_StringGetSize(at)) for at in elements
        ]


class Session:
    """A loaded SavedModel: C++ LoadSavedModel, with restored variables, assets and the initialisation run."""

    def __init__(self, export_dir: Path) -> None:
        """Load the meta graph with the tag `serve`.

        Raises:
            TensorFlowError: whatever LoadSavedModel says.
        """
        self._graph = _TF.TF_NewGraph()
        self._session: int | None = None
        options, meta_graph = _TF.TF_NewSessionOptions(), _TF.TF_NewBuffer()
        tags = (c_char_p * 1)(b"serve")
        try:
            with _status() as status:
                self._session = _TF.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(export_dir), tags, 1, self._graph, meta_graph, status
                )
            self.meta_graph: Final[bytes] = ctypes.string_at(
                meta_graph.contents.data, meta_graph.contents.length
            )
        finally:
            _TF.TF_DeleteSessionOptions(options)
            _TF.TF_DeleteBuffer(meta_graph)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the session and its graph; nobody may be running it."""
        if self._graph is None:
            return
        if self._session is not None:
            with contextlib.suppress(TensorFlowError), _status() as status:
                _TF.TF_CloseSession(self._session, status)
                _TF.TF_DeleteSession(self._session, status)
        _TF.TF_DeleteGraph(self._graph)
        self._graph = self._session = None

    def run(
        self, feeds: Mapping[str, Tensor], fetches: Sequence[str], timeout_seconds: float | None
    ) -> list[Tensor]:
        """Session::Run: graph tensor names such as `x:0` in, one tensor per fetch out.

        Raises:
            TensorFlowError: whatever TensorFlow says; DEADLINE_EXCEEDED once the timeout has passed.
        """
        # Alphabetical, which is how Session::Run numbers its arguments in error texts (measured, section C).
        names = sorted(feeds)
        values = (c_void_p * len(names))(*(feeds[name].handle for name in names))
        inputs = (_Output * len(names))(
            *(self._output(name, "FeedInputs: unable to find feed output {}") for name in names)
        )
        outputs = (_Output * len(fetches))(
            *(self._output(name, "FetchOutputs node {}: not found") for name in fetches)
        )
        results = (c_void_p * len(fetches))()
        options = config_pb2.RunOptions()
        if timeout_seconds is not None:
            options.timeout_in_ms = max(1, min(int(timeout_seconds * 1000), _LONGEST_TIMEOUT_MS))
        serialized_options = options.SerializeToString()
        with _status() as status:
            _TF.TF_SessionRun(
                self._session,
                byref(_buffer(serialized_options)),
                inputs,
                values,
                len(names),
                outputs,
                results,
                len(fetches),
                None,
                0,
                None,
                status,
            )
        return [Tensor(handle) for handle in results if handle is not None]

    def _output(self, name: str, not_found: str) -> _Output:
        operation, _, index = name.partition(":")
        found = _TF.TF_GraphOperationByName(self._graph, operation.encode())
        if not found:
            # The C API wants operations, not names; the texts are those of Session::Run
            # (tensorflow/core/graph/subgraph.cc).
            raise TensorFlowError(NOT_FOUND, not_found.format(name))
        return _Output(found, int(index or 0))
