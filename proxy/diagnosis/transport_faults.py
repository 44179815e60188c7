"""Rows for the way to the server: names, ports, TLS, HTTP/1, resets. Most texts are the gRPC library's own."""

import re
from typing import Final

from proxy.core.reasons import Reason
from proxy.diagnosis.answer import Call, Diagnosis, Row, row
from proxy.diagnosis.facts import SHAPE_REASONS, contradictions, told

_UNAVAILABLE: Final = frozenset({2, 13, 14})
_LARGE: Final = 4 * 1024 * 1024


def _suspect(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """A missing batch dimension aborts the server (measured): say so where this request has such a fault."""
    for violation in contradictions(call):
        if violation.reason in SHAPE_REASONS:
            return diagnosis.saying(
                f"the connection died with this request in flight, and the request may be why: {told(violation)}; "
                "TF Serving can abort on such a shape",
                remedy=violation.reason.about.remedy,
            )
    if call.request_bytes is not None and call.request_bytes >= _LARGE:
        return diagnosis.saying(
            f"{diagnosis.sentence}; a hop that takes 4 MiB at most may be why (this request has {call.request_bytes} bytes)"
        )
    return diagnosis


TRANSPORT_FAULTS: Final[tuple[Row, ...]] = (
    row(
        r"HTTP/2 [A-Z_]+: (?:metadata of more than|header section larger than announced)",
        Reason.UPSTREAM_METADATA_TOO_LARGE,
        "the metadata of the answer is larger than the proxy takes from a server (1 MiB)",
        "F120",
        "Have the server, or the front that adds it, send less metadata.",
        append=True,
    ),
    # Without "Stream removed" a server says so of what a client sent: `grpc-timeout`, a binary value.
    row(
        r"HTTP/2 [A-Z_]+: |Failed parsing HTTP/2|Stream removed \(Error parsing '|Illegal header key|^Invalid metadata$",
        Reason.UPSTREAM_NOT_GRPC,
        "what came back breaks the rules of HTTP/2 or gRPC: another service answers there, or the server or a hop is broken",
        "F61",
        "See which hop speaks on this address, and call the server without it.",
        append=True,
    ),
    row(
        r"RST_STREAM|reset by peer: ",
        Reason.UPSTREAM_RESET,
        "the server, or a hop, gave this request up while it was in flight (a size limit or a time limit of a hop, a fault of "
        "the server)",
        "F66 F70 F74 F104",
        append=True,
        refine=_suspect,
    ),
    row(
        r"ENHANCE_YOUR_CALM|too_many_pings",
        Reason.UPSTREAM_KEEPALIVE,
        "the other end closed the connection because of too many keepalive pings",
        "F67",
        append=True,
    ),
    row(
        r": 413|413 Request|Request Entity Too Large|Payload Too Large",
        Reason.UPSTREAM_MESSAGE_TOO_LARGE,
        "an HTTP front refuses the size of the message (413)",
        "F70",
        "Raise the body limit of that front (nginx: client_max_body_size).",
        append=True,
    ),
    row(
        r": 431|431 Request|Request Header (?:Fields|Or Cookie) Too Large|[Hh]eader (?:list )?size (?:exceed|to send violates)",
        Reason.UPSTREAM_METADATA_TOO_LARGE,
        "a front or mesh between here and the server refuses the size of the call's metadata (headers: cookies, tokens, tracing)",
        "F120",
        "Send less metadata, or raise the limit of that front (nginx: large_client_header_buffers).",
        append=True,
    ),
    row(
        r"(?:http2 header with status: |HTTP status code )(?:502|503|504)\b",
        Reason.UPSTREAM_NOT_GRPC,
        "an HTTP front or ingress answered in the server's place: it gets no answer from what it leads to",
        "F61 F75",
        "Check that the front's backend runs and is spoken to in gRPC (nginx: grpc_pass, not proxy_pass).",
        append=True,
    ),
    row(
        r"http2 header with status: (?P<status>\d+)|HTTP status code (?P<code>\d+)|"
        r"Received http2 :status header with non-200",
        Reason.UPSTREAM_NOT_GRPC,
        "an HTTP server or ingress answered, not TF Serving: it does not route this host name or path",
        "F75",
        "Set :authority to the host name that the ingress routes, and check its backend.",
        append=True,
    ),
    row(
        r"unexpected content-type|without a gRPC status|No status received|Data frame with END_STREAM flag received",
        Reason.UPSTREAM_NOT_GRPC,
        "an HTTP server answered, not TF Serving, or a front that drops the trailers in which gRPC puts the status",
        "F61 F75",
        "Use TF Serving's gRPC port, 8500 by default, and have a front pass gRPC on as such (nginx: grpc_pass).",
        append=True,
    ),
    row(
        r"http1\.x server|Transport closed|HTTP/1\.[01]|Missing :authority",
        Reason.UPSTREAM_NOT_GRPC,
        "the port speaks HTTP/1, such as TF Serving's REST port 8501 or a web server",
        "F61",
        append=True,
    ),
    row(
        r"WRONG_VERSION_NUMBER|SSL_ERROR|SSL handshake|TLS handshake|CERTIFICATE_VERIFY_FAILED|Cannot check peer",
        Reason.UPSTREAM_TLS_MISMATCH,
        "the TLS handshake failed: one side speaks plaintext, or the certificate is not accepted",
        "F65",
        append=True,
    ),
    row(
        r"DNS resolution failed|Name resolution failure|Name or service not known|Domain name not found|"
        r"Could not contact DNS servers|nodename nor servname",
        Reason.UPSTREAM_NAME_UNRESOLVED,
        "the server's host name cannot be resolved from where the proxy runs",
        "F63",
        append=True,
    ),
    row(
        r"Connection refused",
        Reason.UPSTREAM_UNREACHABLE,
        "nothing listens there: the server is down, on another port, or still waits for a model",
        "F45 F48 F49 F50 F62",
        append=True,
    ),
    row(
        r"timed out|(?<!grpc-)timeout|No route to host|Network is unreachable|failed to connect to all addresses|Connect Failed|"
        r"connections to all backends failing|cannot reach \S+ \(",
        Reason.UPSTREAM_UNREACHABLE,
        "no connection to the server could be made",
        "F60 F62 F64",
        append=True,
        codes=_UNAVAILABLE,
    ),
    row(
        r"Stream removed|Socket closed|Connection reset|Connection closed|Broken pipe|GOAWAY|went away: |"
        r"Endpoint read failed|OS Error|recvmsg|Connection lost",
        Reason.UPSTREAM_RESET,
        "the connection was lost with this request in flight: the server restarted or aborted, or a hop cut it (an idle limit, "
        "a size limit)",
        "F66 F70 F74 F104",
        append=True,
        refine=_suspect,
    ),
)
"""The first match counts."""
