"""The script: every call that every client makes, and what it must hear.

Law: data only. A case knows no client and no edge: what comes of it is the same for all. `Case.line` is how a client is
told of it; what a client tells is an `Answer`.

A client is a program that is given an address, prints one line about itself, `{"client": "grpc-go 1.33.3"}`, and then for
each line that it reads one line of JSON. What it reads is a case in words between spaces: name, kind, path, timeout in
milliseconds, `gzip` or `plain`, when it cancels, metadata as `key=hex,…`, and files with the messages; `-` for none. What
it prints has the code, and in hex the text, the messages, `grpc-status-details-bin`, and initial and trailing metadata as
pairs. It cancels `never`, as soon as the call has `begun`, after the `first` message, or when it is `told` by another
line.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from proxy.wire.arrays import tensor_of
from proxy.wire.protos import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tests.clients.serving import INTEROP, METADATA, NEVER_TOLD, PREDICT, RELAY, STATUS

Metadata = tuple[tuple[str, bytes], ...]

CHECK, WATCH = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch"))
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ECHOED = "x-grpc-test-"
SERVING = health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()

OK, CANCELLED, UNKNOWN, INVALID, LATE, NOT_FOUND = range(6)
FAILED_PRECONDITION, UNIMPLEMENTED, DATA_LOSS = 9, 12, 15

INPUTS: dict[str, tuple[int, tuple[int, ...]]] = {
    "float": (1, (-1, 3)),
    "double": (2, (-1,)),
    "int32": (3, (2, 2)),
    "uint8": (4, (-1, -1)),
    "string": (7, (-1,)),
    "int64": (9, (-1,)),
    "bool": (10, (-1,)),
    "half": (19, (-1,)),
    "größe": (1, (-1,)),
}
"""What the model `m` takes, each also by itself in the signature of its name: dtype and shape."""


@dataclass(frozen=True)
class Case:
    """`same`: a server without a proxy gives the same answer. `reason` and `words` are the refusal's; `messages` what must
    come back where that is known. `held`: who keeps the call until it is over, `server` or `proxy`."""

    group: str
    name: str
    path: str
    sent: tuple[bytes, ...]
    kind: str = "unary"
    metadata: Metadata = ()
    timeout: float = 20.0
    gzip: bool = False
    cancel: str = "never"
    held: str = ""
    same: bool = True
    code: int = OK
    reason: str = ""
    words: str = ""
    messages: tuple[bytes, ...] | None = None

    @property
    def title(self) -> str:
        return f"{self.group}: {self.name}"

    def line(self, folder: Path) -> str:
        """The words for a client; messages are left in `folder`."""
        name, files = re.sub(r"[^\w]+", "_", self.title), []
        for number, message in enumerate(self.sent):
            file = folder / f"{name}-{number}"
            if self.held == "proxy" or not file.exists():
                file.write_bytes(message)
            files.append(str(file))
        return " ".join(
            (
                name,
                self.kind,
                self.path,
                f"{self.timeout * 1000:.0f}",
                "gzip" if self.gzip else "plain",
                self.cancel,
                ",".join(f"{key}={value.hex()}" for key, value in self.metadata) or "-",
                ",".join(files) or "-",
            )
        )


@dataclass(frozen=True)
class Answer:
    """What a client heard. `metadata` is what the server said in it, initial and trailing."""

    code: int
    text: str
    messages: tuple[bytes, ...]
    details: bytes
    metadata: tuple[Metadata, Metadata]

    @classmethod
    def told(cls, line: str) -> "Answer":
        said = json.loads(line)
        initial, trailing = (
            tuple(sorted((key, bytes.fromhex(value)) for key, value in said[name] if key.startswith(ECHOED)))
            for name in ("initial", "trailing")
        )
        return cls(
            said["code"],
            bytes.fromhex(said["text"]).decode(),
            tuple(bytes.fromhex(message) for message in said["messages"]),
            bytes.fromhex(said["details"]),
            (initial, trailing),
        )


def wrong(case: Case, answer: Answer, direct: Answer | None) -> str:
    """What is wrong with an answer; "" for nothing. `direct` is the server's own."""
    if answer.code != case.code:
        return f"code {answer.code} instead of {case.code}: {answer.text!r}"
    if case.words not in answer.text:
        return f"no {case.words!r} in {answer.text!r}"
    if case.messages is not None and answer.messages != case.messages:
        return f"other messages: {[len(message) for message in answer.messages]} octets"
    if case.reason:
        return _wrong_details(case, answer)
    if direct is None or not case.same:
        return ""
    if answer.messages != direct.messages:
        return "other messages than directly"
    if answer.metadata != direct.metadata:
        return f"metadata {answer.metadata} instead of {direct.metadata}"
    if case.code not in (CANCELLED, LATE) and not answer.text.startswith(direct.text):
        return f"text {answer.text!r} instead of {direct.text!r}"
    return ""


