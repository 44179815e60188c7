"""Files that `check` and the page are given: the message in them, or one sentence; nothing in them is executed.

The first octet says in what form the file is said to be (none: find out).
"""

import io
import zipfile

from google.protobuf import json_format, text_format

from proxy.wire.file_kinds import kind_of
from proxy.wire.protos import predict_pb2
from proxy.wire.request_files import Address, Format, UnreadableRequestError, message_of
from tests.fuzz.messages import requests
from tests.fuzz.texts import sentence

_FORMS = (None, *Format)


def _npz() -> bytes:
    import numpy as np

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in (("x", np.zeros((1, 2), np.float32)), ("s", np.array(["a", "b"], object))):
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return file.getvalue()


def seeds() -> list[bytes]:
    plain = predict_pb2.PredictRequest.FromString(requests()[0])
    return [
        *(b"\0" + each for each in requests()[:3]),
        b"\0" + text_format.MessageToString(plain).encode(),
        b"\3" + json_format.MessageToJson(plain).encode(),
        b"\0" + b'{"instances": [[1.0]]}',
        b"\4" + _npz(),
    ]


def check(data: bytes) -> None:
    if not data:
        return
    form = _FORMS[data[0] % len(_FORMS)]
    kind = kind_of(data[1:])
    assert isinstance(kind, str)
    address = Address("m") if form is Format.NPZ else Address()
    try:
        message = message_of("file", data[1:], form, address, "m")
    except UnreadableRequestError as error:
        assert sentence(str(error)), str(error)
        return
    if form in {Format.TEXT, Format.JSON, Format.NPZ}:
        predict_pb2.PredictRequest.FromString(message)
    elif form is Format.BINARY:
        assert message == data[1:]
