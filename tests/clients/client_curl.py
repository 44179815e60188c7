"""curl, which knows HTTP/2 and nothing of gRPC: framing, deadlines and compression are made by hand here.

`python client_curl.py ADDRESS`. Each call is a process and a connection of its own; to cancel is to end that process.
"""

import base64
import gzip
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote_to_bytes

from tests.clients.raw import framed
from tests.clients.telling import Told, answer, hello, read

CANCELLED = 1


def play(address: str, folder: Path, told: Told) -> str:
    sent, head, body = (folder / name for name in ("sent", "head", "body"))
    sent.write_bytes(
        b"".join(framed(gzip.compress(each), 1) if told.gzip else framed(each) for each in told.messages)
    )
    head.write_bytes(b"")
    body.write_bytes(b"")
    fields = [
        "content-type: application/grpc",
        "te: trailers",
        "grpc-accept-encoding: gzip",
        f"grpc-timeout: {told.timeout * 1000:.0f}m",
        *(["grpc-encoding: gzip"] if told.gzip else []),
        *(f"{key}: {_text(value)}" for key, value in told.metadata),
    ]
    command = ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--noproxy", "*", "--no-buffer"]
    for field in fields:
        command += ["--header", field]
    command += ["--data-binary", f"@{sent}", "--dump-header", str(head), "--output", str(body)]
    calling = subprocess.Popen([*command, f"http://{address}{told.path}"], stderr=subprocess.PIPE)
    if told.cancel == "first":
        while calling.poll() is None and not _messages(body.read_bytes()):
            pass
    elif told.cancel == "told":
        sys.stdin.readline()
    cancelled = told.cancel != "never" and calling.poll() is None
    if cancelled:
        calling.kill()
    calling.communicate()
    parts = head.read_text("latin-1").split("\r\n\r\n")
    initial, trailing = (_fields(parts[number]) if number < len(parts) else [] for number in (0, 1))
    trailing = trailing or initial
    said = dict(trailing)
    return answer(
        told,
        CANCELLED if cancelled else int(said.get("grpc-status", b"-1")),
        unquote_to_bytes(said.get("grpc-message", b"")).decode(),
        _messages(body.read_bytes()),
        initial,
        trailing,
    )


def _text(value: str | bytes) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _fields(part: str) -> list[tuple[str, bytes]]:
    pairs = (line.split(": ", 1) for line in part.splitlines() if ": " in line)
    return [
        (key, _decoded(value) if key.endswith("-bin") else value.encode("latin-1")) for key, value in pairs
    ]


def _decoded(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4))


def _messages(body: bytes) -> list[bytes]:
    found = []
    while len(body) >= 5 and len(body) - 5 >= (size := int.from_bytes(body[1:5], "big")):
        message, body = body[: 5 + size], body[5 + size :]
        found.append(gzip.decompress(message[5:]) if message[0] else message[5:])
    return found


def main() -> None:
    told = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()
    hello(f"curl {told[1]}, {next(word for word in told if word.startswith('nghttp2/'))}")
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            print(play(sys.argv[1], Path(folder), read(line)), flush=True)


if __name__ == "__main__":
    main()
