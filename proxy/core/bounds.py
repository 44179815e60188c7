"""How many parts a request may have before anyone looks at them one by one.

Law: numbers, and the one verdict for going beyond them. Each is far above what a real model takes, and low enough
that looking at so many in Python stays well under a quarter of a second.
"""

from proxy.core.reasons import Reason
from proxy.core.verdict import Verdict, Violation

MAX_INPUTS = 16_384
"""Entries of `inputs` in a PredictRequest, and entries of its `output_filter`."""

MAX_STRINGS = 262_144
"""Strings in all tensors of a request together."""

MAX_DIMS = 65_536
"""Dimensions in all tensors of a request together; TensorFlow takes at most 254 in one."""

MAX_TASKS = 1024
"""Tasks of a MultiInferenceRequest; TF Serving runs two (`multi_inference.cc`)."""

MAX_FIELDS = 262_144
"""Fields that a request may be written with where it is not as serialisers write it; strings, and single values of one
field in a row, are not counted.
"""

MAX_NAMES = 4 << 20
"""Bytes of all names in a request together: of its model, its inputs and outputs; and of shapes and handles that
are not as serialisers write them.
"""

MAX_SPEC = 16_384
"""Bytes of a model_spec; TF Serving names models after what a configuration file holds."""

MAX_METADATA = 128
"""Fields in the metadata of a call, those of HTTP/2 and gRPC included (Envoy takes 100)."""


MAX_QUESTION = 4096
"""Bytes of a question about a model. Servers that echo its name in an error would answer with as much metadata, and
what a client of the server may not be sent in a head ends the connection that all clients share."""

MAX_COMPRESSED_QUESTION = 256
"""The same where the message may be compressed, a thousand times at most."""


def too_complex(what: str, limit: int) -> Verdict:
    """The refusal of a request with more than `limit` of `what` ("inputs")."""
    violation = Violation(
        Reason.REQUEST_TOO_COMPLEX, "", "request", f"at most {limit} {what}", "more", "send fewer at once"
    )
    return Verdict((violation,))


def too_much_metadata(what: str, limit: int) -> Verdict:
    """The refusal of a call whose metadata has more than `limit` of `what` ("fields")."""
    hint = "leave out cookies and whatever else the server does not read"
    violation = Violation(Reason.REQUEST_TOO_COMPLEX, "", "metadata", f"at most {limit} {what}", "more", hint)
    return Verdict((violation,))
