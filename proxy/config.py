"""Every setting, declared once: name, default, meaning, how its text is read.

Law: a setting has a flag, an environment variable `TFS_PROXY_…` and a key in an optional YAML file; the flag
wins over the environment, that over the file, that over the default. Settings are frozen and valid before a
port opens; whatever is wrong with one is a SettingsError with a sentence for a person. There are no secrets.
"""

# ruff: noqa: RUF009  _setting() is dataclasses.field() with a declaration in it

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import yaml

from proxy.core.explain import closest
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.values import InputPolicy, StringKind

ENVIRONMENT_PREFIX: Final = "TFS_PROXY"


class SettingsError(ValueError):
    """A setting that cannot be used; the text says which, why and what would do."""


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


def about(setting: "Field[Any]") -> About:
    """The declaration of one of Settings' fields."""
    declared = setting.metadata["about"]
    assert isinstance(declared, About)
    return declared if declared.flag else declared._replace(flag=setting.name.replace("_", "-"))


# === how values are read ===


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{value!r} is not a text")
    return value


def _yes_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise SettingsError(f"{value!r} is neither true nor false")


def _address(value: Any) -> str:
    host, colon, port = str(value).rpartition(":")
    if not (host and colon and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise SettingsError(f"{value!r} is not HOST:PORT, for example 0.0.0.0:8600 or [::]:8600")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise SettingsError(f"{value!r}: an IPv6 address stands in brackets, for example [::1]:8600")
    return str(value)


def _target(value: Any) -> str:
    from proxy.upstream.channel import parse_target  # grpc is not needed to print help

    try:
        return parse_target(str(value))
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _file(value: Any) -> Path:
    path = Path(str(value))
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return path


def _folder(value: Any) -> Path:
    path = Path(_text(value))
    if path.exists() and not path.is_dir():
        raise SettingsError(f"{path} is not a folder")
    return path


def _number(value: Any, least: float, unit: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SettingsError(f"{value!r} is not a number of {unit}") from None
    if isinstance(value, bool) or not least <= number < float("inf"):
        raise SettingsError(f"{value} is not a number of {unit}, at least {least:g}")
    return number


def _seconds(value: Any) -> float:
    return _number(value, 0, "seconds")


def _interval(value: Any) -> float:
    return _number(value, 0.05, "seconds")


def _optional_seconds(value: Any) -> float | None:
    return _seconds(value) or None


def _count(value: Any) -> int:
    number = _number(value, 0, "things")
    if number != int(number):
        raise SettingsError(f"{value} is not a whole number")
    return int(number)


def _limit(value: Any) -> int:
    """A count of which 0 and -1 mean no limit."""
    return -1 if str(value) in {"0", "-1"} else _count(value)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMG])(i?)B?|B)?", re.IGNORECASE)
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3}


def _size(value: Any) -> int:
    """Bytes, also as 64MiB or 1GB; 0 and -1 mean no limit."""
    text = str(value).strip()
    if text in {"0", "-1"}:
        return -1
    match = _SIZE.fullmatch(text)
    if match is None or isinstance(value, bool):
        raise SettingsError(f"{value!r} is not a size, for example 64MiB, 1GiB or -1 for no limit")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _UNITS[(unit or "").upper()])


def share(value: Any) -> float:
    """A part of all, as 0.01 or 1%; raises SettingsError."""
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 < number <= 1:
        raise SettingsError(f"{value!r} is not a share above 0 and up to 1, for example 0.01 or 1%")
    return number


def _share_or_none(value: Any) -> float:
    """A part of all, or 0 for none of it."""
    # An unquoted `off` in YAML is False.
    if value is False or str(value).strip().lower() in {"0", "0.0", "0%", "off"}:
        return 0.0
    try:
        return share(value)
    except SettingsError as error:
        raise SettingsError(f"{error}; 0: none") from error


def capture_bytes(value: Any) -> int:
    """Bytes, also as 64MiB, but not without a limit; raises SettingsError."""
    number = _size(value)
    if number < 0:
        raise SettingsError(f"{value!r}: captures need a limit, for example 256MiB")
    return number


