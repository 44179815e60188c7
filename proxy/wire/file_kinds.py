"""What a file is by how it begins, for whoever was given another one than expected.

Law: recognises, and reads no further; a name and no verdict. The marks are those of each format's own specification,
as file(1) knows them. No message that begins with one of PredictRequest's fields is taken for anything else.
"""

import json
import re
from typing import Final

from google.protobuf.message import DecodeError

from proxy.core.mending.dtypes import string_kind
from proxy.wire.protos import meta_graph_pb2, predict_pb2
from proxy.wire.tfrecord import masked_crc32c
from proxy.wire.wire_format import INPUTS_TAG, MODEL_SPEC_TAG, OUTPUT_FILTER_TAG

JSON: Final = "JSON"
TEXT: Final = "text"
NPZ: Final = "an .npz archive of numpy"
NPY: Final = "a single array of numpy (.npy)"
PICKLE: Final = "a pickle of Python"
SAVED_MODEL: Final = "a SavedModel"
FROZEN_GRAPH: Final = "a graph without signatures (GraphDef)"
TFRECORD: Final = "a TFRecord file, such as a capture or a warm-up file"

_ANY: Final = re.DOTALL
_MARKS: Final = (
    # SavedModel: saved_model_schema_version 1, then meta_graphs (saved_model.proto).
    (re.compile(rb"\x08\x01\x12"), SAVED_MODEL),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "an HDF5 file, such as a Keras model"),
    (re.compile(rb"\x93NUMPY"), NPY),
    # The protocol, then a frame (from 4 on) or what numpy's arrays, dicts, lists and tuples begin with; 1 and 0 have none.
    (re.compile(rb"\x80[\x02-\x05][\x95cCKMNXU(}\]]|[}\]]q\0|\((?:dp|lp|ip)\d|ccopy_reg\n|cnumpy"), PICKLE),
    # The name of the first member follows 30 octets (APPNOTE.TXT).
    (re.compile(rb"PK\x03\x04.{26}[^/]{0,200}?\.npy", _ANY), NPZ),
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "a ZIP archive, such as a .keras or PyTorch model"),
    (re.compile(rb".{4}TFL3", _ANY), "a TensorFlow Lite model"),
    (re.compile(rb"\x1f\x8b"), "compressed with gzip"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "compressed with zstd"),
    (re.compile(rb"BZh[1-9]"), "compressed with bzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "compressed with xz"),
    (re.compile(rb".{257}ustar", _ANY), "a tar archive"),
    (re.compile(rb"(II\*\0|MM\0\*)"), "a TIFF image"),
    (re.compile(rb".{4}ftyp(avif|heic|heix|mif1)", _ANY), "an AVIF or HEIC image"),
    (re.compile(rb".{4}ftyp", _ANY), "a video (MP4)"),
    (re.compile(rb"RIFF.{4}WAVE", _ANY), "a sound file (WAV)"),
    (re.compile(rb"ID3|fLaC|OggS"), "a sound file"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"PAR1"), "a Parquet file"),
    (re.compile(rb"SQLite format 3\0"), "an SQLite database"),
    (re.compile(rb"\x7fELF|MZ.{58}", _ANY), "a program"),
    (re.compile(rb"\xff\xfe|\xfe\xff"), "text in UTF-16"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<\?xml"), "XML"),
)
_FIRST_OCTETS: Final = bytes((MODEL_SPEC_TAG, INPUTS_TAG, OUTPUT_FILTER_TAG))
_OP = re.compile(r"[A-Z_][A-Za-z0-9_>]*")


HEAD: Final = 512
"""Octets by which all is recognised but JSON and other text, which must be whole."""


def kind_of(data: bytes) -> str:
    """What `data` is, as in "this is …"; "" where nothing is recognised, and for a PredictRequest."""
    head = data[:HEAD]
    if head[:1] in _FIRST_OCTETS and is_request(data):
        return FROZEN_GRAPH if _is_graph(data) else ""
    value = string_kind(head[:16])
    # Of a value, and not of a file, it also tells addresses and other texts.
    marked = value if value.endswith(("image", "Example")) else ""
    marked = marked or next((name for mark, name in _MARKS if mark.match(head)), "")
    if marked:
        return marked
    if len(data) >= 12 and masked_crc32c(data[:8]) == int.from_bytes(data[8:12], "little"):
        return TFRECORD
    if head[:1] in _FIRST_OCTETS and _is_graph(data):
        return FROZEN_GRAPH
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
    if text.lstrip()[:1] in ("{", "[") and _is_json(text):
        return JSON
    return TEXT if text and all(each.isprintable() or each.isspace() for each in text) else ""


def is_request(data: bytes) -> bool:
    """Whether `data` is a serialised PredictRequest that holds something."""
    try:
        return bool(predict_pb2.PredictRequest.FromString(data).ListFields())
    except DecodeError:
        return False


def _is_graph(data: bytes) -> bool:
    """Whether there are several nodes, each with a name and an op: a request has one model_spec."""
    graph = meta_graph_pb2.MetaGraphDef().graph_def
    try:
        graph.ParseFromString(data)
    except DecodeError:
        return False
    return len(graph.node) > 1 and all(node.name and _OP.fullmatch(node.op) for node in graph.node)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
