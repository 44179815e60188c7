"""One record per call, handed over once, when the call is over.

Law: plain data that the edge fills in and everything in observe/ reads; it holds no tensor values and no
metadata values, but for the messages of a call that was chosen to be recorded or looked at.
"""

from typing import Protocol, final

from proxy.core.reasons import Reason
from proxy.core.types import RequestView
from proxy.core.verdict import Verdict, Violation


class Trace(Protocol):
    """A call that is traced: a span for the call, and one for what the server is asked."""

    trace_id: str
    """Of all spans of the trace: 32 digits, or "" where there is none."""
    sampled: bool
    """Whether the spans are kept, and sent to whoever collects them."""

    def forwarded(self) -> str:
        """The `traceparent` for the server, which is asked now; "" for none."""


class Tracer(Protocol):
    """Who traces calls."""

    def begin(self, method: str, traceparent: str) -> Trace:
        """A call has arrived; `traceparent` is the field of its metadata, "" where there is none."""


@final
class Outcome:
    """What happened to one call.

    Times are in seconds: `seconds` from the arrival of the call to its end, `upstream_seconds` the part
    spent waiting for the upstream (None: it was never asked). Sizes are message bytes, uncompressed as seen
    by the proxy. `model` is None until the upstream has confirmed that it serves a model of that name, so
    that it may be a label. `code` is the gRPC status code number.
    """

    # Defaults live in the class: most calls never set most of them. Not a dataclass: its constructor is not compiled.
    code: int = 0
    peer: str = ""
    identity: str = ""
    """Who the client has proved to be (a name of its certificate, or of its token); empty: nobody in particular."""
    user_agent: str = ""
    """What the client says that it is; set where the call is worth telling of."""
    request_id: str = ""
    """By which client and proxy can be joined; set where the call is worth telling of."""
    seconds: float = 0.0
    upstream_seconds: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    model: str | None = None
    version: int | None = None
    signature: str = ""
    batch_size: int | None = None
    refusal: Verdict | None = None
    """The verdict that refused the call."""
    would_refuse: tuple[Violation, ...] = ()
    """What `observe` mode let through."""
    warnings: tuple[Violation, ...] = ()
    diagnosis: Reason | None = None
    """What an error means that the proxy did not make itself (None: it is not known, or there is none)."""
    request: RequestView | None = None
    """Names, dtypes and shapes of a request that was refused or failed."""
    text: str = ""
    """The status text of a refusal, or the sentence of the diagnosis."""
    judge_failed: bool = False
    """Judgement itself failed and the request was forwarded."""
    sample: bytes | None = None
    """The request message, where the call was chosen to be recorded; only capture/ reads it."""
    watched: bytes | None = None
    """The request message, where the answer was chosen to be looked at; only capture/ reads it."""
    answer: bytes | bytearray | memoryview = b""
    """The answer's message where `watched` is set, if it could be kept; empty otherwise."""
    value_seconds: float | None = None
    """What the look at the request's values took (None: there was none)."""

    def __init__(self, method: str, grpc_type: str = "unary") -> None:
        self.method = method
        """Full method: `/tensorflow.serving.PredictionService/Predict`."""
        self.grpc_type = grpc_type
        """`unary`, `client_stream`, `server_stream` or `bidi_stream`; relayed methods are `bidi_stream`."""
        # Compiled, a None of a protocol's type is not set by the class.
        self.trace: Trace | None = None
        """Set where calls are traced."""


class EndObserver(Protocol):
    """Who hears of calls that are over."""

    def call_ended(self, outcome: Outcome) -> None:
        """A call is over; every started call ends exactly once."""


class Observer(EndObserver, Protocol):
    """What the edge tells."""

    def call_started(self, method: str, grpc_type: str) -> None:
        """A call has arrived."""
