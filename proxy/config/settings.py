"""Every setting, declared once: name, default, meaning, how its text is read.

Law: a setting has a flag, an environment variable `TFS_PROXY_…` and a key in an optional YAML file; the flag
wins over the environment, that over the file, that over the default. Settings are frozen and valid before a
port opens. There are no secrets: what a target holds of them is forgotten when it is read (upstream.target), and files
of tokens are named here and not read.
"""

# ruff: noqa: RUF009  _setting() is dataclasses.field() with a declaration in it

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from proxy.config import reading
from proxy.config.reading import SettingsError
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import OF_NO_MODEL, Reason, Severity
from proxy.core.values import InputPolicy

ENVIRONMENT_PREFIX: Final = "TFS_PROXY"


class About(NamedTuple):
    """What the command line and the documentation need to know of a setting.

    `flag` without dashes; `parse` reads the text of a flag or variable and the value in a file alike.
    """

    group: str
    help: str
    metavar: str
    parse: Callable[[Any], Any]
    flag: str = ""
    multiple: bool = False
    shown: str = ""
    """The default as the help shows it, where its own text would not do."""
    reload: "Reload" = ""


Reload = Literal["", "native", "always"]
"""Whether a setting takes effect while the proxy runs: never, with the native edge alone, or with either. A file that
is named or not named any more does not (`proxy.config.again`), one that is another, or holds something else, does."""


def about(setting: "Field[Any]") -> About:
    """The declaration of one of Settings' fields."""
    declared = setting.metadata["about"]
    assert isinstance(declared, About)
    return declared if declared.flag else declared._replace(flag=setting.name.replace("_", "-"))


