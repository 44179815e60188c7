"""What a client in Python reads and prints; script.py says it in words."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Told:
    """One line that was read."""

    name: str
    kind: str
    path: str
    timeout: float
    gzip: bool
    cancel: str
    metadata: tuple[tuple[str, str | bytes], ...]
    messages: tuple[bytes, ...]


def read(line: str) -> Told:
    name, kind, path, timeout, encoding, cancel, metadata, files = line.split()
    return Told(
        name,
        kind,
        path,
        int(timeout) / 1000,
        encoding == "gzip",
        cancel,
        tuple(_pair(*each.split("=")) for each in metadata.split(",") if each != "-"),
        tuple(Path(file).read_bytes() for file in files.split(",") if file != "-"),
    )


def _pair(key: str, value: str) -> tuple[str, str | bytes]:
    octets = bytes.fromhex(value)
    return key, octets if key.endswith("-bin") else octets.decode()


def hello(client: str) -> None:
    print(json.dumps({"client": client}), flush=True)


def answer(
    told: Told,
    code: int,
    text: str | None,
    messages: Sequence[bytes],
    initial: Iterable[tuple[str, str | bytes]],
    trailing: Iterable[tuple[str, str | bytes]],
) -> str:
    """The line to print."""
    initial, trailing = (
        [(key, _octets(value)) for key, value in pairs or ()] for pairs in (initial, trailing)
    )
    return json.dumps(
        {
            "case": told.name,
            "code": code,
            "text": (text or "").encode().hex(),
            "messages": [message.hex() for message in messages],
            "details": dict(trailing).get("grpc-status-details-bin", b"").hex(),
            "initial": [(key, value.hex()) for key, value in initial],
            "trailing": [(key, value.hex()) for key, value in trailing],
        }
    )


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
