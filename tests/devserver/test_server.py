"""Methods, metadata, status and transport (measured, sections K, L, M and W)."""

import queue

import grpc
import pytest

from proxy.wire.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    tensor_pb2,
    types_pb2,
)

PREDICTION, MODEL = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"


def spec(name, version=None, label=None):
    message = model_pb2.ModelSpec(name=name)
    if version is not None:
        message.version.value = version
    if label is not None:
        message.version_label = label
    return message


def metadata(client, model_spec, fields=("signature_def",)):
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=model_spec, metadata_field=fields)
    return client.call(f"{PREDICTION}/GetModelMetadata", request)


def status(client, model_spec):
    return client.call(
        f"{MODEL}/GetModelStatus", get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec)
    )


def slow_request(n):
    request = predict_pb2.PredictRequest(model_spec=spec("slow"))
    request.inputs["n"].CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_INT64, int64_val=[n]))
    request.inputs["n"].tensor_shape.dim.add(size=1)
    return request


def signatures(answer):
    response = get_model_metadata_pb2.GetModelMetadataResponse.FromString(answer.body)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    return response.model_spec, found.signature_def


def test_metadata_shows_the_signatures_of_the_saved_model(client):
    model_spec, found = signatures(metadata(client, spec("ssd")))
    assert model_spec == spec("ssd", 1)
    assert set(found) == {"serving_default", "__saved_model_init_op"}
    image = found["serving_default"].inputs["image_tensor"]
    assert (image.name, image.dtype) == ("serving_default_image_tensor:0", types_pb2.DT_UINT8)
    assert [dim.size for dim in image.tensor_shape.dim] == [-1, -1, -1, 3]
    assert found["__saved_model_init_op"].method_name == ""
    (init,) = found["__saved_model_init_op"].outputs.values()
    assert (init.dtype, init.tensor_shape.unknown_rank) == (types_pb2.DT_INVALID, True)


def test_metadata_of_the_latest_or_of_one_version(client):
    assert signatures(metadata(client, spec("multi")))[0] == spec("multi", 3)
    assert signatures(metadata(client, spec("multi", 1)))[0] == spec("multi", 1)


def test_metadata_may_ask_for_the_signatures_twice(client):
    assert metadata(client, spec("ssd"), ["signature_def"] * 2).code == "OK"


