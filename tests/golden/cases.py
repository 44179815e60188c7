"""One request or more for every reason, and the status that its client sees.

Law: statuses come from the product's own path (gate, admission, diagnosis), never written by hand. A case also
tells what leads to its status, so that it can be sent through a proxy.
"""

import math
from dataclasses import dataclass

from proxy.core import bounds, values
from proxy.core.availability import VersionStatus
from proxy.core.policy import Policies, Policy
from proxy.core.reasons import REASONS, Reason, Severity
from proxy.core.tokens import read_tokens
from proxy.core.types import ModelKey, RequestView
from proxy.core.unconfirmed import unavailable, unconfirmed
from proxy.core.validate import judge
from proxy.core.verdict import Verdict
from proxy.diagnosis import Call, diagnose
from proxy.diagnosis.transport import Spent, diagnose_deadline
from proxy.edge import admission
from proxy.edge.access import Access
from proxy.gate import JUDGED_METHODS, PREDICT, Gate, Refuse
from proxy.wire.diagnosis import Annotated, annotate
from proxy.wire.protos import classification_pb2
from proxy.wire.status import Status, status_of
from tests.judging import FixedSignatures, decide, predict, servable, signature, tensor, view_of_request

CLASSIFY = next(method for method in JUDGED_METHODS if method.endswith("/Classify"))

DETECTOR = servable(
    signature(
        {"image_tensor": ("uint8", (-1, -1, -1, 3))},
        {"detection_boxes": ("float32", (-1, 100, 4)), "detection_scores": ("float32", (-1, 100))},
    ),
    signature(
        {"encoded_image": ("string", (-1,))}, {"detection_boxes": ("float32", (-1, 100, 4))}, name="encoded"
    ),
    model="ssd",
    version=3,
)
CLASSIFIER = servable(
    signature({"images": ("float32", (-1, 300, 300, 3))}, {"scores": ("float32", (-1, 5))}), model="cnn"
)
TEXTS = servable(signature({"text": ("string", (-1,)), "ids": ("int64", (-1, 4))}), model="two")
FIXED = servable(signature({"x": ("float32", (1, 4))}), model="fixed")
EXAMPLES = servable(signature({"examples": ("string", (-1,))}), model="examples")
HALF = servable(signature({"x": ("float16", (-1, 4))}), model="half")
EVERYTHING = (DETECTOR, CLASSIFIER, TEXTS, FIXED, EXAMPLES, HALF)

WARNED_OF = [reason for reason, about in REASONS.items() if about.severity is Severity.WARN]
STRICT = Policies(Policy.of(severities=dict.fromkeys(WARNED_OF, Severity.REFUSE), max_batch=32))

NO_POLICIES = Policies()

TOKENS = read_tokens("batch:0123456789abcdef")

MOST_BYTES = 4 << 20
MOST_CALLS = 100
"""The limits that calls are held to."""

IMAGE = tensor("float32", (1, 300, 300, 3))
PIXELS = tensor("uint8", (1, 4, 5, 3))
IDS = tensor("int64", (1, 4))
TEXT = tensor("string", (1,), string_val=[b"hello"])
JPEG = tensor("string", (1,), string_val=[b"\xff\xd8\xff\xe0\x00\x10JFIF"])
EXAMPLE = tensor("string", (1,), string_val=[b"\n\x10\n\x0e\n\x01x\x12\t\x12\x07\n\x05\x00\x00\x80?"])
PHOTO = predict("ssd", image_tensor=tensor("uint8", (1, 300, 300, 3))).SerializeToString()
"""A request that is admitted."""

BASE64 = b"/9j/4AAQSkZJRgABAQEAYABgAAD/2wBD"

MEANING = Policies(
    Policy.of(
        severities=dict.fromkeys(values.MEANING, Severity.REFUSE),
        inputs={
            "x": values.InputPolicy(0, 1),
            "encoded_image": values.InputPolicy(kind=values.StringKind.IMAGE),
            "examples": values.InputPolicy(kind=values.StringKind.EXAMPLE),
        },
    )
)


def floats(*numbers):
    return tensor("float32", (1, len(numbers)), float_val=numbers)


@dataclass(frozen=True)
class Refused:
    """A request that the gate refuses, in front of a server with EVERYTHING.

    `versions`: what the server says of the model's versions, instead of having the servable alone.
    """

    message: bytes
    policies: Policies = NO_POLICIES
    versions: tuple[VersionStatus, ...] = ()
    method: str = PREDICT

    @property
    def status(self) -> Status:
        gate = Gate(FixedSignatures(*EVERYTHING, versions=self.versions), self.policies)
        decision = decide(gate, self.message, self.method)
        assert isinstance(decision, Refuse), decision
        return decision.status