def _wrong_details(case: Case, answer: Answer) -> str:
    status, info = status_pb2.Status.FromString(answer.details), error_details_pb2.ErrorInfo()
    if (status.code, status.message) != (answer.code, answer.text):
        return f"details say {status.code} {status.message!r}, the status {answer.text!r}"
    if not any(each.Unpack(info) for each in status.details):
        return "no ErrorInfo"
    if (info.domain, info.reason) != ("tfs-proxy", case.reason):
        return f"{info.domain} {info.reason} instead of {case.reason}"
    return ""


def predict(inputs: dict[str, Any], signature: str = "", model: str = "m", version: int = 0) -> bytes:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    if version:
        message.model_spec.version.value = version
    for alias, values in inputs.items():
        message.inputs[alias].CopyFrom(tensor_of(np.asarray(values)))
    return message.SerializeToString(deterministic=True)


FLOAT = np.arange(6, dtype=np.float32).reshape(2, 3)
EACH = {
    "float": FLOAT,
    "double": np.array([0.5, -1e300]),
    "int32": np.array([[1, -2], [3, -4]], np.int32),
    "uint8": np.arange(256, dtype=np.uint8).reshape(16, 16),
    "string": np.array([b"", b"\x00\xff", "größer".encode()], object),
    "int64": np.array([1 << 62, -1], np.int64),
    "bool": np.array([True, False]),
    "half": np.array([1.5, -0.25], np.float16),
    "größe": np.ones(1, np.float32),
}
ONE = predict({"float": FLOAT}, "float")
LARGE = predict({"float": np.arange(900_000, dtype=np.float32).reshape(-1, 3)}, "float")
"""3.6 MB: below the 4 MiB that a gRPC client takes unless it is told otherwise."""
MIDDLE = predict({"float": FLOAT.repeat(20_000, 0)}, "float")
ODD_TEXT = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


def model_question(kind: Any, model: str = "m", **more: Any) -> bytes:
    return kind(model_spec={"name": model}, **more).SerializeToString()


def _bad(name: str, message: bytes, code: int, reason: str, words: str) -> Case:
    return Case("bad", name, PREDICT, (message,), same=False, code=code, reason=reason, words=words)


def _reflected(name: str, **question: str) -> Case:
    asked = reflection_pb2.ServerReflectionRequest(**question).SerializeToString()
    return Case("reflection", name, REFLECT, (asked,), "stream", same=False)


GOOD = (
    *(Case("good", name, PREDICT, (predict({name: values}, name),)) for name, values in EACH.items()),
    Case("good", "all inputs", PREDICT, (predict(EACH),)),
    Case("good", "large", PREDICT, (LARGE,)),
    Case("good", "the version by number", PREDICT, (predict({"float": FLOAT}, "float", version=1),)),
    Case(
        "good",
        "metadata",
        PREDICT,
        (ONE,),
        metadata=(
            ("x-grpc-test-echo-initial", b"what was sent"),
            ("x-grpc-test-echo-trailing-bin", bytes(range(256))),
        ),
    ),
    Case("compressed", "request", PREDICT, (ONE,), gzip=True),
    Case("compressed", "answer", PREDICT, (ONE,), metadata=(("x-gzip", b"1"),)),
    Case("compressed", "both", PREDICT, (MIDDLE,), metadata=(("x-gzip", b"1"),), gzip=True),
    Case("compressed", "stream", RELAY, (MIDDLE, b"", ONE), "stream", (("x-gzip", b"1"),), gzip=True),
)

