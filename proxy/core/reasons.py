"""The vocabulary: one Reason is the metric label, the ErrorInfo reason, the log field and the docs heading.

Law: a released name is stable for ever. Codes are the ones TF Serving itself uses where it refuses too
(measured on 2.18.1 and 2.20.0); the one departure is MODEL_LOADING, UNAVAILABLE instead of NOT_FOUND,
because a retry will succeed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType


class Code(IntEnum):
    """The gRPC status codes of refusals, and those usual of an upstream, by their numbers on the wire."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Severity(StrEnum):
    """What a violation does: refuse the request, warn about it, or nothing."""

    REFUSE = "refuse"
    WARN = "warn"
    OFF = "off"


class Reason(StrEnum):
    """Why a request is refused or warned about."""

    REQUEST_MALFORMED = "REQUEST_MALFORMED"
    REQUEST_TOO_COMPLEX = "REQUEST_TOO_COMPLEX"
    REQUEST_ENCODING_INVALID = "REQUEST_ENCODING_INVALID"
    MODEL_SPEC_MISSING = "MODEL_SPEC_MISSING"
    MODEL_NAME_MISSING = "MODEL_NAME_MISSING"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    MODEL_LOADING = "MODEL_LOADING"
    MODEL_LOAD_FAILED = "MODEL_LOAD_FAILED"
    VERSION_LABEL_NOT_FOUND = "VERSION_LABEL_NOT_FOUND"
    SIGNATURE_NOT_FOUND = "SIGNATURE_NOT_FOUND"
    METHOD_MISMATCH = "METHOD_MISMATCH"
    SIGNATURE_UNCONFIRMED = "SIGNATURE_UNCONFIRMED"
    SIGNATURE_UNAVAILABLE = "SIGNATURE_UNAVAILABLE"
    INPUT_UNKNOWN = "INPUT_UNKNOWN"
    INPUT_MISSING = "INPUT_MISSING"
    OUTPUT_UNKNOWN = "OUTPUT_UNKNOWN"
    OUTPUT_DUPLICATE = "OUTPUT_DUPLICATE"
    DTYPE_MISMATCH = "DTYPE_MISMATCH"
    DTYPE_INVALID = "DTYPE_INVALID"
    RANK_MISMATCH = "RANK_MISMATCH"
    SHAPE_MISMATCH = "SHAPE_MISMATCH"
    SHAPE_INVALID = "SHAPE_INVALID"
    PAYLOAD_LENGTH_MISMATCH = "PAYLOAD_LENGTH_MISMATCH"
    PAYLOAD_FIELD_MISMATCH = "PAYLOAD_FIELD_MISMATCH"
    PAYLOAD_COUNT_MISMATCH = "PAYLOAD_COUNT_MISMATCH"
    PAYLOAD_MISSING = "PAYLOAD_MISSING"
    PAYLOAD_SINGLE_VALUE = "PAYLOAD_SINGLE_VALUE"
    VALUE_OUT_OF_RANGE = "VALUE_OUT_OF_RANGE"
    VALUE_NOT_FINITE = "VALUE_NOT_FINITE"
    VALUE_OUTSIDE_POLICY_RANGE = "VALUE_OUTSIDE_POLICY_RANGE"
    VALUE_CONSTANT = "VALUE_CONSTANT"
    STRING_NOT_AN_IMAGE = "STRING_NOT_AN_IMAGE"
    STRING_NOT_AN_EXAMPLE = "STRING_NOT_AN_EXAMPLE"
    STRING_LOOKS_BASE64 = "STRING_LOOKS_BASE64"
    BATCH_MISMATCH = "BATCH_MISMATCH"
    BATCH_EMPTY = "BATCH_EMPTY"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    METHOD_FORBIDDEN = "METHOD_FORBIDDEN"
    PROFILER_FORBIDDEN = "PROFILER_FORBIDDEN"
    CLIENT_UNAUTHENTICATED = "CLIENT_UNAUTHENTICATED"
    CLIENT_NOT_ALLOWED = "CLIENT_NOT_ALLOWED"
    DEADLINE_EXPIRED = "DEADLINE_EXPIRED"
    OVERLOADED = "OVERLOADED"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    REQUEST_STALLED = "REQUEST_STALLED"
    UPSTREAM_UNREACHABLE = "UPSTREAM_UNREACHABLE"
    UPSTREAM_NAME_UNRESOLVED = "UPSTREAM_NAME_UNRESOLVED"
    UPSTREAM_NOT_GRPC = "UPSTREAM_NOT_GRPC"
    UPSTREAM_TLS_MISMATCH = "UPSTREAM_TLS_MISMATCH"
    UPSTREAM_RESET = "UPSTREAM_RESET"
    UPSTREAM_KEEPALIVE = "UPSTREAM_KEEPALIVE"
    UPSTREAM_DEADLINE_EXCEEDED = "UPSTREAM_DEADLINE_EXCEEDED"
    UPSTREAM_METHOD_UNKNOWN = "UPSTREAM_METHOD_UNKNOWN"
    UPSTREAM_MESSAGE_TOO_LARGE = "UPSTREAM_MESSAGE_TOO_LARGE"
    UPSTREAM_METADATA_TOO_LARGE = "UPSTREAM_METADATA_TOO_LARGE"
    UPSTREAM_THREADS_EXHAUSTED = "UPSTREAM_THREADS_EXHAUSTED"
    UPSTREAM_QUEUE_FULL = "UPSTREAM_QUEUE_FULL"
    UPSTREAM_OUT_OF_MEMORY = "UPSTREAM_OUT_OF_MEMORY"
    UPSTREAM_DEVICE_FAULT = "UPSTREAM_DEVICE_FAULT"
    UPSTREAM_BATCHING = "UPSTREAM_BATCHING"
    UPSTREAM_CONTRADICTORY = "UPSTREAM_CONTRADICTORY"
    UPSTREAM_CONFIG_FAULT = "UPSTREAM_CONFIG_FAULT"
    UPSTREAM_EXPORT_FAULT = "UPSTREAM_EXPORT_FAULT"
    UPSTREAM_REQUEST_FAULT = "UPSTREAM_REQUEST_FAULT"
    UPSTREAM_GRAPH_FAULT = "UPSTREAM_GRAPH_FAULT"

    @property
    def about(self) -> "About":
        return REASONS[self]


