"""The targets, in the order in which a report names them."""

from tests.fuzz.mutation import HEADER_BLOCKS, behind, frames, lines, protobuf, records, several
from tests.fuzz.target import Target

_FIELDS = (
    *(b":method", b":scheme", b":path", b":authority", b":status", b"content-type", b"application/grpc", b"te", b"host"),
    *(b"trailers", b"grpc-timeout", b"grpc-encoding", b"grpc-status", b"grpc-message", b"grpc-status-details-bin"),
    *(b"content-length", b"connection", b"cookie", b"authorization", b"server", b"200", b"503", b"99999999H", b": "),
)
_SETTINGS = (
    *(b"upstream: ", b"mode: ", b"models:", b"severities:", b"inputs:", b"max_batch: ", b"sample: ", b"observe", b"off"),
    *(b"warn", b"SHAPE_MISMATCH", b"VALUE_NOT_FINITE", b"client_tokens: ", b"min: ", b"max: ", b"kind: ", b"image", b".inf"),
    *(b"&a ", b"*a", b"<<: ", b"!!", b"? ", b"- ", b"[", b"{", b"}", b"]", b"'", b'"', b"|\n", b"%", b"---", b"~", b"0x"),
    *(b"1e999", b"2026-01-01", b"1_0:30", b"99999999999999999999", b"null", b"true", b"\t", b"\xef\xbb\xbf", b"=: "),
    *(b"listen: ", b"unix:", b"64MiB", b"workers: ", b"allow_method: ", b"client_san: ", b"max-inflight-bytes: "),
)
_TEXT_FORMAT = (
    *(b"model_config_list", b"config", b"name", b"base_path", b'"DISK"', b"model_version_policy", b"specific", b"latest"),
    *(b"versions: ", b"num_versions: ", b"version_labels", b"key: ", b"value: ", b"0x10", b"010", b"-1", b"1e5", b"inf"),
    *(b"{", b"}", b"<", b">", b"[", b"]", b":", b";", b",", b"#", b"'", b'"', b"\\x", b"\\u12", b"\\777", b"\\", b"/"),
    *(b"max_batch_size", b"allowed_batch_sizes", b"prometheus_config", b"platform_configs", b"\xc2\xb2", "é".encode()),
)
_WORDS = (
    *(b"00-", b"-01", b"100m", b"Bearer ", b"Basic ", b"0123456789abcdef", b"dns:///", b"unix:", b"ipv4:", b"://", b"@"),
    *(b"localhost", b"[::1]", b":8601", b"same-origin", b"http://", b"*", b",", b"%25", b"s3cr3t"),
)
_SAID = (b"{{node ", b"}}", b"Expects arg[", b"not found in request", b"Servable not found for request: ", b"[[", b"{", b"}")

TARGETS = (
    Target(
        "request",
        "PredictRequest: the scanner, the reader by hand and protobuf read the same, or none of them can",
        several(protobuf),
        hot=True,
    ),
    Target(
        "server-reading",
        "PredictRequest: TensorFlow's own protobuf in C++ and TensorFlow's tensors against our readers and the judge",
        several(protobuf),
        share=3,
        hot=True,
    ),
    Target(
        "push",
        "PredictRequest cut anywhere: the push scanner sees what the whole message says, early and at its end",
        behind(7, several(protobuf)),
        hot=True,
    ),
    Target(
        "skeleton",
        "what is recognised as like an earlier request is read as it, whole and in pieces",
        behind(7, several(protobuf)),
        hot=True,
    ),
    Target(
        "judge",
        "the gate: never raises, decides the same again, observe would refuse what enforce does, statuses in their bounds",
        behind(1, several(protobuf)),
        words=(b"serving_default", b"tensorflow/serving/classify", b"detector", b"flag", b"ids", b"half"),
        hot=True,
    ),
    Target(
        "http2-server",
        "the HTTP/2 core before a client: whatever is said ends in RFC 9113's way, windows and sums are right, what is "
        "answered can be read, and it matters nothing how the octets are cut",
        behind(1, several(frames)),
        hot=True,
    ),
    Target(
        "http2-client",
        "the same behind a server",
        behind(1, several(frames)),
        hot=True,
    ),
    Target(
        "hpack",
        "header blocks, some again: the cache hands out what a decoder without one reads; encoded again they are the same",
        words=HEADER_BLOCKS,
        longest=512,
        hot=True,
    ),
    Target(
        "heads",
        "heads of requests and answers: what is passed on can be read, and is what came",
        several(lines(_FIELDS)),
        words=_FIELDS,
        hot=True,
    ),
    Target(
        "status",
        "what the proxy says itself: statuses, messages and details can be read again, and are printable and short",
        words=(b"\n", b"%", b"\\", b"'", "漢".encode(), b"\xed\xa0\x80", b"\r\n"),
        longest=2048,
    ),
    Target(
        "response",
        "which version answered: what protobuf reads, or nothing",
        several(protobuf),
    ),
    Target(
        "inflate",
        "compressed messages: inflated in steps as zlib does at once, or refused; never more than may be",
        hot=True,
    ),
    Target(
        "words",
        "grpc-timeout, traceparent, request ids, credentials, targets, Host, Origin, and where messages end in a stream",
        words=_WORDS,
        longest=256,
        share=0.5,
    ),
    Target(
        "config",
        "settings and policies from a file: settings that hold, or sentences that say what is wrong",
        several(lines(_SETTINGS)),
        words=_SETTINGS,
    ),
    Target(
        "tokens",
        "a file of tokens: each is its owner's and nobody else's, and no sentence shows one",
        words=(b":", b"sha256:", b"#", b"\n", b"=", b"\xef\xbb\xbf"),
        share=0.5,
    ),
    Target(
        "certificate",
        "a file of certificates: when the first expires, or nothing",
        words=(b"\x17\x0d", b"\x18\x0f", b"\x30\x80", b"\x84\xff\xff\xff\xff", b"0229", b"Z", b"-----BEGIN CERTIFICATE-----"),
        share=0.5,
    ),
    Target(
        "textproto",
        "protobuf text format: what protobuf reads is read alike, and what is wrong has its line and column",
        several(lines(_TEXT_FORMAT)),
        words=_TEXT_FORMAT,
    ),
    Target(
        "lint",
        "configuration files of the server, also where they lead to folders that are there: findings, and no error",
        behind(1, several(lines(_TEXT_FORMAT))),
        words=_TEXT_FORMAT,
    ),
    Target(
        "tfrecord",
        "captures and warm-up files: the records that are whole and the place of what is not; written again they are the same",
        several(records(protobuf)),
    ),
    Target(
        "request-file",
        "files given to check and to the page (binary, text, JSON, npz): a message, or one sentence",
        behind(1, several(lines((b"{", b"[", b'"', b":", b"}", b"dtype", b"DT_FLOAT", b"NaN", b"1e999", b"-0", b"\\u00")))),
        longest=2048,
    ),
    Target(
        "metadata",
        "what a server says of its models and their states: requests can be judged by it, or it is refused",
        behind(1, several(protobuf)),
    ),
    Target(
        "diagnosis",
        "errors of a server: what is said of them is one line, behind the server's words, in bounded time",
        behind(1, several(lines(_SAID))),
        words=_SAID,
        longest=2048,
        share=0.5,
    ),
)
