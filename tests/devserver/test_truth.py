"""The dev server answers 132 recorded requests as tensorflow_model_server 2.18.1 and 2.20.0 did.

`tests/truth/requests.jsonl` holds what was sent and what came back, `make_models.py` the models of both.
"""

import pytest

from proxy.wire.protos import predict_pb2
from tests.truth.rows import IDS, REBUILT, ROWS, request_of, unpack

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


def test_every_recorded_request_is_replayed():
    assert len(ROWS) == 132
    assert {row["label"] for row in ROWS if "request_zb64" not in row} == set(REBUILT)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_answers_as_the_genuine_server_did(row, client, unnumbered):
    answer = client.predict(request_of(row))

    assert answer.code == row["code"]
    assert unnumbered(answer.details) in ALSO_TRUE.get(row["label"], [unnumbered(row["details"])])
    if "response_zb64" in row:
        expected = predict_pb2.PredictResponse.FromString(unpack(row["response_zb64"]))
        assert predict_pb2.PredictResponse.FromString(answer.body) == expected
