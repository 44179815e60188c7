"""PredictRequest and PredictResponse bytes → what the answer shows.

Law: only extracts; what is wrong is for `core.outputs` to say. Parses whole messages: for a sample of the calls, away
from the event loop. Needs numpy, which is imported on use.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from proxy.core.outputs import OutputFacts
from proxy.core.types import DTYPES
from proxy.wire.protos import predict_pb2
from proxy.wire.values import flat_values

_DIGEST_BYTES: Final = 16
_INEXACT: Final = "fc"


def output_facts(request: bytes, response: bytes) -> OutputFacts:
    """The facts of one answered call; raises google.protobuf.message.DecodeError for what is no such message."""
    inputs = predict_pb2.PredictRequest.FromString(request).inputs
    outputs = predict_pb2.PredictResponse.FromString(response).outputs
    measures, not_finite = _not_finite(outputs)
    return OutputFacts(
        _digest(inputs), _digest(outputs), measures, not_finite, _not_finite(inputs)[1] if not_finite else ()
    )


def _digest(tensors: Mapping[str, Any]) -> bytes:
    """Of names, dtypes, shapes and values, in whatever order they came."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for alias in sorted(tensors):
        # A length before each part keeps two of them from being read as another two.
        for part in (alias.encode(), tensors[alias].SerializeToString(deterministic=True)):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.digest()


def _not_finite(tensors: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    """Whether there are floating-point values at all, and which tensors have some that are not finite."""
    import numpy as np

    measures, found = False, []
    for alias, tensor in sorted(tensors.items()):
        kind = DTYPES.get(tensor.dtype)
        values = flat_values(tensor, kind) if kind is not None and kind.size else None
        if values is None or values.dtype.kind not in _INEXACT or values.size == 0:
            continue
        measures = True
        if not np.isfinite(values).all():
            found.append(alias)
    return measures, tuple(found)
