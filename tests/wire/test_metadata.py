"""GetModelMetadata, GetModelStatus and SavedModels in our words."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.availability import VersionStatus
from proxy.core.types import ModelKey, TensorSpec
from proxy.wire.metadata import (
    UnreadableMetadataError,
    metadata_request,
    servable_of_response,
    servable_of_saved_model,
    status_request,
    versions_of_response,
)
from proxy.wire.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    meta_graph_pb2,
    model_pb2,
    saved_model_pb2,
)
from tests.fake_serving import DT_FLOAT, signature_def, tensor_info

DT_FLOAT_REF = 101


def response(signatures, version=1):
    message = get_model_metadata_pb2.GetModelMetadataResponse()
    message.model_spec.name = "m"
    if version is not None:
        message.model_spec.version.value = version
    message.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap(signature_def=signatures))
    return message


def read(signatures):
    return servable_of_response(response(signatures).SerializeToString(), "m")


def test_a_servable_has_the_name_asked_for_and_the_version_that_answered():
    servable = servable_of_response(response({}, version=7).SerializeToString(), "m")
    assert (servable.model, servable.version) == ("m", 7)


def test_metadata_of_another_model_describes_nothing():
    with pytest.raises(UnreadableMetadataError, match="asked for the metadata of 'asked', got that of 'm'"):
        servable_of_response(response({}).SerializeToString(), "asked")


def test_a_signature_keeps_its_method_aliases_dtypes_shapes_and_graph_names():
    definition = signature_def({"x": (DT_FLOAT, (-1, 300, 3))}, {"y": (9, ())}, "tensorflow/serving/classify")
    signature = read({"s": definition}).signatures["s"]
    assert (signature.name, signature.method) == ("s", "tensorflow/serving/classify")
    assert signature.inputs == {"x": TensorSpec("x", DT_FLOAT, (-1, 300, 3), "serving_default_x:0")}
    assert signature.outputs == {"y": TensorSpec("y", 9, (), "StatefulPartitionedCall:0")}


def test_the_loaders_init_op_is_not_a_signature():
    assert read({"__saved_model_init_op": meta_graph_pb2.SignatureDef()}).signatures == {}


def spec_of(info):
    return read({"s": meta_graph_pb2.SignatureDef(inputs={"x": info})}).signatures["s"].inputs["x"]


def test_an_unknown_rank_is_no_shape():
    assert spec_of(tensor_info(DT_FLOAT, None)).shape is None


def test_a_shape_that_was_never_written_is_unknown_and_an_empty_one_is_a_scalar():
    assert spec_of(meta_graph_pb2.TensorInfo(dtype=DT_FLOAT)).shape is None
    assert spec_of(tensor_info(DT_FLOAT, ())).shape == ()


def test_a_reference_dtype_is_its_base():
    assert spec_of(tensor_info(DT_FLOAT_REF, ())).dtype == DT_FLOAT


def test_any_negative_dimension_is_unknown():
    assert spec_of(tensor_info(DT_FLOAT, (-2, 0, 3))).shape == (-1, 0, 3)


def test_a_sparse_input_has_no_graph_name():
    info = tensor_info(DT_FLOAT, (-1,))
    info.coo_sparse.values_tensor_name = "values:0"
    assert spec_of(info).graph_name == ""


def test_inputs_with_a_default_are_named():
    definition = signature_def({"x": (DT_FLOAT, ()), "k": (DT_FLOAT, ())})
    definition.defaults["k"].dtype = DT_FLOAT
    assert read({"s": definition}).signatures["s"].defaults == {"k"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xff", "cannot be parsed"),
        (b"", "has no signature_def"),
        (response({}, version=None).SerializeToString(), "of which version"),
    ],
)
def test_a_response_that_cannot_be_read_says_why(data, says):
    with pytest.raises(UnreadableMetadataError, match=says):
        servable_of_response(data, "m")


def test_metadata_of_another_type_or_with_broken_content_cannot_be_read():
    message = response({})
    message.metadata["signature_def"].Pack(model_pb2.ModelSpec(name="m"))
    with pytest.raises(UnreadableMetadataError, match=r"holds a .*ModelSpec"):
        servable_of_response(message.SerializeToString(), "m")
    message = response({})
    message.metadata["signature_def"].value = b"\xff"
    with pytest.raises(UnreadableMetadataError, match="cannot be parsed"):
        servable_of_response(message.SerializeToString(), "m")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_the_documented_error(data):
    for parse in (lambda each: servable_of_response(each, "m"), versions_of_response):
        with contextlib.suppress(UnreadableMetadataError):
            parse(data)


def test_versions_come_newest_first_with_state_names_and_the_servers_error():
    message = get_model_status_pb2.GetModelStatusResponse()
    message.model_version_status.add(version=1, state="AVAILABLE")
    failed = message.model_version_status.add(version=2, state="END")
    failed.status.error_code = 11
    failed.status.error_message = "Read less bytes than requested"
    assert versions_of_response(message.SerializeToString()) == (
        VersionStatus(2, "END", 11, "Read less bytes than requested"),
        VersionStatus(1, "AVAILABLE"),
    )


def test_a_state_of_a_newer_server_keeps_its_number():
    message = get_model_status_pb2.GetModelStatusResponse()
    message.model_version_status.add(version=1, state=60)
    assert versions_of_response(message.SerializeToString()) == (VersionStatus(1, "STATE_60"),)


@pytest.mark.parametrize(
    ("key", "spec"),
    [
        (ModelKey("m"), model_pb2.ModelSpec(name="m")),
        (ModelKey("m", version=0), model_pb2.ModelSpec(name="m", version={"value": 0})),
        (ModelKey("m", label=""), model_pb2.ModelSpec(name="m", version_label="")),
        (ModelKey("m", label="stable"), model_pb2.ModelSpec(name="m", version_label="stable")),
    ],
)
def test_a_metadata_request_addresses_the_key_exactly(key, spec):
    request = get_model_metadata_pb2.GetModelMetadataRequest.FromString(metadata_request(key))
    assert request.model_spec == spec
    assert request.metadata_field == ["signature_def"]


def test_a_status_request_asks_for_all_versions():
    request = get_model_status_pb2.GetModelStatusRequest.FromString(status_request("m"))
    assert request.model_spec == model_pb2.ModelSpec(name="m")


def save(directory, *tag_sets):
    directory.mkdir(parents=True)
    saved_model = saved_model_pb2.SavedModel()
    for tags in tag_sets:
        meta_graph = saved_model.meta_graphs.add()
        meta_graph.meta_info_def.tags.extend(tags)
        meta_graph.signature_def["+".join(tags)].CopyFrom(signature_def({"x": (DT_FLOAT, (-1,))}))
    (directory / "saved_model.pb").write_bytes(saved_model.SerializeToString())


def test_a_saved_model_is_read_at_its_version_directory(tmp_path):
    save(tmp_path / "m" / "7", ("serve",))
    servable = servable_of_saved_model(tmp_path / "m" / "7", "m")
    assert (servable.model, servable.version, set(servable.signatures)) == ("m", 7, {"serve"})


def test_a_base_path_means_its_newest_version(tmp_path):
    for version in ("9", "10", "notes"):
        save(tmp_path / version, ("serve",))
    assert servable_of_saved_model(tmp_path, "m").version == 10


def test_a_directory_that_is_no_number_is_version_zero(tmp_path):
    save(tmp_path / "export", ("serve",))
    assert servable_of_saved_model(tmp_path / "export", "m").version == 0


def test_only_the_graph_tagged_serve_alone_is_what_the_server_loads(tmp_path):
    save(tmp_path / "1", ("train",), ("serve", "gpu"), ("serve",))
    assert set(servable_of_saved_model(tmp_path / "1", "m").signatures) == {"serve"}
    save(tmp_path / "2", ("train",), ("serve", "gpu"))
    with pytest.raises(UnreadableMetadataError, match=r"tags \{serve\}; it has \{train\}, \{gpu, serve\}"):
        servable_of_saved_model(tmp_path / "2", "m")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_a_place_without_a_saved_model_says_so(tmp_path, make):
    path = tmp_path / "m"
    make(path)
    with pytest.raises(UnreadableMetadataError, match=r"no SavedModel in|is a file: name the directory"):
        servable_of_saved_model(path, "m")


def test_a_file_that_is_no_saved_model_says_so(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(UnreadableMetadataError, match="is no SavedModel"):
        servable_of_saved_model(tmp_path, "m")