@dataclass(frozen=True, slots=True)
class About:
    """What is fixed about a reason. `meaning` and `remedy` are one sentence each; `failures` are the kinds
    of failure users reported (catalogued in docs/failures.md) that it answers. An answer of the upstream keeps its
    own code; in the family "upstream" `code` is the usual one.
    """

    family: str
    code: Code
    meaning: str
    remedy: str
    failures: tuple[str, ...] = ()
    severity: Severity = Severity.REFUSE


_INVALID = Code.INVALID_ARGUMENT

REASONS: Mapping[Reason, About] = MappingProxyType(
    {
        Reason.REQUEST_MALFORMED: About(
            "request",
            _INVALID,
            "The message is not a readable protobuf of the method's request type; TF Serving answers INTERNAL with an empty text.",
            "Send a serialised request of exactly the type the method expects, names in UTF-8.",
            ("F26", "F76"),
        ),
        Reason.REQUEST_TOO_COMPLEX: About(
            "request",
            Code.RESOURCE_EXHAUSTED,
            "The request has more parts (inputs, dimensions, strings, tasks, metadata fields) than any real model takes.",
            "Send fewer at once; the bounds stand in SECURITY.md, and those of metadata and of questions hold in every mode.",
            ("F120",),
        ),
        Reason.REQUEST_ENCODING_INVALID: About(
            "request",
            Code.UNIMPLEMENTED,
            "The message is compressed in a way that cannot be undone, so that nobody can say what it holds.",
            "Send it uncompressed, or as gzip or deflate with one grpc-encoding that says so.",
        ),
        Reason.MODEL_SPEC_MISSING: About(
            "request",
            _INVALID,
            "The request has no model_spec.",
            "Set model_spec.name to the name the model is served under.",
            ("F52",),
        ),
        Reason.MODEL_NAME_MISSING: About(
            "request",
            _INVALID,
            "model_spec.name is empty.",
            "Set model_spec.name to the name the model is served under.",
            ("F41",),
        ),
        Reason.MODEL_NOT_FOUND: About(
            "model",
            Code.NOT_FOUND,
            "The server knows no model of this name, or has unloaded all its versions.",
            "Use the name given to the server by --model_name or its model config file; names are case-sensitive.",
            ("F41", "F45", "F46"),
        ),
        Reason.VERSION_NOT_FOUND: About(
            "model",
            Code.NOT_FOUND,
            "The model is served, but not in the version asked for.",
            "Leave version unset for the latest, or serve it with model_version_policy (the default keeps only the latest).",
            ("F43",),
        ),
        Reason.MODEL_LOADING: About(
            "model",
            Code.UNAVAILABLE,
            "The model is known and still loading; TF Serving answers NOT_FOUND as if it did not exist.",
            "Retry after the delay in RetryInfo.",
            ("F50", "F78"),
        ),
        Reason.MODEL_LOAD_FAILED: About(
            "model",
            Code.NOT_FOUND,
            "The server tried to load the model and failed; its own error text is passed on.",
            "Mend the export named in the error and put it in place again.",
            ("F47", "F53", "F54", "F55"),
        ),
        Reason.VERSION_LABEL_NOT_FOUND: About(
            "model",
            _INVALID,
            "No version of the model carries this label.",
            "Assign the label in the server's model config (version_labels), or ask by version number.",
            ("F44",),
        ),
        Reason.SIGNATURE_NOT_FOUND: About(
            "signature",
            Code.FAILED_PRECONDITION,
            "The model has no signature of this name.",
            "Set model_spec.signature_name to one of the signatures listed.",
            ("F04", "F09", "F10", "F11", "F125"),
        ),
        Reason.METHOD_MISMATCH: About(
            "signature",
            _INVALID,
            "Classify, Regress or MultiInference was called on a signature that cannot answer it.",
            "Call Predict, or name a signature that was exported for this method.",
            ("F18", "F98", "F125"),
        ),
        Reason.SIGNATURE_UNCONFIRMED: About(
            "signature",
            Code.UNAVAILABLE,
            "The request contradicts the last known signature, and the server could not confirm that signature just now.",
            "Retry after the delay in RetryInfo; if the signature has not changed, the retry says what is wrong.",
            ("F50", "F104"),
        ),
        Reason.SIGNATURE_UNAVAILABLE: About(
            "signature",
            Code.UNAVAILABLE,
            "The signature has never been known, and the server did not tell it in time.",
            "Retry after the delay in RetryInfo; see whether the server is up and answers GetModelMetadata.",
            ("F50",),
        ),
        Reason.INPUT_UNKNOWN: About(
            "alias",
            _INVALID,
            "The request carries an input that the signature does not have.",
            "Use the aliases of the signature, not graph tensor names.",
            ("F01", "F02", "F03", "F04", "F05", "F07", "F16", "F17", "F107", "F108", "F109", "F110", "F119"),
        ),
        Reason.INPUT_MISSING: About(
            "alias",
            _INVALID,
            "An input of the signature is not in the request.",
            "Send every input of the signature (severity can be lowered for servers that hide default values).",
            ("F06", "F07", "F17", "F108"),
        ),
        Reason.OUTPUT_UNKNOWN: About(
            "alias",
            _INVALID,
            "output_filter names an output that the signature does not have.",
            "Use the output aliases of the signature, or leave output_filter empty for all of them.",
            ("F19",),
        ),
        Reason.OUTPUT_DUPLICATE: About(
            "alias",
            _INVALID,
            "output_filter names an output twice.",
            "Name each output once.",
            ("F19",),
        ),
        Reason.DTYPE_MISMATCH: About(
            "tensor",
            _INVALID,
            "The tensor's dtype is not the signature's; TF Serving does not name the input.",
            "Cast to the dtype of the signature before building the TensorProto.",
            ("F20", "F21", "F22", "F93"),
        ),
        Reason.DTYPE_INVALID: About(
            "tensor",
            _INVALID,
            "The tensor's dtype is unset, unknown, or not one that a request can carry.",
            "Set TensorProto.dtype, for example through tf.make_tensor_proto.",
            ("F21", "F26"),
        ),
        Reason.RANK_MISMATCH: About(
            "tensor",
            _INVALID,
            "The number of dimensions is not the signature's; TF Serving never compares it and may abort.",
            "Send the rank of the signature; a single example needs a leading batch dimension of 1.",
            ("F29", "F31", "F33", "F34", "F35", "F36", "F105", "F106", "F111"),
        ),
        Reason.SHAPE_MISMATCH: About(
            "tensor",
            _INVALID,
            "A dimension that the signature fixes has another size; TF Serving never compares it.",
            "Resize, transpose or pad to the signature's shape.",
            ("F29", "F30", "F37", "F38", "F105", "F106"),
        ),
        Reason.SHAPE_INVALID: About(
            "tensor",
            _INVALID,
            "The shape is impossible: a negative dimension, more than 254 dimensions, or too many elements.",
            "Send the actual size of every dimension.",
            ("F26", "F27"),
        ),
        Reason.PAYLOAD_LENGTH_MISMATCH: About(
            "payload",
            _INVALID,
            "tensor_content does not have the number of bytes that dtype and shape require.",
            "Send exactly the array's bytes, C order, little-endian, for the dtype declared.",
            ("F26", "F27"),
        ),
        Reason.PAYLOAD_FIELD_MISMATCH: About(
            "payload",
            _INVALID,
            "The values are in a *_val field that TensorFlow does not read for this dtype: it would read zeros.",
            "Put the values into the field that belongs to the dtype, or use tensor_content.",
            ("F28", "F94"),
        ),
        Reason.PAYLOAD_COUNT_MISMATCH: About(
            "payload",
            _INVALID,
            "The number of values is neither one nor that of the shape: TensorFlow would repeat the last or cut.",
            "Send one value per element (or one for all).",
            ("F28",),
        ),
        Reason.PAYLOAD_MISSING: About(
            "payload",
            _INVALID,
            "The tensor has elements but no values: TensorFlow would read zeros or empty strings.",
            "Fill tensor_content or the *_val field of the dtype.",
            ("F27", "F28", "F94"),
        ),
        Reason.PAYLOAD_SINGLE_VALUE: About(
            "payload",
            _INVALID,
            "One value stands for every element: legal, but also what is left of arrays that a client nested.",
            "Send one value per element, in one flat list; where one value is meant, set the severity to off.",
            ("F121",),
            Severity.WARN,
        ),
        Reason.VALUE_OUT_OF_RANGE: About(
            "payload",
            _INVALID,
            "A value does not fit the dtype declared: TensorFlow would wrap it.",
            "Clip or rescale the values, or declare a wider dtype.",
            ("F93",),
        ),
        Reason.VALUE_NOT_FINITE: About(
            "meaning",
            _INVALID,
            "A NaN or an infinity is among the values; most models answer with NaN then, and OK.",
            "Find out where the client's preprocessing makes it.",
            ("F96",),
            Severity.OFF,
        ),
        Reason.VALUE_OUTSIDE_POLICY_RANGE: About(
            "meaning",
            _INVALID,
            "A value is outside the range that the policy gives for this input.",
            "Preprocess as in training, for example scale pixels of 0..255 to 0..1.",
            ("F93", "F94"),
            Severity.OFF,
        ),
        Reason.VALUE_CONSTANT: About(
            "meaning",
            _INVALID,
            "All values of a tensor of 16 elements or more are the same.",
            "See whether the client sends what it means to: a lost payload looks like this.",
            ("F28", "F94"),
            Severity.OFF,
        ),
        Reason.STRING_NOT_AN_IMAGE: About(
            "meaning",
            _INVALID,
            "A string of an input that the policy calls an image does not begin like one.",
            "Send the bytes of a JPEG, PNG, GIF or BMP file.",
            ("F23", "F24", "F122"),
            Severity.OFF,
        ),
        Reason.STRING_NOT_AN_EXAMPLE: About(
            "meaning",
            _INVALID,
            "A string of an input that the policy calls an Example is no serialised tf.train.Example.",
            "Send tf.train.Example(...).SerializeToString().",
            ("F97",),
            Severity.OFF,
        ),
        Reason.STRING_LOOKS_BASE64: About(
            "meaning",
            _INVALID,
            "A string is the base64 text of binary data; over gRPC nobody decodes it.",
            "Send the raw bytes.",
            ("F24", "F25"),
            Severity.OFF,
        ),
        Reason.BATCH_MISMATCH: About(
            "batch",
            _INVALID,
            "Inputs with a free leading dimension differ in it, and the server has not answered such a request of this signature yet.",
            "Send the same batch size in every input.",
            ("F82", "F114"),
            Severity.WARN,
        ),
        Reason.BATCH_EMPTY: About(
            "batch",
            _INVALID,
            "The batch has no examples; a server with batching may never answer it.",
            "Send at least one example.",
            ("F36",),
            Severity.WARN,
        ),
        Reason.BATCH_TOO_LARGE: About(
            "batch",
            _INVALID,
            "The batch is larger than the limit given for this model.",
            "Split the batch.",
            ("F81",),
        ),
        Reason.METHOD_FORBIDDEN: About(
            "method",
            Code.PERMISSION_DENIED,
            "The method is not allowed through this proxy: it changes the server, or --allow-method does not name it.",
            "Call the server directly, or start the proxy with --allow-admin-methods, or with --allow-method for this one.",
            ("F48", "F112"),
        ),
        Reason.PROFILER_FORBIDDEN: About(
            "method",
            Code.PERMISSION_DENIED,
            "The method is one of TensorFlow's profiler, which slows the server down and writes to a path that its caller chooses.",
            "Let TensorBoard profile the server's own address, or start the proxy with --severity PROFILER_FORBIDDEN=off.",
            ("F113",),
        ),
        Reason.CLIENT_UNAUTHENTICATED: About(
            "access",
            Code.UNAUTHENTICATED,
            "The proxy asks for a bearer token, and the call came without one, or with one that it does not know.",
            "Send the metadata authorization with Bearer and a token that stands in the file of --client-tokens.",
        ),
        Reason.CLIENT_NOT_ALLOWED: About(
            "access",
            Code.PERMISSION_DENIED,
            "No name in the client's certificate is one that may call.",
            "Use a certificate with such a name, or add this one with --client-san.",
        ),
        Reason.DEADLINE_EXPIRED: About(
            "admission",
            Code.DEADLINE_EXCEEDED,
            "The deadline had passed before the request could be sent to the server.",
            "Give the call more time, or find out what delays it before the proxy.",
            ("F72",),
        ),
        Reason.OVERLOADED: About(
            "admission",
            Code.RESOURCE_EXHAUSTED,
            "The proxy, or this client's share of it, is full: of bytes in flight or of calls.",
            "Retry with backoff, add replicas, or raise --max-inflight-bytes; the shares stand in SECURITY.md.",
            ("F80",),
        ),
        Reason.MESSAGE_TOO_LARGE: About(
            "admission",
            Code.RESOURCE_EXHAUSTED,
            "The message is larger than this proxy takes.",
            "Split the batch, or raise --max-message-bytes.",
            ("F69", "F70"),
        ),
        Reason.REQUEST_STALLED: About(
            "admission",
            Code.DEADLINE_EXCEEDED,
            "The request began and then came too slowly, or not at all.",
            "See what slows the client's way to the proxy down, or raise --stall-seconds.",
        ),
        Reason.UPSTREAM_UNREACHABLE: About(
            "upstream",
            Code.UNAVAILABLE,
            "No connection to the server: nothing listens, packets are dropped, or it still waits for a model.",
            "Check host, port and published ports, and the server's log: the port opens only when every configured model has a loaded version.",
            ("F45", "F48", "F49", "F50", "F60", "F62", "F64"),
        ),
        Reason.UPSTREAM_NAME_UNRESOLVED: About(
            "upstream",
            Code.UNAVAILABLE,
            "The server's host name cannot be resolved.",
            "Give HOST:PORT without a scheme, and check the name from where the proxy runs.",
            ("F63",),
        ),
        Reason.UPSTREAM_NOT_GRPC: About(
            "upstream",
            Code.UNAVAILABLE,
            "What answers is not a gRPC server: TF Serving's REST port, an HTTP/1 front, or an ingress.",
            "Use the gRPC port (8500, not 8501) and a front that speaks HTTP/2 and routes this host name.",
            ("F51", "F61", "F75"),
        ),
        Reason.UPSTREAM_TLS_MISMATCH: About(
            "upstream",
            Code.UNAVAILABLE,
            "One side speaks TLS and the other does not, or the certificate is not accepted.",
            "Make both ends agree: TF Serving speaks TLS only with --ssl_config_file.",
            ("F65",),
        ),
        Reason.UPSTREAM_RESET: About(
            "upstream",
            Code.UNAVAILABLE,
            "The connection was lost while the request was in flight; its fate is unknown.",
            "Retry if the call may run twice, and see whether the server restarted or aborted.",
            ("F66", "F70", "F74", "F90", "F104"),
        ),
        Reason.UPSTREAM_KEEPALIVE: About(
            "upstream",
            Code.UNAVAILABLE,
            "A hop closed the connection because of too many keepalive pings.",
            "Ping no more often than that hop allows (gRPC servers: every 5 minutes by default).",
            ("F67",),
        ),
        Reason.UPSTREAM_DEADLINE_EXCEEDED: About(
            "upstream",
            Code.DEADLINE_EXCEEDED,
            "The deadline passed before the server answered.",
            "Give the call more time, warm the model up, or send less at once.",
            ("F58", "F71", "F72", "F78"),
        ),
        Reason.UPSTREAM_METHOD_UNKNOWN: About(
            "upstream",
            Code.UNIMPLEMENTED,
            "The server has no such method; method names are case-sensitive and carry the package.",
            "Generate the client from tensorflow_serving/apis/prediction_service.proto.",
            ("F76",),
        ),
        Reason.UPSTREAM_MESSAGE_TOO_LARGE: About(
            "upstream",
            Code.RESOURCE_EXHAUSTED,
            "A message is larger than one hop takes; 4 MiB is the default of most gRPC clients, not TF Serving's.",
            "Raise grpc.max_receive_message_length on the hop named, or ask for fewer outputs with output_filter.",
            ("F69", "F70"),
        ),
        Reason.UPSTREAM_METADATA_TOO_LARGE: About(
            "upstream",
            Code.RESOURCE_EXHAUSTED,
            "The metadata of the call (its headers: cookies, tokens, tracing) is more than the server takes, by default 8 KiB.",
            "Send less metadata, or start the server with --grpc_channel_arguments=grpc.max_metadata_size=65536.",
            ("F120",),
        ),
        Reason.UPSTREAM_THREADS_EXHAUSTED: About(
            "upstream",
            Code.RESOURCE_EXHAUSTED,
            "All threads of the server are busy: it refuses at once instead of queueing.",
            "Raise --grpc_max_threads (default 4 x CPUs), send fewer requests at once, and retry with backoff.",
            ("F80",),
        ),
        Reason.UPSTREAM_QUEUE_FULL: About(
            "upstream",
            Code.UNAVAILABLE,
            "The server's batch queue is full.",
            "Retry with backoff; raise max_enqueued_batches or num_batch_threads.",
            ("F86",),
        ),
        Reason.UPSTREAM_OUT_OF_MEMORY: About(
            "upstream",
            Code.RESOURCE_EXHAUSTED,
            "The server ran out of memory for a tensor or a model.",
            "Send smaller batches, serve fewer models or versions at once, or give the server more memory.",
            ("F88", "F89", "F90"),
        ),
        Reason.UPSTREAM_DEVICE_FAULT: About(
            "upstream",
            Code.INTERNAL,
            "The server's own device or libraries fail: its GPU, the driver, CUDA, cuDNN, BLAS.",
            "See the library's own message in the server's log; compare its versions with the server's, free the GPU's memory, "
            "restart the server.",
            ("F116",),
        ),
        Reason.UPSTREAM_BATCHING: About(
            "upstream",
            _INVALID,
            "The server's batching cannot join this request with others.",
            "Send equal shapes in every request, or set pad_variable_length_inputs knowing that it pads with the first element.",
            ("F36", "F82", "F84", "F85"),
        ),
        Reason.UPSTREAM_CONTRADICTORY: About(
            "upstream",
            Code.NOT_FOUND,
            "The server says that it does not have what it says is AVAILABLE.",
            "See whether two servers share the port (grpc.so_reuseport=0 forbids it) or the model was just swapped.",
            ("F42",),
        ),
        Reason.UPSTREAM_CONFIG_FAULT: About(
            "upstream",
            _INVALID,
            "The server refuses its model or batching configuration.",
            "Check the configuration offline with `tfs-proxy lint`.",
            ("F48", "F87"),
        ),
        Reason.UPSTREAM_EXPORT_FAULT: About(
            "upstream",
            Code.FAILED_PRECONDITION,
            "The exported model is at fault, not the request: no request can mend it.",
            "Export the model again as the diagnosis says.",
            ("F08", "F12", "F13", "F15", "F30", "F32", "F38", "F39", "F53", "F56", "F57", "F83"),
        ),
        Reason.UPSTREAM_REQUEST_FAULT: About(
            "upstream",
            _INVALID,
            "The model's graph refuses what the request carries, and the signature does not show why.",
            "Compare the request with what the model was trained on; the diagnosis says what the graph expected.",
            ("F25", "F33", "F35", "F37", "F97", "F117", "F118"),
        ),
        Reason.UPSTREAM_GRAPH_FAULT: About(
            "upstream",
            Code.INTERNAL,
            "The model's graph failed while it ran, with a code that does not blame the request.",
            "See the server's log. If every call fails, export the model again or restart the server; otherwise compare this "
            "request with one that succeeds.",
        ),
    }
)
"""Everything fixed about each reason; docs/reasons.md is generated from it."""

OF_NO_MODEL = tuple(reason for reason, about in REASONS.items() if about.family == "method")
"""Reasons of calls that are about no model: what holds for all models decides."""
