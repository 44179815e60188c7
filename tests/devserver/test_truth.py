"""The dev server answers 132 recorded requests as tensorflow_model_server 2.18.1 and 2.20.0 did.

`tests/truth/requests.jsonl` holds what was sent and what came back, `make_models.py` the models of both.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from proxy.wire.protos import predict_pb2, types_pb2

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "truth" / "requests.jsonl").read_text().splitlines()
]

# Texts of the genuine server that vary from run to run, so that one recorded answer is not the only true one.
ALSO_TRUE = {
    # Which of several missing aliases is named depends on the order of a hash map.
    "two: both wrong names": [
        f"Signature input alias: {alias}(feed name: serving_default_{alias}:0) not found in request and no "
        "default value provided. Inputs expected to be in the request {a,b}, or default input alias set: "
        for alias in ("ids", "text")
    ],
    # Which of several bad nodes of the graph reports first is a race inside TensorFlow.
    "f300: flat [270000]": [
        f"{problem}\n\t [[{{{{function_node __inference_f300_N}}}}{{{{node {node}}}}}]]"
        for problem, node in (
            ("Invalid reduction dimension (1 for input with 1 dimension(s)", "Mean"),
            ("Index out of range using input dim 1; input has only 1 dims", "strided_slice"),
        )
    ],
}

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


def unpack(packed):
    return zlib.decompress(base64.b64decode(packed))


def rebuild(label):
    values = REBUILT[label]
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "f300"
    proto = request.inputs["images"]
    proto.dtype = DTYPES[values.dtype.name]
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = values.tobytes()
    return request.SerializeToString()


def test_every_recorded_request_is_replayed():
    assert len(ROWS) == 132
    assert {row["label"] for row in ROWS if "request_zb64" not in row} == set(REBUILT)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['section'][0]} {row['label']}" for row in ROWS])
def test_answers_as_the_genuine_server_did(row, client, unnumbered):
    label = row["label"]
    answer = client.predict(unpack(row["request_zb64"]) if "request_zb64" in row else rebuild(label))

    assert answer.code == row["code"]
    assert unnumbered(answer.details) in ALSO_TRUE.get(label, [unnumbered(row["details"])])
    if "response_zb64" in row:
        expected = predict_pb2.PredictResponse.FromString(unpack(row["response_zb64"]))
        assert predict_pb2.PredictResponse.FromString(answer.body) == expected