def _setting(
    default: Any,
    group: str,
    parse: Callable[[Any], Any],
    metavar: str,
    text: str,
    *,
    flag: str = "",
    multiple: bool = False,
    shown: str = "",
    reload: Reload = "",
) -> Any:
    declared = About(group, text, metavar, parse, flag, multiple, shown, reload)
    metadata = MappingProxyType({"about": declared})
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the `models` section of the file says of one model; None: as for all others."""

    mode: Mode | None = None
    severities: Mapping[Reason, Severity] = field(default_factory=dict)
    max_batch: int | None = None
    inputs: Mapping[str, InputPolicy] = field(default_factory=dict)
    sample: int = 1
    max_calls: int | None = None


UPSTREAM: Final = "Server behind the proxy"
LISTEN: Final = "Where clients come in"
JUDGE: Final = "What is refused"
LIMITS: Final = "Limits"
LIFE: Final = "Starting and stopping"
TELL: Final = "What it tells"
RECORD: Final = "Recording requests (files hold tensor values)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The effective settings. Sizes in bytes (-1: no limit), times in seconds."""

    upstream: str = _setting(
        "localhost:8500", UPSTREAM, reading.target, "HOST:PORT", "gRPC address of tensorflow_model_server."
    )
    upstream_tls: bool = _setting(
        False,
        UPSTREAM,
        reading.yes_no,
        "",
        "Speak TLS to the server (implied by the other --upstream-* flags).",
    )
    upstream_ca: Path | None = _setting(
        None,
        UPSTREAM,
        reading.file,
        "FILE",
        "PEM roots to trust instead of the usual ones.",
        reload="native",
    )
    upstream_cert: Path | None = _setting(
        None,
        UPSTREAM,
        reading.file,
        "FILE",
        "PEM certificate to show to the server; needs --upstream-key.",
        reload="native",
    )
    upstream_key: Path | None = _setting(
        None,
        UPSTREAM,
        reading.file,
        "FILE",
        "PEM key of --upstream-cert.",
        reload="native",
    )
    upstream_server_name: str | None = _setting(
        None,
        UPSTREAM,
        reading.text,
        "NAME",
        "Name that the server's certificate must carry, if not the host.",
    )
    use_http_proxy: bool = _setting(
        False, UPSTREAM, reading.yes_no, "", "Obey http_proxy and https_proxy on the way to the server."
    )
    refresh_seconds: float = _setting(
        30.0, UPSTREAM, reading.interval, "SECONDS", "Age at which a cached signature is asked for again."
    )
    poll_seconds: float = _setting(
        2.0,
        UPSTREAM,
        reading.interval,
        "SECONDS",
        "How often the server is asked for the state of its models.",
    )
    eject_failures: int = _setting(
        5,
        UPSTREAM,
        reading.limit,
        "N",
        "Calls in a row that one of several servers of a name fails with UNAVAILABLE until it is left out for a while; "
        "-1: any number. Native edge.",
    )

    listen: str = _setting(
        "0.0.0.0:8600",
        LISTEN,
        reading.listen_address,
        "HOST:PORT",
        "gRPC; port 0: any free one; unix:PATH: a socket on this machine.",
    )
    edge: Literal["native", "grpcio"] = _setting(
        "native",
        LISTEN,
        reading.one_of("native", "grpcio"),
        "native|grpcio",
        "How calls are relayed: through the proxy's own HTTP/2 data plane, or through grpc.aio, the reference.",
    )
    workers: int | Literal["auto"] = _setting(
        1,
        LISTEN,
        reading.workers,
        "N|auto",
        "Processes that share the port and all limits. auto: one for each CPU this process may use; a quota of 1.5 "
        "CPUs is one, since a worker beyond it would be held up in the middle of calls. 1: no other process.",
    )
    reuse_port: bool = _setting(
        False,
        LISTEN,
        reading.yes_no,
        "",
        "Take the port beside another proxy of the same user that was started so too (SO_REUSEPORT): the new one "
        "is started, then SIGTERM sent to the old one, and with the native edge no call is lost.",
    )
    listen_cert: Path | None = _setting(
        None,
        LISTEN,
        reading.file,
        "FILE",
        "PEM certificate chain to answer TLS with; needs --listen-key.",
        reload="always",
    )
    listen_key: Path | None = _setting(
        None,
        LISTEN,
        reading.file,
        "FILE",
        "PEM key of --listen-cert.",
        reload="always",
    )
    listen_client_ca: Path | None = _setting(
        None,
        LISTEN,
        reading.file,
        "FILE",
        "PEM roots; clients must show a certificate from one of them.",
        reload="always",
    )
    client_san: tuple[str, ...] = _setting(
        (),
        LISTEN,
        reading.client_san,
        "NAME",
        "A DNS name or URI that the certificate of a client must carry to call; *.example.com stands for one label more, "
        "spiffe://example.com/ns/* for all below. Repeatable; needs --listen-client-ca.",
        multiple=True,
        reload="always",
    )
    client_tokens: Path | None = _setting(
        None,
        LISTEN,
        reading.file,
        "FILE",
        "Bearer tokens one of which a call must come with, each a line NAME:TOKEN, or NAME:sha256: and its digest in "
        "hexadecimal; instead of --client-san.",
        reload="always",
    )
    admin_listen: str = _setting(
        "127.0.0.1:8601",
        LISTEN,
        reading.address,
        "HOST:PORT",
        "HTTP: a page for people, /metrics, /livez, /readyz, /api; port 0: any.",
    )
    admin_host: tuple[str, ...] = _setting(
        (),
        LISTEN,
        reading.host_name,
        "NAME",
        "A host name under which the admin port may be asked, beside localhost and addresses. Repeatable.",
        multiple=True,
        reload="always",
    )
    admin_tokens: Path | None = _setting(
        None,
        LISTEN,
        reading.file,
        "FILE",
        "Tokens, as in --client-tokens, one of which the admin port wants, as Bearer or as the password of Basic; "
        "/livez, and /readyz without its texts, want none.",
        reload="always",
    )
    admin_cert: Path | None = _setting(
        None,
        LISTEN,
        reading.file,
        "FILE",
        "PEM certificate chain to answer HTTPS with on the admin port; needs --admin-key.",
        reload="always",
    )
    admin_key: Path | None = _setting(
        None, LISTEN, reading.file, "FILE", "PEM key of --admin-cert.", reload="always"
    )
    reflection: bool = _setting(True, LISTEN, reading.yes_no, "", "Answer gRPC server reflection.")

    model: tuple[str, ...] = _setting(
        (),
        JUDGE,
        reading.text,
        "NAME",
        "A model that the server is expected to serve; ready only once it does. Repeatable.",
        multiple=True,
    )
    mode: Mode = _setting(
        Mode.ENFORCE,
        JUDGE,
        reading.mode,
        "enforce|observe|off",
        "Refuse what does not match, only count what would be refused, or just relay. Limits hold in each.",
        reload="always",
    )
    severities: Mapping[Reason, Severity] = _setting(
        {},
        JUDGE,
        reading.severity,
        "REASON=refuse|warn|off",
        "What to do about one kind of finding. Repeatable.",
        flag="severity",
        multiple=True,
        reload="always",
    )
    max_batch: int = _setting(
        -1,
        JUDGE,
        reading.limit,
        "N",
        "Largest batch that passes; -1: any.",
        reload="always",
    )
    allow_admin_methods: bool = _setting(
        False,
        JUDGE,
        reading.yes_no,
        "",
        "Let methods through that only an operator needs: HandleReloadConfigRequest, the profiler.",
        reload="always",
    )
    allow_method: tuple[str, ...] = _setting(
        (),
        JUDGE,
        reading.method,
        "/SERVICE/METHOD",
        "Let only this method through, or all of a service: /package.Service/*. Repeatable; in each mode; health and "
        "reflection stay.",
        multiple=True,
        reload="always",
    )

    default_deadline: float | None = _setting(
        None,
        LIMITS,
        reading.optional_seconds,
        "SECONDS",
        "Deadline for calls that come without one; 0: none.",
        reload="always",
    )
    max_message_bytes: int = _setting(
        -1,
        LIMITS,
        reading.size,
        "SIZE",
        "Largest request message, for example 64MiB; -1: any, as the server.",
        reload="native",
    )
    max_inflight_bytes: int = _setting(
        1 << 30,
        LIMITS,
        reading.size,
        "SIZE",
        "Bytes of requests and answers that wait at a time, beyond which calls are turned away; of all --workers "
        "together, so that a message must fit the part of one.",
        shown="1GiB",
        reload="always",
    )
    max_concurrent_calls: int = _setting(
        -1,
        LIMITS,
        reading.limit,
        "N",
        "Calls at a time, of all --workers together; -1: one for each 4 KiB of --max-inflight-bytes.",
        reload="always",
    )
    max_fill_bytes: int = _setting(
        256 << 20,
        LIMITS,
        reading.size,
        "SIZE",
        "What single values may fill in all tensors of a request together; -1: as TensorFlow.",
        shown="256MiB",
        reload="always",
    )
    max_connections: int = _setting(
        -1,
        LIMITS,
        reading.limit,
        "N",
        "Client connections at a time, of all --workers together; -1: as many as the limit of open files leaves, at "
        "most 10000.",
        reload="native",
    )
    max_model_calls: int = _setting(
        -1,
        LIMITS,
        reading.limit,
        "N",
        "Judged calls of one model at a time, of all --workers together; max_calls of a model in the file goes before "
        "it; -1: any.",
        reload="always",
    )
    adaptive: bool = _setting(
        False,
        LIMITS,
        reading.yes_no,
        "",
        "Let the server have fewer calls at a time while it answers RESOURCE_EXHAUSTED or too late, and more again as it "
        "recovers.",
    )
    client_rate: float | None = _setting(
        None,
        LIMITS,
        reading.optional_rate,
        "N",
        "Calls a second of each client (its identity, else its address), of all --workers together; 0: any number.",
    )
    client_burst: int = _setting(
        -1,
        LIMITS,
        reading.limit,
        "N",
        "How many of them may come at once; -1: as many as in a second, and at least one.",
    )
    idle_seconds: float = _setting(
        300.0,
        LIMITS,
        reading.interval,
        "SECONDS",
        "A connection without calls for so long is asked to go.",
        reload="native",
    )
    stall_seconds: float = _setting(
        10.0,
        LIMITS,
        reading.interval,
        "SECONDS",
        "How far a request that has begun may fall behind 1 KiB/s before it is ended.",
        reload="native",
    )

    max_connection_age: float | None = _setting(
        None,
        LIMITS,
        reading.optional_seconds,
        "SECONDS",
        "After about so long a client is asked to connect anew, so that balancers can spread it; 0: never.",
    )
    hold_seconds: float = _setting(
        0.5,
        LIMITS,
        reading.seconds,
        "SECONDS",
        "How long a call may wait while there is no connection to the server, before it is UNAVAILABLE; 0: not at all.",
    )

    drain_seconds: float = _setting(
        5.0,
        LIFE,
        reading.seconds,
        "SECONDS",
        "After SIGTERM (not SIGINT): time to be unready and still accept calls.",
        reload="always",
    )
    grace_seconds: float = _setting(
        20.0,
        LIFE,
        reading.seconds,
        "SECONDS",
        "After that: time for the calls under way to end by themselves.",
        reload="always",
    )

    log_level: str = _setting(
        "info",
        TELL,
        reading.one_of("debug", "info", "warning", "error"),
        "LEVEL",
        "debug, info, warning or error.",
        reload="always",
    )
    log_format: Literal["auto", "json", "console"] = _setting(
        "auto",
        TELL,
        reading.one_of("auto", "json", "console"),
        "auto|json|console",
        "auto: lines for people on a terminal, JSON elsewhere.",
    )
    access_log: bool = _setting(
        False,
        TELL,
        reading.yes_no,
        "",
        "One log line per call, not only per refusal.",
        reload="always",
    )
    diagnosis: bool = _setting(
        True,
        TELL,
        reading.yes_no,
        "",
        "Say behind an error of the server, or of the way to it, what it means.",
    )
    output_sample: float = _setting(
        0.0,
        TELL,
        reading.share_or_none,
        "SHARE",
        "Part of the Predict answers in which to look for NaN and for outputs that never change; 0: none.",
    )
    try_send: bool = _setting(
        False,
        TELL,
        reading.yes_no,
        "",
        "Let requests that are tried on the page of the admin port be sent to the server, if they fit.",
    )
    tracing: bool = _setting(
        False,
        TELL,
        reading.yes_no,
        "",
        "Send a trace of each call to an OpenTelemetry collector (needs tfs-proxy[tracing]); the variables OTEL_… say "
        "what else there is to say.",
    )
    otlp_endpoint: str | None = _setting(
        None,
        TELL,
        reading.collector,
        "URL",
        "Where it listens for OTLP over gRPC; implies --tracing. If not set: OTEL_EXPORTER_OTLP_ENDPOINT, or "
        "http://localhost:4317.",
    )
    trace_sample: float | None = _setting(
        None,
        TELL,
        reading.share_or_none,
        "SHARE",
        "Part of the calls to trace whose client has not decided it. If not set: OTEL_TRACES_SAMPLER, or all.",
    )
    refusals: int = _setting(200, TELL, reading.count, "N", "How many refusals /api/refusals remembers.")

    capture: Path | None = _setting(
        None,
        RECORD,
        reading.folder,
        "DIR",
        "Record admitted requests there as warm-up files, and refusals without values.",
    )
    capture_sample: float = _setting(
        0.01, RECORD, reading.share, "SHARE", "Which part of the admitted requests, for example 0.01 or 1%."
    )
    capture_model: tuple[str, ...] = _setting(
        (), RECORD, reading.text, "NAME", "Only requests for this model. Repeatable.", multiple=True
    )
    capture_max_bytes: int = _setting(
        256 << 20,
        RECORD,
        reading.capture_bytes,
        "SIZE",
        "Size of all captures together; the oldest make room.",
        shown="256MiB",
    )

    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    """Policies of single models; only in the file."""

    def __post_init__(self) -> None:
        pairs = (
            ("upstream_cert", "upstream_key"),
            ("upstream_key", "upstream_cert"),
            ("listen_cert", "listen_key"),
            ("listen_key", "listen_cert"),
            ("listen_client_ca", "listen_cert"),
            ("client_san", "listen_client_ca"),
            ("admin_cert", "admin_key"),
            ("admin_key", "admin_cert"),
        )
        missing = [
            f"{_flag(one)} needs {_flag(other)}"
            for one, other in pairs
            if getattr(self, one) not in {None, ()} and getattr(self, other) is None
        ]
        if missing:
            raise SettingsError("; ".join(missing))
        if self.client_san and self.client_tokens is not None:
            raise SettingsError(
                "--client-san and --client-tokens both say who may call: one of them is wanted"
            )
        if self.reuse_port and self.listen.startswith("unix:"):
            raise SettingsError("--reuse-port shares a port, not a Unix socket: listen on HOST:PORT")
        if self.workers == 1:
            return
        if self.edge == "grpcio" and self.listen.startswith("unix:"):
            raise SettingsError(
                "--edge grpcio cannot share a Unix socket among --workers: listen on HOST:PORT, or take --edge native"
            )
        for name in ("max_connections", "max_concurrent_calls", "max_model_calls"):
            bound = getattr(self, name)
            if isinstance(self.workers, int) and 0 <= bound < self.workers:
                raise SettingsError(
                    f"{_flag(name)} {bound} leaves nothing for some of --workers {self.workers}"
                )

    @property
    def traces(self) -> bool:
        """Whether calls are traced."""
        return self.tracing or self.otlp_endpoint is not None

    @property
    def speaks_tls(self) -> bool:
        """Whether the server is spoken to in TLS."""
        return self.upstream_tls or any(
            (self.upstream_ca, self.upstream_cert, self.upstream_key, self.upstream_server_name)
        )

    @property
    def burst(self) -> float:
        """The calls of a client that may come at once."""
        return max(1.0, self.client_rate or 1.0) if self.client_burst < 0 else float(self.client_burst)

    @property
    def policies(self) -> Policies:
        """The policy of every model; what the file says of one adds to what holds for all."""
        everyone, most = _optional_limit(self.max_batch), _optional_limit(self.max_fill_bytes)
        allowed = dict.fromkeys(OF_NO_MODEL, Severity.OFF) if self.allow_admin_methods else {}
        severities = {**allowed, **self.severities}
        return Policies(
            Policy.of(self.mode, severities, everyone, max_fill_bytes=most),
            {
                name: Policy.of(
                    own.mode or self.mode,
                    {**severities, **own.severities},
                    everyone if own.max_batch is None else _optional_limit(own.max_batch),
                    own.inputs,
                    own.sample,
                    most,
                )
                for name, own in self.models.items()
            },
        )


DECLARED: Final = tuple(setting for setting in fields(Settings) if setting.name != "models")
"""The settings that have a flag and a variable too, in the order of the help."""

MEANINGS: Final = {setting.name: about(setting).help for setting in DECLARED} | {
    "models": "Policies of single models."
}


def plain(settings: Settings) -> dict[str, Any]:
    """The settings by name as plain values, just as the file can hold them."""
    return {field.name: _plain(getattr(settings, field.name)) for field in fields(settings)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(content) for key, content in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, ModelSettings | InputPolicy):
        parts = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        return {_IN_FILE.get(name, name): part for name, part in parts.items() if part not in (None, {})}
    return str(value)


_IN_FILE: Final = {"low": "min", "high": "max"}
"""What the file calls the parts of an InputPolicy."""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _optional_limit(value: int) -> int | None:
    return None if value < 0 else value