@pytest.mark.parametrize(
    ("model_spec", "fields", "code", "details"),
    [
        (
            spec("ssd"),
            [],
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (spec("ssd"), ["foo"], "INVALID_ARGUMENT", "Metadata field foo is not supported"),
        (spec("ssd"), ["signature_def", "foo"], "INVALID_ARGUMENT", "Metadata field foo is not supported"),
        (spec("nosuch"), ["signature_def"], "NOT_FOUND", "Servable not found for request: Latest(nosuch)"),
        (spec(""), ["signature_def"], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (spec("ssd", 9), ["signature_def"], "NOT_FOUND", "Servable not found for request: Specific(ssd, 9)"),
        (None, ["signature_def"], "INVALID_ARGUMENT", "Missing ModelSpec"),
    ],
)
def test_metadata_refuses_as_the_genuine_server(model_spec, fields, code, details, client):
    answer = metadata(client, model_spec, fields)
    assert (answer.code, answer.details) == (code, details)


def test_status_lists_the_newest_version_first(client):
    answer = status(client, spec("multi"))
    response = get_model_status_pb2.GetModelStatusResponse.FromString(answer.body)
    assert [one.version for one in response.model_version_status] == [3, 1]
    assert {one.state for one in response.model_version_status} == {30}
    assert all(one.HasField("status") for one in response.model_version_status)


def test_status_of_one_version(client):
    response = get_model_status_pb2.GetModelStatusResponse.FromString(status(client, spec("multi", 1)).body)
    assert [one.version for one in response.model_version_status] == [1]


def test_status_ignores_a_version_label(client):
    labelled, plain = status(client, spec("multi", label="stable")), status(client, spec("multi"))
    assert (labelled.code, labelled.body) == ("OK", plain.body)


@pytest.mark.parametrize(
    ("model_spec", "code", "details"),
    [
        (spec("multi", 2), "NOT_FOUND", "Could not find version 2 of model multi"),
        (spec("nosuch"), "NOT_FOUND", "Could not find any versions of model nosuch"),
        (spec(""), "NOT_FOUND", "Could not find any versions of model "),
        (spec("ssd", 9), "NOT_FOUND", "Could not find version 9 of model ssd"),
        (None, "INVALID_ARGUMENT", "Missing ModelSpec"),
    ],
)
def test_status_refuses_as_the_genuine_server(model_spec, code, details, client):
    answer = status(client, model_spec)
    assert (answer.code, answer.details) == (code, details)


@pytest.mark.parametrize(
    "method",
    [
        f"{PREDICTION}/Foo",
        "/tensorflow.serving.PredictionServices/Predict",
        "/PredictionService/Predict",
        f"{PREDICTION}/predict",
        "foo",
        "/tensorflow.serving.SessionService/SessionRun",
        "/inference.GRPCInferenceService/ServerLive",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_any_other_method_is_unimplemented_without_a_word(method, client):
    answer = client.call(method)
    assert (answer.code, answer.details) == ("UNIMPLEMENTED", "")


def test_a_streaming_method_is_unimplemented_without_a_word(client):
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    with pytest.raises(grpc.RpcError) as raised:
        list(client.channel.stream_stream(method)(iter([b"", b""])))
    assert (raised.value.code().name, raised.value.details()) == ("UNIMPLEMENTED", "")


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff\xffgarbage",
        predict_pb2.PredictRequest(model_spec=spec("ssd")).SerializeToString()[:-2],
        b'{"model_spec": {"name": "ssd"}}',
        b"\x0a\x04\x0a\x02\xff\xfe",
        b"\x0a\x05\x0a\x03ssd\x12\x06\x0a\x02\xff\xfe\x12\x00",
    ],
    ids=["garbage", "truncated", "json", "name not utf-8", "alias not utf-8"],
)
def test_a_body_that_does_not_parse_is_internal_without_a_word(body, client):
    answer = client.predict(body)
    assert (answer.code, answer.details) == ("INTERNAL", "")


def test_an_empty_body_misses_its_model_spec(client):
    answer = client.predict(b"")
    assert (answer.code, answer.details) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_the_deadline_of_the_client_stops_the_computation(models_dir, start_dev_server, connect):
    """With one call at a time, the next would be refused for as long as the first went on."""
    client = connect(start_dev_server(f"--model=slow={models_dir / 'slow'}", "--max-threads=2").target)
    assert client.predict(slow_request(10**9), timeout=0.3).code == "DEADLINE_EXCEEDED"
    answers = (client.predict(slow_request(1)) for _ in range(2000))
    assert next((answer for answer in answers if answer.code != "RESOURCE_EXHAUSTED"), None).code == "OK"


def test_calls_beyond_the_threads_are_refused_at_once(models_dir, start_dev_server, connect):
    client = connect(start_dev_server(f"--model=slow={models_dir / 'slow'}", "--max-threads=3").target)
    call = client.channel.unary_unary(f"{PREDICTION}/Predict")
    ended = queue.Queue()
    futures = [call.future(slow_request(10**9).SerializeToString(), timeout=30) for _ in range(3)]
    for future in futures:
        future.add_done_callback(ended.put)

    refused = ended.get(timeout=10)
    assert (refused.code().name, refused.details()) == ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")
    assert sum(future.done() for future in futures) == 1


def test_a_compressed_request_is_read(client):
    call = client.channel.unary_unary(f"{PREDICTION}/Predict")
    request = predict_pb2.PredictRequest(model_spec=spec("unk"))
    request.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0]))
    body = call(request.SerializeToString(), compression=grpc.Compression.Gzip)
    assert predict_pb2.PredictResponse.FromString(body).outputs["y"].float_val == [2.0]


def test_a_long_error_is_cut_as_the_genuine_server_cuts_it(client):
    answer = metadata(client, spec("n" * 2000))
    assert answer.code == "NOT_FOUND"
    assert answer.details == "Servable not found for request: Latest(" + "n" * 985 + "...TRUNCATED"