BAD = (
    _bad("name", predict({"Float": FLOAT}, "float"), INVALID, "INPUT_UNKNOWN", "'Float'"),
    _bad(
        "name that is not ASCII",
        predict({"Größe": [1.0]}, "größe"),
        INVALID,
        "INPUT_UNKNOWN",
        r"'gr\xf6\xdfe'",
    ),
    _bad("input missing", predict({}, "float"), INVALID, "INPUT_MISSING", "'float'"),
    _bad(
        "dtype", predict({"float": FLOAT.astype(np.float64)}, "float"), INVALID, "DTYPE_MISMATCH", "float64"
    ),
    _bad("shape", predict({"float": FLOAT[:, :2]}, "float"), INVALID, "SHAPE_MISMATCH", "[?,3], got [2,2]"),
    _bad(
        "no batch dimension",
        predict({"float": FLOAT[0]}, "float"),
        INVALID,
        "RANK_MISMATCH",
        "np.expand_dims",
    ),
    _bad(
        "compressed shape",
        predict({"float": np.zeros((9999, 4), np.float32)}, "float"),
        INVALID,
        "SHAPE_MISMATCH",
        "",
    ),
    _bad("model", predict({"float": FLOAT}, model="n"), NOT_FOUND, "MODEL_NOT_FOUND", "'n'"),
    _bad("version", predict({"float": FLOAT}, version=7), NOT_FOUND, "VERSION_NOT_FOUND", "7"),
    _bad(
        "signature", predict({"float": FLOAT}, "flaot"), FAILED_PRECONDITION, "SIGNATURE_NOT_FOUND", "'float'"
    ),
    _bad("no model", predict({"float": FLOAT}, model=""), INVALID, "MODEL_NAME_MISSING", ""),
    _bad("not a request", b"\xff" * 9, INVALID, "REQUEST_MALFORMED", ""),
)

MODELS = (
    Case(
        "models",
        "GetModelMetadata",
        METADATA,
        (model_question(get_model_metadata_pb2.GetModelMetadataRequest, metadata_field=["signature_def"]),),
    ),
    Case("models", "GetModelStatus", STATUS, (model_question(get_model_status_pb2.GetModelStatusRequest),)),
    Case(
        "models",
        "status of an unknown one",
        STATUS,
        (model_question(get_model_status_pb2.GetModelStatusRequest, "n"),),
        code=NOT_FOUND,
        words="n",
    ),
)

HOLD = (("x-hold", b"before"),)


def unasked(number: int) -> bytes:
    """A request of a model that nobody has asked for yet, and of which the server does not tell."""
    return predict({"float": FLOAT}, model=f"{NEVER_TOLD}{number}")


ENDING = (
    Case(
        "slow",
        "deadline at the server",
        PREDICT,
        (ONE,),
        metadata=HOLD,
        timeout=0.3,
        held="server",
        code=LATE,
    ),
    Case(
        "slow",
        "deadline at the proxy",
        PREDICT,
        (unasked(0),),
        timeout=0.3,
        held="proxy",
        same=False,
        code=LATE,
    ),
    Case(
        "cancelled",
        "at the server",
        PREDICT,
        (ONE,),
        metadata=HOLD,
        cancel="told",
        held="server",
        code=CANCELLED,
    ),
    Case(
        "cancelled",
        "at the proxy",
        PREDICT,
        (unasked(0),),
        cancel="told",
        held="proxy",
        same=False,
        code=CANCELLED,
    ),
)
BROKEN_OFF = (
    Case(
        "cancelled",
        "while the answer comes",
        RELAY,
        (ONE, ONE),
        "stream",
        metadata=(("x-hold", b"after"),),
        cancel="told",
        held="server",
        same=False,
        code=CANCELLED,
    ),
)

STREAMS = (
    Case("streams", "messages", RELAY, (ONE, b"", LARGE), "stream", messages=(ONE, b"", LARGE)),
    Case("streams", "a conversation", RELAY, (b"1", b"", b"3"), "pingpong", messages=(b"1", b"", b"3")),
    Case(
        "streams",
        "an error after messages",
        RELAY,
        (b"1", b"2"),
        "stream",
        (("x-code", b"15"), ("x-text-bin", b"lost")),
        code=DATA_LOSS,
        words="lost",
        messages=(b"1", b"2"),
    ),
)

HEALTH = (
    Case("health", "check", CHECK, (b"",), same=False, messages=(SERVING,)),
    Case(
        "health",
        "check of a model",
        CHECK,
        (health_pb2.HealthCheckRequest(service="model/m").SerializeToString(),),
        same=False,
        messages=(SERVING,),
    ),
    Case(
        "health",
        "check of an unknown service",
        CHECK,
        (health_pb2.HealthCheckRequest(service="nobody").SerializeToString(),),
        same=False,
        code=NOT_FOUND,
    ),
    Case(
        "health",
        "watch",
        WATCH,
        (b"",),
        "stream",
        cancel="first",
        same=False,
        code=CANCELLED,
        messages=(SERVING,),
    ),
)

