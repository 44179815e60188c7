"""How the value of a setting is read, from the text of a flag or variable and from a file alike.

Law: every function takes what was written and returns what is meant, or raises SettingsError with a sentence for a
person. It knows no setting.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy.core.explain import closest, without_credentials
from proxy.core.policy import Mode
from proxy.core.reasons import Reason, Severity
from proxy.upstream.target import parse_target


class SettingsError(ValueError):
    """A setting that cannot be used; the text says which, why and what would do."""


_SHOWN = 120


def shown(value: Any) -> str:
    """A value as an error says it: escaped as Python does, without credentials, and cut."""
    written = repr(without_credentials(value) if isinstance(value, str) else value)
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"


def text(value: Any) -> str:
    """A text that is not empty and can be sent."""
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{shown(value)} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{shown(value)} is not UTF-8 text") from None
    return value


def yes_no(value: Any) -> bool:
    """True or false, also as yes, no, on, off, 1 and 0."""
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise SettingsError(f"{shown(value)} is neither true nor false")


_PORT = re.compile(r"[0-9]{1,5}")


def address(value: Any) -> str:
    """HOST:PORT; an IPv6 host in brackets."""
    host, colon, port = str(value).rpartition(":")
    if not (host and colon and _PORT.fullmatch(port) and int(port) < 65536):
        raise SettingsError(f"{shown(value)} is not HOST:PORT, for example 0.0.0.0:8600 or [::]:8600")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise SettingsError(f"{shown(value)}: an IPv6 address stands in brackets, for example [::1]:8600")
    return text(str(value))


_LONGEST_PATH = 107
"""Bytes in the path of a Unix socket on Linux (unix(7): 108 with the NUL at its end)."""


def listen_address(value: Any) -> str:
    """HOST:PORT or unix:PATH; also as gRPC targets are written, unix:///PATH."""
    written = str(value)
    if not written.startswith("unix:"):
        return address(value)
    path = written.removeprefix("unix:")
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise SettingsError(
                f"{shown(value)}: three slashes or none, for example unix:///run/tfs-proxy.sock"
            )
    if not path or path.endswith("/") or "\0" in path:
        raise SettingsError(f"{shown(value)} names no socket, for example unix:/run/tfs-proxy.sock")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise SettingsError(f"{shown(value)}: the path of a socket has at most {_LONGEST_PATH} bytes")
    return f"unix:{path}"


_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def host_name(value: Any) -> str:
    """A host name as it stands in a URL, without scheme and port."""
    if not _HOST_NAME.fullmatch(str(value)):
        raise SettingsError(f"{shown(value)} is not a host name, for example proxy or tfs-proxy.example")
    return str(value)


_SAN = re.compile(
    # A domain, and any first label of it; or a URI, and all below it.
    r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|[A-Za-z][A-Za-z0-9+.-]*://[^\s*/]+(/[^\s*]*)?(/\*)?"
)


_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")


def client_san(value: Any) -> str:
    """A name in a client's certificate, DNS or URI, or a pattern of them."""
    written = str(value)
    if _ADDRESS.fullmatch(written):
        raise SettingsError(
            f"{shown(written)} is an address: of a client's certificate only DNS names and URIs are looked at"
        )
    if not _SAN.fullmatch(written) or "@" in written:
        raise SettingsError(
            f"{shown(written)} is neither a DNS name nor a URI, for example batch.example.com, *.example.com, "
            "spiffe://example.com/ns/ml/sa/batch or spiffe://example.com/ns/ml/*"
        )
    return written


_METHOD = re.compile(r"/[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*/(?:[A-Za-z_][A-Za-z0-9_]*|\*)")


def method(value: Any) -> str:
    """A full method name, or a service with all of its methods."""
    if not _METHOD.fullmatch(str(value)):
        raise SettingsError(
            f"{shown(value)} is not a method, for example /tensorflow.serving.PredictionService/Predict, "
            "or /tensorflow.serving.PredictionService/*"
        )
    return str(value)


def target(value: Any) -> str:
    """A gRPC target of the server, see upstream.target.parse_target."""
    try:
        return text(parse_target(str(value)))
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _path(path: Path) -> str:
    return str(path) if str(path).isprintable() and len(str(path)) <= _SHOWN else shown(str(path))


def file(value: Any) -> Path:
    """A file that can be read."""
    path = Path(str(value))
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"cannot read {_path(path)}: {why.lower()}") from error
    return path


def folder(value: Any) -> Path:
    """A folder, which need not exist yet."""
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{shown(value)} is not the name of a folder")
    path = Path(value)
    if path.exists() and not path.is_dir():
        raise SettingsError(f"{_path(path)} is not a folder")
    return path


