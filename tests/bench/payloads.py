"""What is sent and what is answered, as bytes, written to files before anything is measured.

Law: the one place that knows messages. Requests and answers are made once with the generated classes; the
upstream, h2load and the clients only ever see bytes.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from random import Random

from google.protobuf import descriptor_pb2

from proxy.wire.protos import get_model_metadata_pb2, get_model_status_pb2, predict_pb2, types_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

_FLOAT = types_pb2.DT_FLOAT
_UINT8 = types_pb2.DT_UINT8
_ITEM_SIZE = {_FLOAT: 4, _UINT8: 1}
_VERSION = 1
_SERVERS_ERROR = b"Expects arg[0] to be float but int32 is provided"
"""What TensorFlow says of a wrong dtype."""


@dataclass(frozen=True)
class Tensor:
    """`signature` is the declared shape, -1 for any size; `sent` the one that is sent."""

    dtype: int
    signature: tuple[int, ...]
    sent: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Payload:
    """`models` models of the same signature; requests name the first unless a client goes round them all.

    `orders`: in so many orders a client sends the inputs, as C++ does, whose maps have another one each time.
    `wrong`: requests have a dtype that the signature has not, and the server answers with an error.
    """

    name: str
    title: str
    inputs: Mapping[str, Tensor]
    models: int = 1
    orders: int = 1
    wrong: bool = False

    @property
    def model_names(self) -> list[str]:
        return [self.name, *(f"{self.name}-{number}" for number in range(1, self.models))]

    def request(self, model: str | None = None, *, dtype: int | None = None) -> bytes:
        """A PredictRequest; `dtype` overrides that of every input, which makes it a wrong one."""
        return b"".join(
            self._parts(model or self.name, dtype or (types_pb2.DT_INT32 if self.wrong else None))
        )

    def requests(self) -> list[tuple[bytes, bytes]]:
        """What a client goes round through: messages and their answers."""
        exchanges = [(self.request(model), self.answer(model)) for model in self.model_names]
        spec, *inputs = self._parts(self.name, None)
        shuffled = Random(1)
        for _ in range(self.orders - 1):
            shuffled.shuffle(inputs)
            exchanges.append((spec + b"".join(inputs), self.answer()))
        return exchanges

    @property
    def size(self) -> int:
        """Octets of the tensors of one request."""
        return sum(prod(tensor.sent) * _ITEM_SIZE[tensor.dtype] for tensor in self.inputs.values())

    def _parts(self, model: str, dtype: int | None) -> list[bytes]:
        """A PredictRequest in parts that may be joined in any order: the model, and each input."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        parts = [request.SerializeToString()]
        for alias, tensor in sorted(self.inputs.items()):
            request = predict_pb2.PredictRequest()
            proto = request.inputs[alias]
            proto.dtype = dtype or tensor.dtype
            for size in tensor.sent:
                proto.tensor_shape.dim.add(size=size)
            proto.tensor_content = bytes(prod(tensor.sent) * _ITEM_SIZE[tensor.dtype])
            parts.append(request.SerializeToString())
        return parts

    def answer(self, model: str | None = None) -> bytes:
        """What a small classifier would say: ten scores."""
        answer = predict_pb2.PredictResponse()
        answer.model_spec.name = model or self.name
        answer.model_spec.version.value = _VERSION
        answer.model_spec.signature_name = "serving_default"
        scores = answer.outputs["scores"]
        scores.dtype = _FLOAT
        for size in (1, 10):
            scores.tensor_shape.dim.add(size=size)
        scores.tensor_content = bytes(40)
        return answer.SerializeToString(deterministic=True)


def _image(dtype: int, batch: int) -> Mapping[str, Tensor]:
    return {"image": Tensor(dtype, (-1, 300, 300, 3), (batch, 300, 300, 3))}


def _features(count: int) -> Mapping[str, Tensor]:
    return {"features": Tensor(_FLOAT, (-1, count), (1, count))}


_COLUMNS = {f"feature_{number}": Tensor(_FLOAT, (-1, 4), (1, 4)) for number in range(100)}

