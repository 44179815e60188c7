"""A file of another kind is named by what it is, and a request never taken for one."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given

from proxy.wire.file_kinds import FROZEN_GRAPH, JSON, NPY, NPZ, PICKLE, SAVED_MODEL, TEXT, TFRECORD, kind_of
from proxy.wire.protos import meta_graph_pb2, predict_pb2, saved_model_pb2
from proxy.wire.tfrecord import frame
from tests.property.wire import requests


def written(write) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def zipped(*names: str) -> bytes:
    def write(stream):
        with zipfile.ZipFile(stream, "w") as archive:
            for name in names:
                archive.writestr(name, "x")

    return written(write)


def saved_model() -> bytes:
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    model.meta_graphs.add().meta_info_def.tags.append("serve")
    return model.SerializeToString()


def graph() -> bytes:
    found = meta_graph_pb2.MetaGraphDef().graph_def
    found.node.add(name="x", op="Placeholder")
    found.node.add(name="y", op="Identity", input=["x"])
    return found.SerializeToString()


def record() -> bytes:
    before, behind = frame((b"data",))
    return before + b"data" + behind


OBJECT = {"instances": [[1.0, 2.0]]}
FILES = [
    ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
    ("JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
    ("GIF", b"GIF89a\1\0\1\0", "a GIF image"),
    ("BMP", b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "a BMP image"),
    ("WebP", b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP image"),
    ("TIFF", b"II*\0\x08\0\0\0", "a TIFF image"),
    ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0", "an AVIF or HEIC image"),
    ("MP4", b"\0\0\0\x18ftypisom\0\0\0\0", "a video (MP4)"),
    ("WAV", b"RIFF\x24\0\0\0WAVEfmt ", "a sound file (WAV)"),
    ("PDF", b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    ("npz", written(lambda stream: np.savez(stream, x=np.zeros(3))), NPZ),
    ("npz, compressed", written(lambda stream: np.savez_compressed(stream, long_name=np.zeros(3))), NPZ),
    ("npy", written(lambda stream: np.save(stream, np.zeros(3))), NPY),
    ("PyTorch", zipped("model/data.pkl", "model/version"), "a ZIP archive, such as a .keras or PyTorch model"),
    ("Keras", zipped("metadata.json", "model.weights.h5"), "a ZIP archive, such as a .keras or PyTorch model"),
    ("HDF5", b"\x89HDF\r\n\x1a\n\0\0\0\0", "an HDF5 file, such as a Keras model"),
    ("lite", b"\x1c\0\0\0TFL3\x14\0", "a TensorFlow Lite model"),
    ("gzip", gzip.compress(b"x"), "compressed with gzip"),
    ("tar", tarfile.TarInfo("x").tobuf(), "a tar archive"),
    ("SavedModel", saved_model(), SAVED_MODEL),
    ("graph", graph(), FROZEN_GRAPH),
    ("capture", record(), TFRECORD),
    ("JSON", json.dumps(OBJECT).encode(), JSON),
    ("JSON behind a line feed", b"\n" + json.dumps([OBJECT], indent=2).encode(), JSON),
    ("JSON behind a byte order mark", b"\xef\xbb\xbf" + json.dumps(OBJECT).encode(), JSON),
    ("page", b"<!DOCTYPE html><html><body>502", "an HTML page"),
    ("prose", "d\u00e9j\u00e0 vu,\n1, 2\n".encode(), TEXT),
    ("an address", b"https://example.com/x.png\n", TEXT),
    ("a path", b"/models/detector/1\n", TEXT),
    ("prose in UTF-16", "x".encode("utf-16"), "text in UTF-16"),
    ("noise", b"\xde\xad\xbe\xef" * 10, ""),
    ("nothing", b"", ""),
    *(
        (f"pickle {protocol} of {type(content).__name__}", pickle.dumps(content, protocol), PICKLE)
        for protocol in range(6)
        for content in (OBJECT, [OBJECT], np.zeros(3), (1, 2))
        if protocol > 1 or isinstance(content, dict | list)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "kind"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_a_file_is_named_by_what_it_is(data, kind):
    assert kind_of(data) == kind


@pytest.mark.parametrize("data", [case[1] for case in FILES], ids=[case[0] for case in FILES])
def test_a_file_that_was_cut_is_named_or_not_and_never_fails(data):
    for end in range(min(len(data), 300)):
        kind_of(data[:end])


@given(requests)
def test_a_request_is_taken_for_nothing_else(data):
    request = predict_pb2.PredictRequest()
    try:
        request.ParseFromString(data)
    except Exception:  # noqa: BLE001  what is no request is not the matter here
        return
    written = request.SerializeToString()
    if request.ListFields():
        assert kind_of(written) == ""


def test_a_request_that_is_printable_or_looks_like_json_at_first_is_a_request():
    for length in (30, ord("{") - 2, ord("[") - 2):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "a" * length
        assert kind_of(request.SerializeToString()) == ""