def _one_of(*words: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        # An unquoted `off` in YAML is False.
        word = "off" if value is False else str(value)
        if word not in words:
            raise SettingsError(f"{word!r} is none of {', '.join(words)}")
        return word

    return parse


def _mode(value: Any) -> Mode:
    return Mode(_one_of(*Mode)(value))


def _severity(value: Any) -> tuple[Reason, Severity]:
    name, _, level = value if isinstance(value, tuple) else str(value).partition("=")
    try:
        reason = Reason(str(name))
    except ValueError:
        near = closest(str(name), Reason)
        raise SettingsError(
            f"{name!r} is not a reason"
            + (f"; did you mean {near}?" if near else "; `tfs-proxy serve --help` shows the form")
        ) from None
    try:
        return reason, Severity(_one_of(*Severity)(level))
    except SettingsError as error:
        raise SettingsError(f"{reason}: {error}; write for example {reason}=warn") from error


# === the settings ===


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
) -> Any:
    declared = About(group, text, metavar, parse, flag, multiple, shown)
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
        "localhost:8500", UPSTREAM, _target, "HOST:PORT", "gRPC address of tensorflow_model_server."
    )
    upstream_tls: bool = _setting(
        False, UPSTREAM, _yes_no, "", "Speak TLS to the server (implied by the other --upstream-* flags)."
    )
    upstream_ca: Path | None = _setting(
        None, UPSTREAM, _file, "FILE", "PEM roots to trust instead of the usual ones."
    )
    upstream_cert: Path | None = _setting(
        None, UPSTREAM, _file, "FILE", "PEM certificate to show to the server; needs --upstream-key."
    )
    upstream_key: Path | None = _setting(None, UPSTREAM, _file, "FILE", "Its PEM key.")
    upstream_server_name: str | None = _setting(
        None, UPSTREAM, _text, "NAME", "Name that the server's certificate must carry, if not the host."
    )
    use_http_proxy: bool = _setting(
        False, UPSTREAM, _yes_no, "", "Obey http_proxy and https_proxy on the way to the server."
    )
    refresh_seconds: float = _setting(
        30.0, UPSTREAM, _interval, "SECONDS", "Age at which a cached signature is asked for again."
    )
    poll_seconds: float = _setting(
        2.0, UPSTREAM, _interval, "SECONDS", "How often the server is asked for the state of its models."
    )

    listen: str = _setting("0.0.0.0:8600", LISTEN, _address, "HOST:PORT", "gRPC; port 0: any free one.")
    edge: Literal["grpcio", "native"] = _setting(
        "grpcio",
        LISTEN,
        _one_of("grpcio", "native"),
        "grpcio|native",
        "How calls are relayed: through grpc.aio, or through the proxy's own HTTP/2 data plane.",
    )
    listen_cert: Path | None = _setting(
        None, LISTEN, _file, "FILE", "PEM certificate chain to answer TLS with; needs --listen-key."
    )
    listen_key: Path | None = _setting(None, LISTEN, _file, "FILE", "Its PEM key.")
    listen_client_ca: Path | None = _setting(
        None, LISTEN, _file, "FILE", "PEM roots; clients must show a certificate from one of them."
    )
    admin_listen: str = _setting(
        "127.0.0.1:8601", LISTEN, _address, "HOST:PORT", "HTTP: /metrics, /livez, /readyz, /api; port 0: any."
    )
    reflection: bool = _setting(True, LISTEN, _yes_no, "", "Answer gRPC server reflection.")

    model: tuple[str, ...] = _setting(
        (),
        JUDGE,
        _text,
        "NAME",
        "A model that the server is expected to serve; ready only once it does. Repeatable.",
        multiple=True,
    )
    mode: Mode = _setting(
        Mode.ENFORCE,
        JUDGE,
        _mode,
        "enforce|observe|off",
        "Refuse what does not match, only count what would be refused, or just relay.",
    )
    severities: Mapping[Reason, Severity] = _setting(
        {},
        JUDGE,
        _severity,
        "REASON=refuse|warn|off",
        "What to do about one kind of finding. Repeatable.",
        flag="severity",
        multiple=True,
    )
    max_batch: int = _setting(-1, JUDGE, _limit, "N", "Largest batch that passes; -1: any.")
    allow_admin_methods: bool = _setting(
        False,
        JUDGE,
        _yes_no,
        "",
        "Let methods through that change the server, such as HandleReloadConfigRequest.",
    )

    default_deadline: float | None = _setting(
        None, LIMITS, _optional_seconds, "SECONDS", "Deadline for calls that come without one; 0: none."
    )
    max_message_bytes: int = _setting(
        -1, LIMITS, _size, "SIZE", "Largest request message, for example 64MiB; -1: any, as the server."
    )
    max_inflight_bytes: int = _setting(
        1 << 30,
        LIMITS,
        _size,
        "SIZE",
        "Request bytes held at a time, beyond which calls are turned away.",
        shown="1GiB",
    )
    max_concurrent_calls: int = _setting(-1, LIMITS, _limit, "N", "Calls at a time; -1: any number.")

    drain_seconds: float = _setting(
        1.0, LIFE, _seconds, "SECONDS", "After SIGTERM: time to be unready and still accept calls."
    )
    grace_seconds: float = _setting(
        30.0, LIFE, _seconds, "SECONDS", "Then: time for the calls under way to end by themselves."
    )

    log_level: str = _setting(
        "info", TELL, _one_of("debug", "info", "warning", "error"), "LEVEL", "debug, info, warning or error."
    )
    log_format: Literal["auto", "json", "console"] = _setting(
        "auto",
        TELL,
        _one_of("auto", "json", "console"),
        "auto|json|console",
        "auto: lines for people on a terminal, JSON elsewhere.",
    )
    access_log: bool = _setting(False, TELL, _yes_no, "", "One log line per call, not only per refusal.")
    diagnosis: bool = _setting(
        True, TELL, _yes_no, "", "Say behind an error of the server, or of the way to it, what it means."
    )
    output_sample: float = _setting(
        0.0,
        TELL,
        _share_or_none,
        "SHARE",
        "Part of the Predict answers in which to look for NaN and for outputs that never change; 0: none.",
    )
    refusals: int = _setting(200, TELL, _count, "N", "How many refusals /api/refusals remembers.")

    capture: Path | None = _setting(
        None,
        RECORD,
        _folder,
        "DIR",
        "Record admitted requests there as warm-up files, and refusals without values.",
    )
    capture_sample: float = _setting(
        0.01, RECORD, share, "SHARE", "Which part of the admitted requests, for example 0.01 or 1%."
    )
    capture_model: tuple[str, ...] = _setting(
        (), RECORD, _text, "NAME", "Only requests for this model. Repeatable.", multiple=True
    )
    capture_max_bytes: int = _setting(
        256 << 20,
        RECORD,
        capture_bytes,
        "SIZE",
        "Size of all captures together; the oldest make room.",
        shown="256MiB",
    )

    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    """Policies of single models; only in the file."""

    def __post_init__(self) -> None:
        for one, other in (
            ("upstream_cert", "upstream_key"),
            ("upstream_key", "upstream_cert"),
            ("listen_cert", "listen_key"),
            ("listen_key", "listen_cert"),
            ("listen_client_ca", "listen_cert"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is None:
                raise SettingsError(f"{_flag(one)} needs {_flag(other)}")

    @property
    def speaks_tls(self) -> bool:
        """Whether the server is spoken to in TLS."""
        return self.upstream_tls or any(
            (self.upstream_ca, self.upstream_cert, self.upstream_key, self.upstream_server_name)
        )

    @property
    def policies(self) -> Policies:
        """The policy of every model; what the file says of one adds to what holds for all."""
        everyone = _optional_limit(self.max_batch)
        return Policies(
            Policy.of(self.mode, self.severities, everyone),
            {
                name: Policy.of(
                    own.mode or self.mode,
                    {**self.severities, **own.severities},
                    everyone if own.max_batch is None else _optional_limit(own.max_batch),
                    own.inputs,
                    own.sample,
                )
                for name, own in self.models.items()
            },
        )


DECLARED: Final = tuple(setting for setting in fields(Settings) if setting.name != "models")
"""The settings that have a flag and a variable too, in the order of the help."""


def plain(settings: Settings) -> dict[str, Any]:
    """The settings by name as plain values, for a person or JSON."""
    return {field.name: _plain(getattr(settings, field.name)) for field in fields(settings)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return [f"{key}={_plain(content)}" for key, content in value.items()]
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _optional_limit(value: int) -> int | None:
    return None if value < 0 else value


# === the file ===


def read_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, read and checked; keys may be written with `-` or `_`.

    Raises SettingsError, naming the file and the nearest key for one that does not exist.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    found: dict[str, Any] = {}
    declared = {setting.name: about(setting) for setting in DECLARED}
    for key, value in _section(content, str(path), [*declared, "models"]).items():
        try:
            if key == "models":
                found[key] = _models(value, str(path))
            elif key == "severities":
                found[key] = _severities(value, f"{path}: {key}")
            elif declared[key].multiple:
                found[key] = tuple(declared[key].parse(each) for each in _items(value))
            else:
                found[key] = declared[key].parse(value)
        except SettingsError as error:
            text = str(error)
            raise SettingsError(text if text.startswith(str(path)) else f"{path}: {key}: {text}") from error
    return found


def _section(value: Any, where: str, keys: list[str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must be a mapping of settings, such as `upstream: localhost:8500`")
    section = {}
    for written, content in value.items():
        key = str(written).replace("-", "_")
        if key not in keys:
            near = closest(key, keys)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(sorted(keys))}"
            raise SettingsError(f"{where}: unknown key {written!r}; {hint}")
        section[key] = content
    return section


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _severities(value: Any, where: str) -> dict[Reason, Severity]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must be a mapping, such as `INPUT_MISSING: warn`")
    return dict(_severity((name, "=", level)) for name, level in value.items())


def _inputs(value: Any, where: str) -> dict[str, InputPolicy]:
    if value is not None and not isinstance(value, dict):
        raise SettingsError(f"{where} must map aliases to settings, such as `images: {{min: 0, max: 1}}`")
    inputs = {}
    for alias, content in (value or {}).items():
        here = f"{where}: {alias}"
        section = _section(content, here, ["min", "max", "kind"])
        low, high = (_bound(section.get(key), f"{here}: {key}") for key in ("min", "max"))
        if low is not None and high is not None and low > high:
            raise SettingsError(f"{here}: min {low:g} is more than max {high:g}")
        kind = section.get("kind")
        if kind is not None and kind not in [*StringKind]:
            raise SettingsError(f"{here}: kind is one of {', '.join(StringKind)}, not {kind!r}")
        inputs[str(alias)] = InputPolicy(low, high, StringKind(kind) if kind else None)
    return inputs


def _bound(value: Any, where: str) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise SettingsError(f"{where} must be a number, not {value!r}")
    return None if value is None else float(value)


def _sample(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"sample must be 1 (every request) or more, not {value!r}")
    return value


def _models(value: Any, path: str) -> dict[str, ModelSettings]:
    if not isinstance(value, dict):
        raise SettingsError(
            f"{path}: models must map names to settings, such as `detector: {{mode: observe}}`"
        )
    models = {}
    for name, content in value.items():
        where = f"{path}: models: {name}"
        section = _section(content, where, ["mode", "severities", "max_batch", "inputs", "sample"])
        try:
            models[str(name)] = ModelSettings(
                mode=_mode(section["mode"]) if "mode" in section else None,
                severities=_severities(section.get("severities", {}), f"{where}: severities"),
                max_batch=_limit(section["max_batch"]) if "max_batch" in section else None,
                inputs=_inputs(section.get("inputs"), f"{where}: inputs"),
                sample=_sample(section.get("sample", 1)),
            )
        except SettingsError as error:
            text = str(error)
            raise SettingsError(text if text.startswith(path) else f"{where}: {text}") from error
    return models
