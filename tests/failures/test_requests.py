"""Requests that users got wrong, sent to the real runtime: what the proxy answers instead, or adds.

Each case is (failures, the request, the code, words of the answer).
"""

import numpy as np
import pytest

from proxy.wire.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
)
from tests.judging import predict, tensor

SERVICE = "/tensorflow.serving.PredictionService"
IMAGE = tensor("float32", (1, 300, 300, 3))
TEXT = tensor("string", (1,), string_val=[b"hello"])
IDS = tensor("int64", (1, 4))


def image(*dims):
    return tensor("float32", dims)


def versioned(model, version=None, label=None):
    request = predict(model, x=tensor("float32", (1,)))
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


def classify(model):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = model
    request.input.example_list.examples.add()
    return request


def model_metadata(model):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = model
    return request


def multi_inference(*tasks):
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, kind in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{kind}")
        task.model_spec.name, task.model_spec.signature_name = model, signature
    return request


REFUSED = [
    # names and signatures
    ("F01", predict("ssd", input=tensor("uint8", (1, 4, 4, 3))), "INVALID_ARGUMENT", "'image_tensor'"),
    ("F02", predict("two", text=TEXT, id=IDS), "INVALID_ARGUMENT", "did you mean 'ids'"),
    ("F03", predict("enc", images=IMAGE), "INVALID_ARGUMENT", "'image_bytes'"),
    ("F04", predict("twosig_def", z=image(1, 2)), "INVALID_ARGUMENT", "signature_name to 'sig_b'"),
    ("F05", predict("ssd", **{"image_tensor:0": tensor("uint8", (1, 4, 4, 3))}), "INVALID_ARGUMENT", "'image_tensor'"),
    ("F06", predict("two", text=TEXT), "INVALID_ARGUMENT", "'ids'"),
    ("F07", predict("two", examples=TEXT), "INVALID_ARGUMENT", "3 problems: (1) input 'examples'"),
    ("F10", predict("ssd", "predict", image_tensor=tensor("uint8", (1, 4, 4, 3))), "FAILED_PRECONDITION", "'serving_default'"),
    ("F11", predict("twosig", x=image(1, 2)), "FAILED_PRECONDITION", "'sig_a'"),
    ("F19", predict("two", outputs=["len"], text=TEXT, ids=IDS), "INVALID_ARGUMENT", "'lens'"),
    # dtype and encoding
    ("F20", predict("f300", images=TEXT), "INVALID_ARGUMENT", "float32"),
    ("F21", predict("f300", images=tensor("string", (1,), string_val=[IMAGE.SerializeToString()[:200]])), "INVALID_ARGUMENT", "expected float32"),
    ("F22", predict("two", text=TEXT, ids=tensor("int32", (1, 4))), "INVALID_ARGUMENT", "int64"),
    ("F26", predict("f300", images=tensor("float32", (1, 300, 300, 3), tensor_content=b"1234")), "INVALID_ARGUMENT", "1080000 bytes"),
    ("F27", predict("f300", images=tensor("float32", (1 << 40, 300, 300, 3), tensor_content=b"1234")), "INVALID_ARGUMENT", "bytes"),
    ("F28", predict("two", text=TEXT, ids=tensor("int64", (1, 4), int_val=[1, 2, 3, 4])), "INVALID_ARGUMENT", "int64_val"),
    ("F28", predict("two", text=TEXT, ids=tensor("int64", (1, 4), int64_val=[1, 2])), "INVALID_ARGUMENT", "4"),
    ("F93", predict("f300", images=tensor("uint8", (1, 300, 300, 3))), "INVALID_ARGUMENT", "float32"),
    ("F94", predict("f300", images=tensor("float32", (1, 300, 300, 3), tensor_content=b"")), "INVALID_ARGUMENT", "zeros|no values"),
    # shape
    ("F29", predict("two", text=TEXT, ids=tensor("int64", (1, 3))), "INVALID_ARGUMENT", "[?,4]"),
    ("F30", predict("fixed", x=image(4, 2)), "INVALID_ARGUMENT", "fixed batch of 2"),
    ("F31", predict("f300", images=image(270000)), "INVALID_ARGUMENT", "send [1,300,300,3] (np.reshape"),
    ("F33", predict("f300", images=image(1, 1, 300, 300, 3)), "INVALID_ARGUMENT", "[?,300,300,3]"),
    ("F34", predict("f300", images=image(300, 300, 3)), "INVALID_ARGUMENT", "batch"),
    ("F35", predict("scalar", x=image(1)), "INVALID_ARGUMENT", "[]"),
    ("F36", predict("two", text=TEXT, ids=tensor("int64")), "INVALID_ARGUMENT", "[?,4]"),
    ("F37", predict("f300", images=image(1, 224, 224, 3)), "INVALID_ARGUMENT", "resize the image to 300x300"),
    ("F38", predict("f300", images=image(1, 3, 300, 300)), "INVALID_ARGUMENT", "transpose"),
    # which model, which version
    ("F41", predict("sdd", x=IMAGE), "NOT_FOUND", "did you mean 'ssd'"),
    ("F43", versioned("multi", 2), "NOT_FOUND", "3 AVAILABLE, 1 AVAILABLE"),
    ("F44", versioned("multi", label="stable"), "INVALID_ARGUMENT", "label 'stable'"),
    ("F47", predict("corrupt", x=IMAGE), "NOT_FOUND", "Read less bytes than requested"),
    ("F52", predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "model_spec"),
    # the meaning of values, where a policy asks
    ("F24 F25", predict("enc", image_bytes=tensor("string", (1,), string_val=[b"/9j/4AAQSkZJRgABAQEAYABgAAD/2wBD"])), "INVALID_ARGUMENT", "base64"),
    ("F96", predict("twosig_def", x=tensor("float32", (1, 2), float_val=[1.0, float("nan")])), "INVALID_ARGUMENT", "finite"),
    # limits
    ("F81", predict("f300", images=image(9, 300, 300, 3)), "INVALID_ARGUMENT", "at most 8|8"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "request_", "code", "words"),
    REFUSED,
    ids=[f"{case[0]}-{n}" for n, case in enumerate(REFUSED)],
)
def test_a_request_that_users_got_wrong_is_answered_with_what_mends_it(
    enforcing, failures, request_, code, words
):
    told = enforcing(request_)
    assert told.code == code, told.words
    assert any(word in told.words for word in words.split("|")), told.words