REFLECTION = (
    _reflected("list of services", list_services=""),
    _reflected("a file", file_containing_symbol="tensorflow.serving.PredictionService"),
)

_SIZES = (("x-sizes", b"31415+9+2653+58979"),)
_CUSTOM: Metadata = (
    ("x-grpc-test-echo-initial", b"test_initial_metadata_value"),
    ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"),
)
_STATUS = (("x-code", b"2"), ("x-text-bin", b"test status message"))


def _zeros(*sizes: int) -> tuple[bytes, ...]:
    return tuple(bytes(size) for size in sizes)


def _interop(name: str, sent: Sequence[bytes], kind: str = "stream", **more: Any) -> Case:
    return Case("interop", name, INTEROP, tuple(sent), kind, **more)


UNARY_ANSWER: Metadata = (("x-sizes", b"314159"),)
INTEROP_CASES = (
    _interop("empty_unary", (b"",), "unary", metadata=(("x-sizes", b"0"),), messages=(b"",)),
    _interop("large_unary", _zeros(271828), "unary", metadata=UNARY_ANSWER, messages=_zeros(314159)),
    _interop(
        "client_streaming", _zeros(27182, 8, 1828, 45904), metadata=(("x-sum", b"1"),), messages=(b"74922",)
    ),
    _interop("server_streaming", (b"",), metadata=_SIZES, messages=_zeros(31415, 9, 2653, 58979)),
    _interop(
        "ping_pong",
        _zeros(27182, 8, 1828, 45904),
        "pingpong",
        metadata=(*_SIZES, ("x-each", b"1")),
        messages=_zeros(31415, 9, 2653, 58979),
    ),
    _interop("empty_stream", (), messages=()),
    _interop("custom_metadata (unary)", _zeros(271828), "unary", metadata=(*_CUSTOM, *UNARY_ANSWER)),
    _interop("custom_metadata (stream)", _zeros(271828), metadata=(*_CUSTOM, *UNARY_ANSWER)),
    _interop(
        "status_code_and_message (unary)",
        (b"",),
        "unary",
        metadata=_STATUS,
        code=UNKNOWN,
        words="test status message",
        messages=(),
    ),
    _interop(
        "status_code_and_message (stream)",
        (b"",),
        metadata=_STATUS,
        code=UNKNOWN,
        words="test status message",
        messages=(),
    ),
    _interop(
        "special_status_message",
        (b"",),
        "unary",
        metadata=(("x-code", b"2"), ("x-text-bin", ODD_TEXT.encode())),
        code=UNKNOWN,
        words=ODD_TEXT,
        messages=(),
    ),
    Case("interop", "unimplemented_method", "/tfs.test.Interop/Unimplemented", (b"",), code=UNIMPLEMENTED),
    Case("interop", "unimplemented_service", "/tfs.test.Nobody/Call", (b"",), code=UNIMPLEMENTED),
    _interop("cancel_after_begin", (), cancel="begun", code=CANCELLED, messages=()),
    _interop(
        "cancel_after_first_response",
        _zeros(27182),
        metadata=(("x-sizes", b"31415"), ("x-each", b"1"), ("x-hold", b"after")),
        cancel="first",
        code=CANCELLED,
        messages=_zeros(31415),
    ),
    _interop(
        "timeout_on_sleeping_server",
        _zeros(27182),
        metadata=(("x-hold", b"before"),),
        timeout=0.3,
        held="server",
        code=LATE,
    ),
)
COMPRESSED_INTEROP = (
    _interop(
        "client_compressed_unary",
        _zeros(271828),
        "unary",
        metadata=UNARY_ANSWER,
        gzip=True,
        messages=_zeros(314159),
    ),
    _interop(
        "server_compressed_unary",
        _zeros(271828),
        "unary",
        metadata=(*UNARY_ANSWER, ("x-gzip", b"1")),
        messages=_zeros(314159),
    ),
    _interop(
        "client_compressed_streaming",
        _zeros(27182, 45904),
        metadata=(("x-sum", b"1"),),
        gzip=True,
        messages=(b"73086",),
    ),
    _interop(
        "server_compressed_streaming",
        (b"",),
        metadata=(("x-sizes", b"31415+92653"), ("x-gzip", b"1")),
        messages=_zeros(31415, 92653),
    ),
)

SCRIPT = (
    *GOOD,
    *BAD,
    *MODELS,
    *HEALTH,
    *REFLECTION,
    *STREAMS,
    *INTEROP_CASES,
    *COMPRESSED_INTEROP,
    *ENDING,
    *BROKEN_OFF,
)