@dataclass(frozen=True)
class TurnedAway:
    """A call that does not even come before the gate."""

    verdict: Verdict

    @property
    def status(self) -> Status:
        return status_of(self.verdict)


@dataclass(frozen=True)
class Answered:
    """An error answer of the server; the status is that with what the proxy adds.

    `message` is the request it answers (empty: one that is not judged), `facts` is what the gate knows of it,
    `spent` where the time went.
    """

    code: int
    text: str
    call: Call | None = None
    message: bytes = b""
    facts: tuple[tuple[str, str], ...] = ()
    spent: Spent | None = None

    @property
    def words(self) -> Annotated:
        found = diagnose(self.code, self.text, self.call)
        if self.spent is not None:
            found = diagnose_deadline(self.spent, connected=True, target="", known=found)
        assert found is not None
        return annotate(self.code, self.text, b"", found, dict(self.facts))

    @property
    def status(self) -> Status:
        return Status(self.code, self.words.text, self.words.details)


Case = Refused | TurnedAway | Answered


def refused(message, **how) -> Refused:
    return Refused(message if isinstance(message, bytes) else message.SerializeToString(), **how)


def labelled(label: str):
    request = predict("ssd", image_tensor=PIXELS)
    request.model_spec.version_label = label
    return request


def versioned(number: int, model: str = "ssd"):
    request = predict(model, image_tensor=PIXELS)
    request.model_spec.version.value = number
    return request


def without(proto, *fields: str):
    bare = type(proto)()
    bare.CopyFrom(proto)
    for each in fields:
        bare.ClearField(each)
    return bare


