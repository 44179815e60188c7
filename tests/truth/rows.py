"""132 requests that were sent to tensorflow_model_server 2.18.1, its answers, and what the proxy should do.

A row has `label`, `code` and `details` (the server's answer), and `expect`: the verdict `forward`, `refuse` or
`either`, the reasons (`A|B`: one of the two is enough) and at most one warning.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np

from proxy.wire.protos import predict_pb2, types_pb2

ROWS = [json.loads(line) for line in (Path(__file__).parent / "requests.jsonl").read_text().splitlines()]
IDS = [f"{row['section'][0]} {row['label']}" for row in ROWS]

IMAGE = np.random.RandomState(0).rand(1, 300, 300, 3).astype(np.float32)
# The requests that are too large to be recorded.
REBUILT = {
    "f300: correct": IMAGE,
    "f300: uint8 instead of float": IMAGE.astype(np.uint8),
    "f300: float64 instead of float": IMAGE.astype(np.float64),
    "f300: half instead of float": IMAGE.astype(np.float16),
    "f300: wrong fixed dim [1,299,300,3]": IMAGE[:, :299],
    "f300: [1,224,224,3]": IMAGE[:, :224, :224],
    "f300: flat [270000]": IMAGE.reshape(-1),
}
DTYPES = {
    "float32": types_pb2.DT_FLOAT,
    "float64": types_pb2.DT_DOUBLE,
    "float16": types_pb2.DT_HALF,
    "uint8": types_pb2.DT_UINT8,
}


def unpack(packed: str) -> bytes:
    return zlib.decompress(base64.b64decode(packed))


def request_of(row) -> bytes:
    """The serialised PredictRequest of a row."""
    if "request_zb64" in row:
        return unpack(row["request_zb64"])
    values = REBUILT[row["label"]]
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "f300"
    proto = request.inputs["images"]
    proto.dtype = DTYPES[values.dtype.name]
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = values.tobytes()
    return request.SerializeToString()
