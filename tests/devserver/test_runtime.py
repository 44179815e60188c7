"""What TensorFlow itself does with shapes that no one compared with the signature (measured, sections Z and ZZ)."""

import numpy as np
import pytest

from proxy.wire.protos import predict_pb2, tensor_pb2, types_pb2

LIST = (
    "Specified a list with shape [?,?,3] from a tensor with shape {}\n"
    "\t [[{{{{function_node __inference_g_N}}}}{{{{node map/TensorArrayUnstack/TensorListFromTensor}}}}]]"
)
RESHAPE = (
    "Input to reshape is a tensor with {} values, but the requested shape requires a multiple of 90000\n"
    "\t [[{{{{function_node __inference_f_N}}}}{{{{node Reshape}}}}]]"
)
CONV = "\n\t [[{{node StatefulPartitionedCall/StatefulPartitionedCall/Conv2D}}]]"
DECODE = "\n\t [[{{function_node map_while_body_N}}{{node map/while/decode_image/DecodeImage}}]]"


def image_request(model, shape, value=0.0):
    alias, dtype = {"conv": ("images", "float32"), "convresize": ("image_tensor", "uint8")}[model]
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    proto = request.inputs[alias]
    proto.dtype = types_pb2.DT_FLOAT if dtype == "float32" else types_pb2.DT_UINT8
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = np.full(shape, value, dtype).tobytes()
    return request


def bytes_request(*values, shape=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "enc"
    proto = request.inputs["image_bytes"]
    proto.CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values))
    proto.tensor_shape.SetInParent()
    for size in [len(values)] if shape is None else shape:
        proto.tensor_shape.dim.add(size=size)
    return request


def outputs(answer, alias):
    """(shape, values) of one output."""
    assert answer.code == "OK", answer.details
    proto = predict_pb2.PredictResponse.FromString(answer.body).outputs[alias]
    return [dim.size for dim in proto.tensor_shape.dim], list(proto.float_val)


@pytest.mark.parametrize(
    ("shape", "batch"),
    [
        ([1, 300, 300, 3], 1),
        ([1, 299, 300, 3], 1),
        ([1, 150, 600, 3], 1),
        ([2, 150, 300, 3], 1),
        ([4, 300, 300, 3], 4),
        ([1, 1, 300, 300, 3], 1),
        ([0, 300, 300, 3], 0),
    ],
)
def test_a_convolution_accepts_every_shape_of_the_right_area(shape, batch, client):
    answer = client.predict(image_request("conv", shape))
    assert outputs(answer, "scores") == ([batch, 2], [0.5, 0.5] * batch)


@pytest.mark.parametrize(
    ("shape", "details"),
    [
        ([1, 301, 300, 3], RESHAPE.format(90600)),
        ([1, 224, 224, 3], RESHAPE.format(50176)),
        ([1, 300, 300, 1], f"input depth must be evenly divisible by filter depth: 1 vs 3{CONV}"),
        ([1, 300, 300, 4], f"input depth must be evenly divisible by filter depth: 4 vs 3{CONV}"),
        ([1, 3, 300, 300], f"output depth must be evenly divisible by number of groups: 4 vs 100{CONV}"),
    ],
)
def test_a_convolution_names_nodes_of_the_graph_for_the_others(shape, details, client, unnumbered):
    answer = client.predict(image_request("conv", shape))
    assert (answer.code, unnumbered(answer.details)) == ("INVALID_ARGUMENT", details)


def test_nan_goes_in_and_comes_out(client):
    _, values = outputs(client.predict(image_request("conv", [1, 300, 300, 3], np.nan)), "scores")
    assert np.isnan(values).all()


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_resizing_model_scores_each_image_of_a_batch(batch, client):
    shape, values = outputs(client.predict(image_request("convresize", [batch, 480, 640, 3], 128)), "scores")
    assert shape == [batch, 2]
    assert values == values[:2] * batch