PAYLOADS = (
    Payload("small", "269 B", _features(57)),
    Payload("image", "270 KB", _image(_UINT8, 1)),
    Payload("float", "1.08 MB", _image(_FLOAT, 1)),
    Payload("batch", "13 MB", _image(_FLOAT, 12)),
    Payload("inputs", "100 inputs", _COLUMNS),
    # A model of its own: what a proxy remembers of the one order must not depend on the others.
    Payload("orders", "100 inputs in changing order", _COLUMNS, orders=1000),
    Payload("many", "1 000 models", _features(57), models=1000),
    Payload("wrong", "269 B with a wrong dtype", _features(57), wrong=True),
)


@dataclass(frozen=True)
class Files:
    """Everything on disk. `answers` is for the upstream; the rest is by payload name.

    `body` is one gRPC-framed request and `answer` its answer; `requests` are records (message, answer) for the clients;
    `wrong_requests` holds one with another dtype than the signature.
    `signatures` and `descriptors` are for a judge that has neither a live server nor generated classes.
    """

    folder: Path

    @property
    def answers(self) -> Path:
        return self.folder / "answers"

    @property
    def signatures(self) -> Path:
        return self.folder / "signatures.json"

    @property
    def descriptors(self) -> Path:
        return self.folder / "descriptors"

    def body(self, payload: Payload) -> Path:
        return self.folder / f"{payload.name}.body"

    def answer(self, payload: Payload) -> Path:
        return self.folder / f"{payload.name}.answer"

    def requests(self, payload: Payload) -> Path:
        return self.folder / f"{payload.name}.requests"

    @property
    def wrong_requests(self) -> Path:
        return self.folder / "judgement.requests"


def write(folder: Path) -> Files:
    """Write every file of the bench into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder)
    answers: list[tuple[bytes, bytes]] = []
    for payload in PAYLOADS:
        files.body(payload).write_bytes(_framed(payload.request()))
        files.answer(payload).write_bytes(_framed(payload.answer()))
        files.requests(payload).write_bytes(_records(payload.requests()))
        for model in payload.model_names:
            for method, answer in (
                (PREDICT, payload.answer(model)),
                (_METADATA, _metadata(payload, model)),
                (_STATUS, _status()),
            ):
                if payload.wrong and method == PREDICT:
                    answers.append((f"!{method}\n{model}".encode(), _SERVERS_ERROR))
                else:
                    answers.append((f"{method}\n{model}".encode(), answer))
    files.answers.write_bytes(_records(answers))
    small = PAYLOADS[0]
    files.wrong_requests.write_bytes(_records([(small.request(dtype=types_pb2.DT_INT32), small.answer())]))
    files.signatures.write_text(json.dumps(_signatures()))
    files.descriptors.write_bytes(_descriptors())
    return files


def _framed(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


def _records(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for pair in pairs for part in pair)


def _metadata(payload: Payload, model: str) -> bytes:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    outputs = {"scores": Tensor(_FLOAT, (-1, 10), ())}
    for infos, tensors in ((signature.inputs, payload.inputs), (signature.outputs, outputs)):
        for alias, tensor in tensors.items():
            infos[alias].name = f"serving_default_{alias}:0"
            infos[alias].dtype = tensor.dtype
            for size in tensor.signature:
                infos[alias].tensor_shape.dim.add(size=size)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = model
    response.model_spec.version.value = _VERSION
    response.metadata["signature_def"].Pack(signatures)
    return response.SerializeToString(deterministic=True)


def _status() -> bytes:
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(
        version=_VERSION, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
    ).status.SetInParent()
    return response.SerializeToString(deterministic=True)


def _signatures() -> dict[str, dict[str, tuple[int, tuple[int, ...]]]]:
    return {
        model: {alias: (tensor.dtype, tensor.signature) for alias, tensor in payload.inputs.items()}
        for payload in PAYLOADS
        for model in payload.model_names
    }


def _descriptors() -> bytes:
    """PredictRequest's file and all that it imports, what is imported first."""
    files = descriptor_pb2.FileDescriptorSet()
    seen = set()

    def add(file) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        file.CopyToProto(files.file.add())

    add(predict_pb2.DESCRIPTOR)
    return files.SerializeToString()
