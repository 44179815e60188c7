"""Rows for the server's own device and libraries: GPU, driver, CUDA, cuDNN, BLAS. No request and no export mends it.

Law: what names such a library while TensorFlow blames no argument is the library's fault, whatever the words around
it. Only what stands before the name of a node counts, since people name nodes after libraries. Words: those in the
binary of TensorFlow 2.21, and what users quoted (tensorflow/serving#1474, tensorflow/models#7088).
"""

from functools import partial
from typing import Final

from proxy.core.reasons import Reason
from proxy.diagnosis.answer import Row, row

_fault = partial(row, reason=Reason.UPSTREAM_DEVICE_FAULT, failures="F116", append=True)

_BLAMES_NOBODY: Final = frozenset({0, 2, 5, 8, 9, 10, 12, 13})
"""UNKNOWN, NOT_FOUND (`No algorithm worked!`), RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, UNIMPLEMENTED and
INTERNAL; 0 is an error within another one, whose code nobody knows.
"""


def _kernels_own(text: str) -> str:
    """What a kernel of TensorFlow says, without the names of functions and nodes around it."""
    if text.startswith("tfs-proxy: "):
        return ""  # of the way to the server, and of its host's name
    if text.startswith("{{"):
        text = text.partition("}}")[2]
    return text.partition("[[")[0]


_failure = partial(_fault, codes=_BLAMES_NOBODY, says=_kernels_own)

_LIBRARIES: Final = (
    r"(?i:cudnn|cu(?:da|blas|fft|rand|solver|sparse|tensor)|nccl|\bblas\b|\bdnn\b|\bfft\b|onednn|\bmkl|tensorrt|\btrt\b"
    r"|rocm|miopen|(?:roc|hip)(?:blas|fft|rand|solver|sparse)|hiperror|gpuprim|stream ?executor|\bcu(?:init|mem|ctx|launch|stream|device|module)|\bnv(?:rtc|ml)\b)|\b[GT]PU\b"
)

DEVICE_FAULTS: Final[tuple[Row, ...]] = (
    _fault(
        r"Could not satisfy (?:explicit )?device specification|Cannot assign a device for operation",
        sentence="the graph is pinned to a device that the server does not have, such as a GPU",
        remedy="See in the server's log why it finds no such device; or export the model without tf.device.",
    ),
    _failure(
        r"(?P<what>driver version is insufficient|insufficient driver|INSUFFICIENT_DRIVER|DRIVER_MISMATCH"
        r"|no kernel image is available|NO_BINARY_FOR_GPU|compiled for a different GPU|kernel image is invalid"
        r"|unsupported toolchain|UNSUPPORTED_PTX_VERSION|no CUDA-capable device|invalid device ordinal)",
        sentence="the server's GPU, its driver and the CUDA it was built with do not fit one another ({what})",
        remedy="Compare the driver (nvidia-smi) and the GPU's compute capability with the CUDA version of the server's image.",
    ),
    _failure(
        r"(?P<what>libdevice|ptxas|nvlink|PTX compilation|JIT compilation|[Dd]evice code)",
        sentence="the server cannot compile code for its GPU ({what}): a part of the CUDA toolkit is missing or too old",
        remedy="Use an image with the toolkit, or name its folder: XLA_FLAGS=--xla_gpu_cuda_data_dir=/usr/local/cuda.",
    ),
    _failure(
        rf"(?P<what>{_LIBRARIES}"
        r"|No algorithm worked|(?:[Ff]ail(?:ed|ure)? to|Could not|Unable to) launch|[Ff]ailed launching|launch fail(?:ed|ure)"
        r"|Failed to call \w*Rnn|illegal memory access|misaligned address|device-side assert|Operation received an exception)",
        sentence="the server's device or one of its libraries failed ({what}); nothing says that the request is why",
    ),
)
"""The first match counts."""