ENCODED = "not a whole encoded image"

ANSWERED = [
    # what only the server can know: its own error, explained
    ("F23", predict("enc", image_bytes=tensor("string", (1,), string_val=[np.zeros(64, "u1").tobytes()])), "INVALID_ARGUMENT", ENCODED),
    ("F24", predict("enc", image_bytes=tensor("string", (1,), string_val=[b"/9j/4AAQSkZJRgABAQEAYABgAAD"])), "INVALID_ARGUMENT", "base64 text of a JPEG"),
    ("F97", predict("cls", "predict", x=TEXT), "INVALID_ARGUMENT", "parses as tf.train.Example is something else"),
    # what observe mode lets through
    ("F01", predict("ssd", input=tensor("uint8", (1, 4, 4, 3))), "INVALID_ARGUMENT", "INPUT_"),
    ("F22", predict("two", text=TEXT, ids=tensor("int32", (1, 4))), "INVALID_ARGUMENT", "arg[0] is input 'ids'|arg[0] is inputs[\"ids\"]"),
    ("F37", predict("conv", images=image(1, 224, 224, 3)), "INVALID_ARGUMENT", "the graph fails on it"),
    ("F117", predict("embed", ids=tensor("int64", (1, 2), int64_val=[3, 1000])), "INVALID_ARGUMENT", "an id (probably of input 'ids') at indices[0,1] is outside [0, 1000)"),
    ("F117", predict("embed", ids=tensor("int64", (1, 1), int64_val=[-1])), "INVALID_ARGUMENT", "at indices[0,0] is outside [0, 1000)"),
    ("F118", predict("pair", left=image(2, 3), right=image(2, 4)), "INVALID_ARGUMENT", "shapes [2,3] and [2,4] do not go together"),
    ("F118", predict("pair", left=image(2, 3), right=image(5, 3)), "INVALID_ARGUMENT", "shapes [2,3] and [5,3]|BATCH_MISMATCH"),
    ("F41", predict("sdd", x=IMAGE), "NOT_FOUND", "MODEL_NOT_FOUND"),
    ("F43", versioned("multi", 2), "NOT_FOUND", "VERSION_NOT_FOUND"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "request_", "code", "words"),
    ANSWERED,
    ids=[f"{case[0]}-{n}" for n, case in enumerate(ANSWERED)],
)
def test_an_error_of_the_real_runtime_is_explained_behind_its_text(
    observing, failures, request_, code, words
):
    told = observing(request_)
    assert told.code == code, told.words
    assert any(word in told.words for word in words.split("|")), told.words
    assert not told.words.startswith("tfs-proxy"), told.words