def cases() -> dict[Reason, dict[str, Case]]:
    """Reason → what is wrong → how it comes to its status."""
    loading = (VersionStatus(2, "LOADING"),)
    failed = (VersionStatus(1, "END", 11, "Read less bytes than requested"),)
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name = "ssd"
    nameless = predict("", image_tensor=PIXELS)
    unspecified = without(nameless, "model_spec")
    negative = tensor("uint8", (1, 4, 5, 3))
    negative.tensor_shape.dim[0].size = -1
    available = Call(
        PREDICT, RequestView(ModelKey("ssd")), DETECTOR, versions=(VersionStatus(3, "AVAILABLE"),)
    )
    size = len(PHOTO)
    return {
        Reason.REQUEST_MALFORMED: {"JSON instead of protobuf": refused(b'{"instances": [1, 2]}')},
        Reason.REQUEST_TOO_COMPLEX: {
            "a million inputs": TurnedAway(bounds.too_complex("inputs", bounds.MAX_INPUTS)),
        },
        Reason.REQUEST_ENCODING_INVALID: {
            "two encodings": TurnedAway(admission.encoding_invalid("'identity', 'gzip'")),
        },
        Reason.MODEL_SPEC_MISSING: {"no model_spec": refused(unspecified)},
        Reason.MODEL_NAME_MISSING: {"a model_spec without a name": refused(nameless)},
        Reason.MODEL_NOT_FOUND: {
            "wrong case": refused(predict("SSD", image_tensor=PIXELS)),
            "nothing like it is known": refused(predict("recommender", image_tensor=PIXELS)),
        },
        Reason.VERSION_NOT_FOUND: {"a version that is not loaded": refused(versioned(2))},
        Reason.MODEL_LOADING: {"a model that still loads": refused(versioned(2), versions=loading)},
        Reason.MODEL_LOAD_FAILED: {"a model that cannot be loaded": refused(versioned(1), versions=failed)},
        Reason.VERSION_LABEL_NOT_FOUND: {
            "a label that is not assigned": refused(labelled("stable")),
            "an empty label": refused(labelled("")),
        },
        Reason.SIGNATURE_NOT_FOUND: {"wrong case": refused(predict("ssd", "Encoded", encoded_image=JPEG))},
        Reason.METHOD_MISMATCH: {
            "Classify on a signature for Predict": refused(classify, method=CLASSIFY),
        },
        Reason.SIGNATURE_UNCONFIRMED: {
            "while the server restarts": TurnedAway(
                unconfirmed(
                    judge(
                        view_of_request(predict("cnn", images=tensor("float32", (300, 300, 3)))),
                        CLASSIFIER,
                        Policy(),
                    ),
                    CLASSIFIER,
                )
            ),
        },
        Reason.SIGNATURE_UNAVAILABLE: {
            "a server that does not answer": TurnedAway(
                unavailable(ModelKey("ssd"), "no answer of the server in 2 s")
            ),
        },
        Reason.INPUT_UNKNOWN: {
            "a wrong name": refused(predict("ssd", image=PIXELS)),
            "wrong case": refused(predict("ssd", Image_Tensor=PIXELS)),
            "the ':0' of a graph": refused(predict("ssd", **{"image_tensor:0": PIXELS})),
            "the name in the graph": refused(predict("ssd", **{"serving_default_image_tensor:0": PIXELS})),
            "an alias of another signature": refused(predict("ssd", encoded_image=JPEG)),
            "one input too many": refused(predict("ssd", image_tensor=PIXELS, phase_train=PIXELS)),
        },
        Reason.INPUT_MISSING: {"one of two inputs": refused(predict("two", text=TEXT))},
        Reason.OUTPUT_UNKNOWN: {
            "one letter": refused(predict("ssd", outputs=["detection_score"], image_tensor=PIXELS)),
        },
        Reason.OUTPUT_DUPLICATE: {
            "named twice": refused(predict("ssd", outputs=["detection_boxes"] * 2, image_tensor=PIXELS)),
        },
        Reason.DTYPE_MISMATCH: {
            "the default of NumPy": refused(predict("cnn", images=tensor("float64", (1, 300, 300, 3)))),
            "the default of TensorFlow": refused(predict("two", text=TEXT, ids=tensor("int32", (1, 4)))),
            "normalised pixels": refused(predict("ssd", image_tensor=tensor("float32", (1, 4, 5, 3)))),
            "a JPEG where pixels are wanted": refused(predict("ssd", image_tensor=JPEG)),
            "an Example where an array is wanted": refused(predict("cnn", images=EXAMPLE)),
            "pixels where a string is wanted": refused(
                predict("ssd", "encoded", encoded_image=tensor("uint8", (60,)))
            ),
            "two tensors swapped": refused(predict("two", text=IDS, ids=TEXT)),
        },
        Reason.DTYPE_INVALID: {
            "dtype not set": refused(predict("ssd", image_tensor=without(PIXELS, "dtype")))
        },
        Reason.RANK_MISMATCH: {
            "no batch dimension": refused(predict("cnn", images=tensor("float32", (300, 300, 3)))),
            "flattened": refused(predict("cnn", images=tensor("float32", (270000,)))),
            "one dimension too many": refused(predict("cnn", images=tensor("float32", (1, 1, 300, 300, 3)))),
            "no shape": refused(predict("cnn", images=without(IMAGE, "tensor_shape"))),
        },
        Reason.SHAPE_MISMATCH: {
            "another size": refused(predict("cnn", images=tensor("float32", (1, 224, 224, 3)))),
            "channels first": refused(predict("cnn", images=tensor("float32", (1, 3, 300, 300)))),
            "an alpha channel": refused(predict("ssd", image_tensor=tensor("uint8", (1, 4, 5, 4)))),
            "a batch of an export with a fixed batch of 1": refused(
                predict("fixed", x=tensor("float32", (8, 4)))
            ),
        },
        Reason.SHAPE_INVALID: {"-1 as in a signature": refused(predict("ssd", image_tensor=negative))},
        Reason.PAYLOAD_LENGTH_MISMATCH: {
            "the bytes of another dtype": refused(
                predict("cnn", images=tensor("float32", (1, 300, 300, 3), tensor_content=bytes(270000)))
            ),
            "one byte lost": refused(
                predict("ssd", image_tensor=tensor("uint8", (1, 4, 5, 3), tensor_content=bytes(59)))
            ),
        },
        Reason.PAYLOAD_FIELD_MISMATCH: {
            "pixels in float_val": refused(
                predict("ssd", image_tensor=tensor("uint8", (1, 4, 5, 3), float_val=[0.5] * 60))
            ),
        },
        Reason.PAYLOAD_COUNT_MISMATCH: {
            "values lost": refused(
                predict("two", text=TEXT, ids=tensor("int64", (1, 4), int64_val=[1, 2, 3]))
            ),
        },
        Reason.PAYLOAD_MISSING: {
            "no values": refused(predict("cnn", images=without(IMAGE, "tensor_content")))
        },
        Reason.PAYLOAD_SINGLE_VALUE: {
            "ten numbers in one list too many become one (severity raised to refuse)": refused(
                predict("fixed", x=tensor("float32", (1, 4), float_val=[math.nan])), policies=STRICT
            ),
        },
        Reason.VALUE_OUT_OF_RANGE: {
            "300 in a uint8": refused(
                predict("ssd", image_tensor=tensor("uint8", (1, 4, 5, 3), int_val=[300] * 60))
            ),
        },
        Reason.BATCH_MISMATCH: {
            "two texts, one row of ids (severity raised to refuse)": refused(
                predict("two", text=tensor("string", (2,), string_val=[b"a", b"b"]), ids=IDS), policies=STRICT
            ),
        },
        Reason.BATCH_EMPTY: {
            "no examples (severity raised to refuse)": refused(
                predict("ssd", image_tensor=tensor("uint8", (0, 4, 5, 3))), policies=STRICT
            ),
        },
        Reason.VALUE_NOT_FINITE: {
            "a NaN": refused(predict("fixed", x=floats(1, math.nan, 3, 4)), policies=MEANING),
        },
        Reason.VALUE_OUTSIDE_POLICY_RANGE: {
            "pixels that are not scaled": refused(
                predict("fixed", x=floats(0, 12, 255, 4)), policies=MEANING
            ),
            "both ends": refused(predict("fixed", x=floats(-1, 0, 1, 300)), policies=MEANING),
        },
        Reason.VALUE_CONSTANT: {
            "a black image": refused(predict("ssd", image_tensor=PIXELS), policies=MEANING),
        },
        Reason.STRING_NOT_AN_IMAGE: {
            "text": refused(predict("ssd", "encoded", encoded_image=TEXT), policies=MEANING),
        },
        Reason.STRING_NOT_AN_EXAMPLE: {
            "an image": refused(predict("examples", examples=JPEG), policies=MEANING),
        },
        Reason.STRING_LOOKS_BASE64: {
            "an image in base64": refused(
                predict("two", text=tensor("string", (1,), string_val=[BASE64]), ids=IDS), policies=MEANING
            ),
        },
        Reason.BATCH_TOO_LARGE: {
            "64 where 32 are allowed": refused(
                predict("ssd", image_tensor=tensor("uint8", (64, 1, 1, 3))), policies=STRICT
            ),
        },
        Reason.METHOD_FORBIDDEN: {
            "a reload": TurnedAway(
                admission.forbidden(
                    "/tensorflow.serving.ModelService/HandleReloadConfigRequest", Reason.METHOD_FORBIDDEN
                )
            ),
        },
        Reason.PROFILER_FORBIDDEN: {
            "TensorBoard": TurnedAway(
                admission.forbidden("/tensorflow.ProfilerService/Profile", Reason.PROFILER_FORBIDDEN)
            ),
        },
        Reason.CLIENT_UNAUTHENTICATED: {
            "no token": TurnedAway(Access(tokens=TOKENS).of_fields([])),
            "an unknown token": TurnedAway(Access(tokens=TOKENS).of_fields([b"Bearer no-such-token-here"])),
        },
        Reason.CLIENT_NOT_ALLOWED: {
            "another name": TurnedAway(Access(["batch.example.com"]).of_names(["web.example.com"], [])),
        },
        Reason.DEADLINE_EXPIRED: {"no time left": TurnedAway(admission.expired())},
        Reason.OVERLOADED: {
            "too many bytes": TurnedAway(admission.too_many_bytes(size, 15 * size, MOST_BYTES)),
            "too large a share": TurnedAway(
                admission.too_large_a_share(size, 11 * size, 11 * size, MOST_BYTES)
            ),
            "too slow for a full proxy": TurnedAway(admission.turned_away(512.0)),
            "too many watches": TurnedAway(
                admission.too_many_local_calls(admission.MOST_LOCAL_CALLS_OF_A_CONNECTION, "on a connection")
            ),
            "too many calls": TurnedAway(admission.too_many_calls(MOST_CALLS)),
        },
        Reason.MESSAGE_TOO_LARGE: {
            "more than the limit": TurnedAway(admission.too_large(6_000_080, MOST_BYTES)),
            "more than may be in flight": TurnedAway(admission.never_fits(6_000_080, MOST_BYTES)),
        },
        Reason.REQUEST_STALLED: {"a trickle": TurnedAway(admission.stalled(5, 10.0, 1024))},
        Reason.UPSTREAM_UNREACHABLE: {
            "nothing listens": Answered(
                14,
                "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:8500: Failed to connect to remote host: Connection refused",
            ),
        },
        Reason.UPSTREAM_NAME_UNRESOLVED: {
            "a name nobody knows": Answered(
                14, "DNS resolution failed for tf-serving:8500: Domain name not found"
            ),
        },
        Reason.UPSTREAM_NOT_GRPC: {
            "the REST port": Answered(14, "Trying to connect an http1.x server"),
            "an ingress": Answered(12, "Received http2 header with status: 404"),
        },
        Reason.UPSTREAM_TLS_MISMATCH: {
            "plaintext met TLS": Answered(14, "Ssl handshake failed: SSL_ERROR_SSL: WRONG_VERSION_NUMBER"),
        },
        Reason.UPSTREAM_RESET: {"a connection lost": Answered(14, "Stream removed (Socket closed)")},
        Reason.UPSTREAM_KEEPALIVE: {"too many pings": Answered(14, "Too many pings: ENHANCE_YOUR_CALM")},
        Reason.UPSTREAM_DEADLINE_EXCEEDED: {
            "no answer in time": Answered(4, "Deadline Exceeded", spent=Spent(0.5, 9.5))
        },
        Reason.UPSTREAM_METHOD_UNKNOWN: {
            "a method in lower case": Answered(12, "", Call("/tensorflow.serving.PredictionService/predict")),
        },
        Reason.UPSTREAM_MESSAGE_TOO_LARGE: {
            "4 MiB": Answered(8, "Received message larger than max (6000080 vs. 4194304)"),
        },
        Reason.UPSTREAM_METADATA_TOO_LARGE: {
            "a large cookie": Answered(
                8,
                "received metadata size exceeds soft limit (12576 vs. 8192);  :path:82B user-agent:90B cookie:12038B",
            ),
        },
        Reason.UPSTREAM_THREADS_EXHAUSTED: {"all threads busy": Answered(8, "Server Threadpool Exhausted")},
        Reason.UPSTREAM_QUEUE_FULL: {
            "the batch queue": Answered(
                14, "The batch scheduling queue to which this task was submitted is full"
            ),
        },
        Reason.UPSTREAM_OUT_OF_MEMORY: {
            "a large tensor": Answered(
                8, "OOM when allocating tensor with shape[64,300,300,64] and type float"
            ),
        },
        Reason.UPSTREAM_DEVICE_FAULT: {
            "cuDNN": Answered(
                2,
                "Failed to get convolution algorithm. This is probably because cuDNN failed to initialize, so try looking to see if a warning log message was printed above.",
            ),
            "libdevice": Answered(13, "libdevice not found at ./libdevice.10.bc"),
        },
        Reason.UPSTREAM_BATCHING: {
            "two dtypes in one batch": Answered(
                13,
                "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data types. Got int64 and int32.",
            ),
        },
        Reason.UPSTREAM_CONTRADICTORY: {
            "NOT_FOUND of an available model": Answered(
                5,
                "Servable not found for request: Latest(ssd)",
                available,
                PHOTO,
                (("model", "ssd"), ("version", "3"), ("signature", "serving_default")),
            ),
        },
        Reason.UPSTREAM_CONFIG_FAULT: {
            "a relative path": Answered(
                3, "Expected model rel to have an absolute path or URI; got base_path()=rel/x"
            ),
        },
        Reason.UPSTREAM_EXPORT_FAULT: {
            "a placeholder outside of the signature": Answered(
                3,
                "You must feed a value for placeholder tensor 'input_1' with dtype float and shape [?,300,300,3]",
            ),
        },
        Reason.UPSTREAM_REQUEST_FAULT: {
            "a feature that an Example lacks": Answered(
                3,
                "Name: <unknown>, Feature: x (data type: float) is required but could not be found.\n\t [[{{node ParseExample/ParseExampleV2}}]]",
            ),
            "an id outside of the vocabulary": Answered(
                3, "indices[0,1] = 12 is not in [0, 10)\n\t [[{{node embedding_lookup}}]]"
            ),
            "shapes that do not broadcast": Answered(
                3, "Incompatible shapes: [2,3] vs. [4]\n\t [[{{node add}}]]"
            ),
        },
        Reason.UPSTREAM_GRAPH_FAULT: {
            "a node that fails": Answered(13, "Unexpected state of an op\n\t [[{{node MyOp}}]]"),
        },
    }
