"""The targets, in the order in which a report names them."""

from tests.fuzz.mutation import HEADER_BLOCKS, behind, blocks, frames, lines, protobuf, records
from tests.fuzz.target import Target

_FIELDS = (
    b":method :scheme :path :authority :status content-type application/grpc te host trailers grpc-timeout grpc-encoding "
    b"grpc-status grpc-message grpc-status-details-bin content-length connection cookie authorization server 200 503 : "
    b"99999999H"
).split()
_SETTINGS = (
    b"upstream: mode: models: severities: inputs: max_batch: sample: observe off warn SHAPE_MISMATCH VALUE_NOT_FINITE "
    b"client_tokens: min: max: kind: image .inf &a *a <<: !! ? - [ { } ] ' \" | % --- ~ 0x 1e999 2026-01-01 1_0:30 "
    b"99999999999999999999 null true =: listen: unix: 64MiB workers: allow_method: client_san: max-inflight-bytes: \xef\xbb\xbf"
).split()
_TEXT_FORMAT = (
    b'model_config_list config name base_path "DISK" model_version_policy specific latest versions: num_versions: key: '
    b"version_labels value: 0x10 010 -1 1e5 inf { } < > [ ] : ; , # ' \" \\x \\u12 \\777 \\ / max_batch_size "
    b"allowed_batch_sizes prometheus_config platform_configs \xc2\xb2 \xc3\xa9"
).split()
_WORDS = (
    b"00- -01 100m Bearer Basic 0123456789abcdef dns:/// unix: ipv4: :// @ localhost [::1] :8601 same-origin http:// * , "
    b"%25 s3cr3t"
).split()
_HTTP = (
    *(
        b"GET ",
        b"POST ",
        b"HEAD ",
        b" HTTP/1.1\r",
        b" HTTP/1.0\r",
        b"Host: localhost\r",
        b"Content-Length: 5\r",
    ),
    *(
        b"Authorization: Bearer 0123456789abcdef\r",
        b"Sec-Fetch-Site: same-origin\r",
        b"Expect: 100-continue\r",
    ),
    *(b"Transfer-Encoding: chunked\r", b"Upgrade: h2c\r", b"Connection: close\r", b"Accept-Encoding: gzip\r"),
    *b"/livez /readyz?verbose /api/problems/ /api/models /api/events / %00 ?step= /static/ .. %2e%2e".split(),
)
_SAID = (
    b"{{node ",
    b"}}",
    b"Expects arg[",
    b"not found in request",
    b"Servable not found for request: ",
    b"[[",
)
_JSON = b'{ [ " : } dtype DT_FLOAT NaN 1e999 -0 \\u00'.split()

TARGETS = (
    Target(
        "request",
        "PredictRequest: the scanner, the reader by hand and protobuf read the same, or none of them can",
        protobuf,
        hot=True,
        share=4,
    ),
    Target(
        "server-reading",
        "PredictRequest: TensorFlow's own protobuf in C++ and TensorFlow's tensors against our readers and the judge",
        protobuf,
        hot=True,
        share=3,
    ),
    Target(
        "push",
        "PredictRequest cut anywhere: the push scanner sees what the whole message says, early and at its end",
        behind(7, protobuf),
        hot=True,
        share=2,
    ),
    Target(
        "skeleton",
        "what is recognised as like an earlier request is read as it, whole and in pieces",
        behind(7, protobuf),
        hot=True,
        share=3,
    ),
    Target(
        "judge",
        "the gate: never raises, decides the same again, observe would refuse what enforce does, statuses in their bounds",
        behind(1, protobuf),
        words=(b"serving_default", b"tensorflow/serving/classify", b"detector", b"flag", b"ids", b"half"),
        hot=True,
        share=2,
    ),
    Target(
        "values",
        "the look at values, where a policy asks for one: at every tensor that the readers see, or a refusal",
        protobuf,
    ),
    Target(
        "http2-server",
        "the HTTP/2 core before a client: whatever is said ends in RFC 9113's way, windows and sums are right, what is "
        "answered can be read, and it matters nothing how the octets are cut",
        behind(1, frames),
        hot=True,
        share=2,
    ),
    Target(
        "http2-client",
        "the same behind a server",
        behind(1, frames),
        hot=True,
        share=2,
    ),
    Target(
        "hpack",
        "header blocks, some again: the cache hands out what a decoder without one reads; encoded again they are the same",
        blocks,
        words=HEADER_BLOCKS,
        longest=512,
        hot=True,
    ),
    Target(
        "heads",
        "heads of requests and answers: what is passed on can be read, and is what came",
        lines(_FIELDS),
        words=_FIELDS,
        hot=True,
        share=2,
    ),
    Target(
        "status",
        "what the proxy says itself: statuses, messages and details can be read again, and are printable and short",
        words=(b"\n", b"%", b"\\", b"'", "漢".encode(), b"\xed\xa0\x80", b"\r\n"),
        longest=2048,
        share=0.5,
    ),
    Target(
        "response",
        "which version answered: what protobuf reads, or nothing",
        protobuf,
        share=2,
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
        share=2,
    ),
    Target(
        "config",
        "settings and policies from a file: settings that hold, or sentences that say what is wrong",
        lines(_SETTINGS),
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
        words=(
            b"\x17\x0d",
            b"\x18\x0f",
            b"\x30\x80",
            b"\x84\xff\xff\xff\xff",
            b"0229",
            b"Z",
            b"-----BEGIN CERTIFICATE-----",
        ),
        share=0.5,
    ),
    Target(
        "textproto",
        "protobuf text format: what protobuf reads is read alike, and what is wrong has its line and column",
        lines(_TEXT_FORMAT),
        words=_TEXT_FORMAT,
    ),
    Target(
        "lint",
        "configuration files of the server, also where they lead to folders that are there: findings, and no error",
        behind(1, lines(_TEXT_FORMAT)),
        words=_TEXT_FORMAT,
    ),
    Target(
        "tfrecord",
        "captures and warm-up files: the records that are whole and the place of what is not; written again they are the same",
        records(protobuf),
    ),
    Target(
        "request-file",
        "files given to check and to the page (binary, text, JSON, npz): a message, or one sentence",
        behind(1, lines(_JSON)),
        longest=2048,
    ),
    Target(
        "metadata",
        "what a server says of its models and their states: requests can be judged by it, or it is refused",
        behind(1, protobuf),
        share=0.5,
    ),
    Target(
        "diagnosis",
        "errors of a server: what is said of them is one line, behind the server's words, in bounded time",
        behind(1, lines(_SAID)),
        words=_SAID,
        longest=2048,
        share=0.5,
    ),
    Target(
        "admin",
        "requests of the admin port, cut anywhere: answers without an error of ours, and nothing told without a token",
        behind(1, lines(_HTTP)),
        words=_HTTP,
        share=0.5,
    ),
)