@pytest.mark.parametrize(
    ("shape", "details"),
    [
        ([480, 640, 3], LIST.format("[640,3]")),
        ([480, 640], LIST.format("[640]")),
        ([1, 480, 640, 4], LIST.format("[480,640,4]")),
        ([1, 480, 640, 1], LIST.format("[480,640,1]")),
        ([1, 3, 480, 640], LIST.format("[3,480,640]")),
        ([1, 1, 480, 640, 3], LIST.format("[1,480,640,3]")),
        ([921600], LIST.format("[]")),
        (
            [1, 0, 0, 3],
            (
                "input image must be of non-zero size\n"
                "\t [[{{function_node map_while_body_N}}{{node map/while/resize/ResizeBilinear}}]]"
            ),
        ),
    ],
)
def test_a_resizing_model_names_its_loop_for_a_wrong_shape(shape, details, client, unnumbered):
    answer = client.predict(image_request("convresize", shape))
    assert (answer.code, unnumbered(answer.details)) == ("INVALID_ARGUMENT", details)


@pytest.mark.parametrize(
    ("values", "details"),
    [
        # The list of formats is the one thing that TensorFlow 2.21 words differently from 2.18 and 2.20.
        (
            [b"garbage"],
            f"Unknown image file format. One of JPEG, JPEG XL, PNG, GIF, BMP, WebP required.{DECODE}",
        ),
        ([b""], f"Input is empty.{DECODE}"),
    ],
)
def test_an_image_that_cannot_be_decoded_is_told_by_the_decoder(values, details, client, unnumbered):
    answer = client.predict(bytes_request(*values))
    assert (answer.code, unnumbered(answer.details)) == ("INVALID_ARGUMENT", details)


@pytest.mark.parametrize(
    ("request_", "function"),
    [(image_request("convresize", []), "g"), (bytes_request(b"x", shape=[]), "f")],
    ids=["convresize", "enc"],
)
def test_a_scalar_for_a_batch_fails_at_the_start_of_the_loop(request_, function, client, unnumbered):
    answer = client.predict(request_)
    # Which of the two nodes reports first is a race inside TensorFlow.
    texts = {
        "strided_slice": "slice index 0 of dimension 0 out of bounds.",
        "TensorArrayUnstack/TensorListFromTensor": "Tensor must be at least a vector, but saw shape: []",
    }
    assert answer.code == "INVALID_ARGUMENT"
    assert unnumbered(answer.details) in [
        f"{text}\n\t [[{{{{function_node __inference_{function}_N}}}}{{{{node map/{node}}}}}]]"
        for node, text in texts.items()
    ]


@pytest.mark.parametrize("shape", [[300, 300, 3], [270000], [1, 270000], []])
def test_an_image_without_its_batch_dimension_aborts_the_server(shape, models_dir, start_dev_server, connect):
    server = start_dev_server(f"--model=conv={models_dir / 'conv'}")
    answer = connect(server.target).predict(image_request("conv", shape))

    assert answer.code == "UNAVAILABLE"
    assert "Socket closed" in answer.details
    assert server.process.wait(timeout=10) == -6
    assert "tensor_format.h:428] Check failed: index >= 0" in server.log.read_text()


def test_the_abort_takes_the_requests_of_others_with_it(models_dir, start_dev_server, connect):
    server = start_dev_server(f"--model=conv={models_dir / 'conv'}", f"--model=slow={models_dir / 'slow'}")
    bystander, culprit = connect(server.target), connect(server.target)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "slow"
    request.inputs["n"].CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_INT64, int64_val=[10**6]))
    request.inputs["n"].tensor_shape.dim.add(size=1)
    running = bystander.channel.unary_unary("/tensorflow.serving.PredictionService/Predict").future(
        request.SerializeToString(), timeout=30
    )

    assert culprit.predict(image_request("conv", [300, 300, 3])).code == "UNAVAILABLE"
    assert running.exception(timeout=10).code().name == "UNAVAILABLE"


def test_without_onednn_the_same_image_is_only_refused(models_dir, start_dev_server, connect, unnumbered):
    server = start_dev_server(f"--model=conv={models_dir / 'conv'}", env={"TF_ENABLE_ONEDNN_OPTS": "0"})
    answer = connect(server.target).predict(image_request("conv", [300, 300, 3]))
    assert (answer.code, unnumbered(answer.details)) == (
        "INVALID_ARGUMENT",
        (
            "convolution input must be 4-dimensional: [300,300,3]\n"
            "\t [[{{function_node __inference_f_N}}{{node Conv2D}}]]"
        ),
    )