def _at_least(value: Any, least: float, unit: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SettingsError(f"{shown(value)} is not a number of {unit}") from None
    if isinstance(value, bool) or not least <= number < float("inf"):
        raise SettingsError(f"{shown(value)} is not a number of {unit}, at least {least:g}")
    return number


def seconds(value: Any) -> float:
    """Seconds, 0 or more."""
    return _at_least(value, 0, "seconds")


def interval(value: Any) -> float:
    """Seconds between two events, not too few."""
    return _at_least(value, 0.05, "seconds")


def optional_seconds(value: Any) -> float | None:
    """Seconds; 0: None."""
    return seconds(value) or None


def optional_rate(value: Any) -> float | None:
    """So many a second, at least one in an hour; 0: None."""
    rate = _at_least(value, 0, "calls a second")
    if 0 < rate < 1 / 3600:
        raise SettingsError(f"{shown(value)} is less than one call in an hour")
    return rate or None


def count(value: Any) -> int:
    """A whole number, 0 or more."""
    try:
        whole = _at_least(value, 0, "things")
    except SettingsError:
        raise SettingsError(f"{shown(value)} is not a whole number, 0 or more") from None
    if whole != int(whole):
        raise SettingsError(f"{shown(value)} is not a whole number")
    return int(whole)


def limit(value: Any) -> int:
    """A count of which 0 and -1 mean no limit."""
    if str(value) in {"0", "-1"}:
        return -1
    try:
        return count(value)
    except SettingsError as error:
        raise SettingsError(f"{error}; -1 for no limit") from None


_MOST_WORKERS = 256


def workers(value: Any) -> int | str:
    """How many processes: a number from 1, or `auto`."""
    if value == "auto":
        return "auto"
    try:
        number = count(value)
    except SettingsError:
        number = 0
    if not 1 <= number <= _MOST_WORKERS:
        raise SettingsError(f"{shown(value)} is neither a number of workers, 1 to {_MOST_WORKERS}, nor auto")
    return number


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMG])(i?)B?|B)?", re.IGNORECASE)
_LONGEST_NUMBER = 20
_LARGEST_SIZE = 2**63 - 1
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3}


def size(value: Any) -> int:
    """Bytes, also as 64MiB or 1GB; 0 and -1 mean no limit."""
    written = str(value).strip()
    if written in {"0", "-1"}:
        return -1
    match = _SIZE.fullmatch(written)
    if match is None or isinstance(value, bool):
        raise SettingsError(f"{shown(value)} is not a size, for example 64MiB, 1GiB or -1 for no limit")
    number, unit, binary = match.groups()
    if len(number) > _LONGEST_NUMBER:
        raise SettingsError(f"{shown(value)} is not a size that a machine could have")
    octets = int(float(number) * (1024 if binary else 1000) ** _UNITS[(unit or "").upper()])
    if octets > _LARGEST_SIZE:
        raise SettingsError(f"{shown(value)} is not a size that a machine could have")
    return octets


def share(value: Any) -> float:
    """A part of all, as 0.01 or 1%; raises SettingsError."""
    written = str(value).strip()
    try:
        number = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 < number <= 1:
        raise SettingsError(f"{shown(value)} is not a share above 0 and up to 1, for example 0.01 or 1%")
    return number


def share_or_none(value: Any) -> float:
    """A part of all, or 0 for none of it."""
    # An unquoted `off` in YAML is False.
    if value is False or str(value).strip().lower() in {"0", "0.0", "0%", "off"}:
        return 0.0
    try:
        return share(value)
    except SettingsError as error:
        raise SettingsError(f"{error}; 0: none") from error


_COLLECTOR = re.compile(r"https?://(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?")


def collector(value: Any) -> str:
    """http:// or https:// with a host, of what listens for OTLP over gRPC."""
    if not _COLLECTOR.fullmatch(str(value)):
        raise SettingsError(
            f"{shown(value)} is not the address of a collector, for example http://localhost:4317"
        )
    return str(value)


def capture_bytes(value: Any) -> int:
    """Bytes, also as 64MiB, but not without a limit; raises SettingsError."""
    number = size(value)
    if number < 0:
        raise SettingsError(f"{shown(value)}: captures need a limit, for example 256MiB")
    return number


def one_of(*words: str) -> Callable[[Any], str]:
    """A reader of exactly these words."""

    def parse(value: Any) -> str:
        # An unquoted `off` in YAML is False.
        word = "off" if value is False else str(value)
        if word not in words:
            raise SettingsError(f"{shown(word)} is none of {', '.join(words)}")
        return word

    return parse


def mode(value: Any) -> Mode:
    """A Mode by its name."""
    return Mode(one_of(*Mode)(value))


_NOT_JUDGED = {"access", "admission", "upstream"}
"""Families of reasons that say who may call, what the proxy has no room for, and what the server answered."""


def severity(value: Any) -> tuple[Reason, Severity]:
    """`REASON=level`, or the pair of both."""
    name, _, level = value if isinstance(value, tuple) else str(value).partition("=")
    try:
        reason = Reason(str(name))
    except ValueError:
        near = closest(str(name), Reason)
        raise SettingsError(
            f"{shown(name)} is not a reason"
            + (f"; did you mean {near}?" if near else "")
            + "; `tfs-proxy explain` lists them all"
        ) from None
    if reason.about.family in _NOT_JUDGED:
        raise SettingsError(f"{reason} is no finding about a request: no severity changes it")
    try:
        return reason, Severity(one_of(*Severity)(level))
    except SettingsError as error:
        raise SettingsError(f"{reason}: {error}; write for example {reason}=warn") from error
