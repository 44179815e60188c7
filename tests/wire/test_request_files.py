"""Every form of a request file becomes the same message, and every bad one a sentence."""

import io
import os
import zipfile

import numpy as np
import pytest
from google.protobuf import json_format, text_format

from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2
from proxy.wire.request_files import Address, Format, UnreadableRequestError, format_of, message_of

NOWHERE = Address()


def request():
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "two"
    message.inputs["ids"].CopyFrom(tensor_of(np.arange(4, dtype=np.int64).reshape(1, 4)))
    message.inputs["text"].CopyFrom(tensor_of(np.array([b"\xffa\0"], dtype=object)))
    return message


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


BINARY = request().SerializeToString()
TEXT = text_format.MessageToString(request()).encode()
JSON = json_format.MessageToJson(request()).encode()
NPZ = npz(ids=np.arange(4, dtype=np.int64).reshape(1, 4), text=np.array([b"\xffa\0"], dtype=object))

FORMS = [
    (Format.BINARY, ".pb", BINARY),
    (Format.TEXT, ".pbtxt", TEXT),
    (Format.JSON, ".json", JSON),
    (Format.NPZ, ".npz", NPZ),
]


@pytest.mark.parametrize(("form", "suffix", "data"), FORMS, ids=[form for form, _, _ in FORMS])
@pytest.mark.parametrize("how", ["by its ending", "by its content", "when told"])
def test_the_same_request_is_read_from_every_form(form, suffix, data, how):
    name = f"request{suffix}" if how == "by its ending" else "-"
    address = Address("two") if form is Format.NPZ else NOWHERE
    message = message_of(name, data, form if how == "when told" else None, address)
    assert predict_pb2.PredictRequest.FromString(message) == request()


def test_a_binary_file_is_passed_on_byte_for_byte():
    unknown_field = BINARY + b"\x7a\x01x"
    assert message_of("request.pb", unknown_field, None, NOWHERE) == unknown_field


def test_a_printable_binary_message_is_not_taken_for_text():
    # The tag of model_spec is a line feed, so a short request may consist of printable characters only.
    printable = predict_pb2.PredictRequest()
    printable.model_spec.name = "a" * 30
    data = printable.SerializeToString()
    assert data.decode().replace("\n", "").strip().isprintable()
    assert format_of("-", data) is Format.BINARY


def test_signature_and_version_are_added_to_bare_arrays():
    message = message_of("x.npz", npz(x=np.zeros(1)), None, Address("m", "sig", 3))
    spec = predict_pb2.PredictRequest.FromString(message).model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("m", "sig", 3)


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("x", b"", "is empty"),
        ("x", b"\xde\xad\xbe\xef", "no PredictRequest in any known form"),
        ("x.json", b"{,", "line 1 column 2"),
        ("x.json", b'{"x": 1}', 'no field named "x"'),
        ("x.json", b'{"instances": [[1.0]]}', "REST API"),
        ("x.json", b'{"inputs": {"x": [1.0]}}', "REST API"),
        ("x.json", b"\xff", "not UTF-8"),
        ("x.json", b"[" * 5000, "nested deeper"),
        ("x.json", b'{"inputs":' * 5000, "nested deeper"),
        ("x.pbtxt", b'model_spec { nme: "x" }', '1:14 .*no field named "nme"'),
        ("x.npz", b"PK\3\4", "is a ZIP archive, .*, not an .npz archive"),
        ("x.npz", b"nothing", "not an .npz archive"),
    ],
)
def test_what_is_no_request_is_said_in_one_line(name, data, problem):
    address = Address("m") if name.endswith(".npz") else NOWHERE
    with pytest.raises(UnreadableRequestError, match=problem) as caught:
        message_of(name, data, None, address)
    assert "\n" not in str(caught.value)


def test_bare_arrays_need_a_model():
    with pytest.raises(UnreadableRequestError, match="--model"):
        message_of("x.npz", NPZ, None, NOWHERE)


def test_a_model_for_a_file_that_names_its_own_is_refused():
    with pytest.raises(UnreadableRequestError, match="names its own model"):
        message_of("x.pb", BINARY, None, Address("other"))


class Malicious:
    def __reduce__(self):
        return os.mkdir, (os.environ["MALICIOUS_DIR"],)


def test_a_pickle_in_an_npz_file_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.setenv("MALICIOUS_DIR", str(tmp_path / "made"))
    data = npz(x=np.array([Malicious()], dtype=object))
    with pytest.raises(UnreadableRequestError, match="holds Python objects"):
        message_of("x.npz", data, None, Address("m"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array([1.5], dtype=object), "array 'x': an object array must hold str or bytes, not float"),
        (np.zeros(1, "V2"), "array 'x': TensorFlow has no tensors"),
    ],
)
def test_an_array_that_cannot_be_sent_is_named(array, problem):
    with pytest.raises(UnreadableRequestError, match=problem):
        message_of("x.npz", npz(x=array), None, Address("m"))


@pytest.mark.parametrize(
    ("place", "octet"),
    [(6, 1), (8, 99)],
    ids=["encrypted", "compressed in a way that nobody knows"],
)
def test_an_archive_that_cannot_be_unpacked_is_said(place, octet):
    """Of each member the archive says twice how it is packed: before it, and in the directory."""
    archive = bytearray(npz(x=np.zeros(3)))
    archive[place] = octet
    archive[archive.index(b"PK\1\2") + place + 2] = octet
    with pytest.raises(UnreadableRequestError, match=r"not an \.npz archive"):
        message_of("x.npz", bytes(archive), None, Address("m"))


def test_a_truncated_array_is_said():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\1\0v\0{'descr'")
    with pytest.raises(UnreadableRequestError, match="array 'x'"):
        message_of("x.npz", stream.getvalue(), None, Address("m"))


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("x.pb", PNG, "this is a PNG image, not a PredictRequest; `tfs-proxy example MODEL` prints a client"),
        ("x.json", PNG, "this is a PNG image, not a PredictRequest in JSON"),
        ("x.pbtxt", PNG, "this is a PNG image, not a PredictRequest in protobuf's text format"),
        ("x.npz", PNG, "this is a PNG image, not an .npz archive"),
        ("x.png", PNG, "this is a PNG image, not a PredictRequest;"),
        ("-", PNG, "this is a PNG image, not a PredictRequest;"),
        ("x.pb", JSON, "this is JSON, not a PredictRequest; if a request is in it, say --format json"),
        ("x.pbtxt", JSON, "this is JSON, not a PredictRequest in protobuf's text format;"),
        ("x.pb", TEXT, "this is text, not a PredictRequest; if a request is in it, say --format text"),
        ("x.pb", NPZ, "this is an .npz archive of numpy, .* say --format npz"),
        ("x.pb", b"\x80\x04\x95\0\0\0\0\0\0\0\0", "this is a pickle of Python, .*np.savez"),
        ("x.pb", b"\x08\x01\x12\x06\x0a\x04\x22\x02ab", "this is a SavedModel, .*--path"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_to_do(name, data, sentence):
    with pytest.raises(UnreadableRequestError, match=sentence) as caught:
        message_of(name, data, None, NOWHERE)
    assert "\n" not in str(caught.value)