OTHER = [
    ("F18 F98", f"{SERVICE}/Classify", classify("two"), "INVALID_ARGUMENT", "call Predict"),
    ("F52", f"{SERVICE}/GetModelMetadata", model_metadata("ssd"), "INVALID_ARGUMENT", "metadata_field"),
    ("F76", f"{SERVICE}/predict", predict_pb2.PredictRequest(), "UNIMPLEMENTED", "no such method"),
    ("F48", "/tensorflow.serving.ModelService/HandleReloadConfigRequest", model_management_pb2.ReloadConfigRequest(), "PERMISSION_DENIED", "--allow-admin-methods"),
    ("F125", f"{SERVICE}/MultiInference", multi_inference(("cls", "", "classify"), ("two", "regress", "regress")), "INVALID_ARGUMENT", "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
    ("F125", f"{SERVICE}/MultiInference", multi_inference(("cls", "", "classify"), ("cls", "regres", "regress")), "INVALID_ARGUMENT", "tasks[1] (model 'cls'), signature: expected "),
    ("F113", "/tensorflow.ProfilerService/Profile", b"", "PERMISSION_DENIED", "TensorFlow's profiler, which slows the server down"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "method", "message", "code", "words"),
    OTHER,
    ids=[f"{case[0]}-{n}" for n, case in enumerate(OTHER)],
)
def test_calls_of_other_methods_are_answered_in_words_too(enforcing, failures, method, message, code, words):
    told = enforcing(message, method)
    assert told.code == code, told.words
    assert words in told.words


def test_f40_a_validator_must_not_refuse_scalars_and_unknown_ranks(enforcing):
    assert enforcing(predict("scalar", x=tensor("float32"))).code == "OK"
    assert enforcing(predict("unk", x=image(2, 3, 4))).code == "OK"


def test_f82_unequal_batches_pass_with_a_warning(enforcing):
    told = enforcing(predict("two", text=tensor("string", (2,), string_val=[b"a", b"b"]), ids=IDS))
    assert "BATCH_MISMATCH" in told.words
    assert told.code == "OK"


@pytest.mark.parametrize("size", [12_000, 20_000])
def test_f120_metadata_over_the_servers_limit_is_told_with_the_option_that_raises_it(observing, size):
    """From gRPC's soft limit on a server refuses some calls, so that of 12 000 bytes a few may pass."""
    for _ in range(64):
        told = observing(
            predict("pair", left=image(1, 1), right=image(1, 1)), metadata=(("cookie", "x" * size),)
        )
        if told.code != "OK":
            break
    assert told.code == "RESOURCE_EXHAUSTED"
    assert "UPSTREAM_METADATA_TOO_LARGE: the call's metadata" in told.words
    assert "--grpc_channel_arguments=grpc.max_metadata_size=" in told.words


def test_f120_metadata_over_the_proxys_own_limit_is_told_as_such(enforcing):
    request = predict("pair", left=image(1, 1), right=image(1, 1))
    told = enforcing(request, metadata=(("cookie", "x" * 70_000),))
    assert told.code == "RESOURCE_EXHAUSTED"
    assert "metadata: expected at most 65536 bytes" in told.words
    assert "cookies" in told.words
