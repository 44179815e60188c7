"""A bounded look at the way to a server, one named step after the other: names, connections, what the port speaks.

    endpoints → resolve → connect (every address) → recognise

Law: asks for nothing that a server would have to work for, waits a bounded time for each step, and reports
facts (`diagnosis.reach`). Never on the path of a request.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.diagnosis.reach import Attempt, Connect, Reach, Speaks, Spoken
from proxy.upstream.channel import Tls
from proxy.upstream.endpoints import Endpoint, endpoints
from proxy.upstream.forward_proxy import forward_proxy

STEP_SECONDS: Final = 1.0
"""How long each exchange with a server may take."""
RESOLVE_SECONDS: Final = 3.0

_MOST_ADDRESSES: Final = 8
_READ: Final = 1024
# The client's connection preface and an empty SETTINGS frame (RFC 9113, 3.4).
_HTTP2_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_HTTP1_HELLO: Final = b"GET /v1/models/tfs-proxy-probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"
_REST_WORDS: Final = (b"Could not find any versions of model", b"Malformed request: GET")
_TLS_ALERT: Final = b"\x15\x03"
_UNREACHABLE: Final = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)


class Resolved(NamedTuple):
    """The addresses of a name, or why there are none."""

    endpoints: tuple[Endpoint, ...] = ()
    error: str = ""


async def resolve(endpoint: Endpoint, seconds: float = RESOLVE_SECONDS) -> Resolved:
    """Ask the system's resolver; one that hangs is left behind."""
    if endpoint.path:
        return Resolved((endpoint,))
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Resolved] = loop.create_future()

    def settle(found: Resolved) -> None:
        if not answer.done():
            answer.set_result(found)

    def ask() -> None:
        try:
            infos = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
            hosts = dict.fromkeys(str(info[4][0]) for info in infos)
            found = Resolved(tuple(Endpoint(host, endpoint.port) for host in hosts))
        except (OSError, UnicodeError) as error:
            found = Resolved(error=(getattr(error, "strerror", None) or str(error)).lower())
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, found)

    # A thread of its own: the loop's executor would be waited for when the program ends.
    threading.Thread(target=ask, name="name resolution", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        return Resolved(error=f"the name servers gave no answer in {seconds:g} s")


async def connect(endpoint: Endpoint, seconds: float = STEP_SECONDS) -> Attempt:
    """Open a connection and close it again."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            _, writer = await _open(endpoint)
    except TimeoutError:
        return Attempt(str(endpoint), Connect.TIMED_OUT, seconds, f"gave no answer in {seconds:g} s")
    except OSError as error:
        took = time.monotonic() - began
        if isinstance(error, ConnectionRefusedError):
            return Attempt(str(endpoint), Connect.REFUSED, took)
        unreachable = error.errno in _UNREACHABLE
        text = (error.strerror or str(error)).lower()
        return Attempt(str(endpoint), Connect.UNREACHABLE if unreachable else Connect.FAILED, took, text)
    await _close(writer)
    return Attempt(str(endpoint), Connect.OPEN, time.monotonic() - began)


async def recognise(
    endpoint: Endpoint, tls: Tls | None = None, host: str = "", seconds: float = STEP_SECONDS
) -> Spoken:
    """Find out what the port speaks, talking to it as a channel with `tls` to `host` would.

    Raises ValueError for unusable certificate files.
    """
    where = str(endpoint)
    if tls is None:
        return await _in_plaintext(endpoint, seconds)
    context = _context(tls)
    try:
        async with asyncio.timeout(seconds):
            server_name = tls.server_name or host or endpoint.host or "localhost"
            reader, writer = await _open(endpoint, context, server_name)
    except TimeoutError:
        return Spoken(where, Speaks.SILENT)
    except ssl.SSLCertVerificationError as error:
        return Spoken(where, Speaks.CERTIFICATE, error.verify_message)
    except (OSError, EOFError) as error:
        plain = await _in_plaintext(endpoint, seconds)
        if plain.speaks in {Speaks.HTTP2, Speaks.HTTP1}:
            what = "gRPC or another HTTP/2 server" if plain.speaks is Speaks.HTTP2 else plain.text
            return replace(plain, speaks=Speaks.PLAINTEXT, text=what)
        if isinstance(error, ssl.SSLError):
            return Spoken(where, Speaks.CERTIFICATE, (error.reason or str(error)).lower().replace("_", " "))
        return Spoken(where, Speaks.CLOSES)
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    try:
        said = await _say(reader, writer, _HTTP2_HELLO, seconds)
    except ssl.SSLError as error:
        # TLS 1.3 refuses a client's certificate only after the handshake.
        return Spoken(where, Speaks.CERTIFICATE, (error.reason or str(error)).lower().replace("_", " "))
    if chosen != "h2":
        return Spoken(where, Speaks.NO_ALPN, f"it chose {chosen or 'nothing'}")
    if _is_http2(said):
        return Spoken(where, Speaks.HTTP2)
    if said == b"" and tls.certificate is None:
        return Spoken(
            where, Speaks.CERTIFICATE, "it hangs up after the handshake and may demand a certificate"
        )
    return Spoken(where, Speaks.SILENT if said is None else Speaks.OTHER if said else Speaks.CLOSES)


async def probe(
    target: str,
    tls: Tls | None = None,
    *,
    obeys_proxy: bool = False,
    environ: Mapping[str, str] = os.environ,
    seconds: float = STEP_SECONDS,
) -> Reach:
    """Every step at once: what stands in the way to `target` (see `parse_target`).

    Takes at most about seven times `seconds`, usually milliseconds.
    """
    named = endpoints(target)
    first = named[0]
    reach = Reach(
        target,
        host=first.host,
        tls=tls is not None,
        forward_proxy=forward_proxy(first, environ),
        obeys_proxy=obeys_proxy,
    )
    found = await asyncio.gather(*(resolve(each, 3 * seconds) for each in named))
    places = tuple(endpoint for resolved in found for endpoint in resolved.endpoints)[:_MOST_ADDRESSES]
    if not places:
        return replace(reach, name_error=found[0].error)
    reach = replace(reach, addresses=tuple(map(str, places)))
    return await look(reach, places, tls, seconds)


async def look(reach: Reach, places: Sequence[Endpoint], tls: Tls | None, seconds: float) -> Reach:
    """The rest of a probe, once the addresses are known."""
    attempts = await asyncio.gather(*(connect(each, seconds) for each in places))
    reach = replace(reach, attempts=tuple(attempts))
    for endpoint, attempt in zip(places, attempts, strict=True):
        if attempt.result is Connect.OPEN:
            return replace(reach, spoken=await recognise(endpoint, tls, reach.host, seconds))
    return reach


# === the bytes ===


async def _open(
    endpoint: Endpoint, context: ssl.SSLContext | None = None, name: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    name = name if context is not None else None
    if endpoint.path:
        return await asyncio.open_unix_connection(endpoint.path, ssl=context, server_hostname=name)
    return await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context, server_hostname=name)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _say(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: bytes, seconds: float
) -> bytes | None:
    """What comes back: None nothing in time, empty: the other side hung up. Raises ssl.SSLError."""
    try:
        writer.write(hello)
        await writer.drain()
        async with asyncio.timeout(seconds):
            return await reader.read(_READ)
    except TimeoutError:
        return None
    except ssl.SSLError:
        raise
    except OSError:
        return b""
    finally:
        await _close(writer)


async def _exchange(endpoint: Endpoint, hello: bytes, seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await _open(endpoint)
    except (TimeoutError, OSError):
        return None
    return await _say(reader, writer, hello, seconds)


async def _in_plaintext(endpoint: Endpoint, seconds: float) -> Spoken:
    where = str(endpoint)
    said = await _exchange(endpoint, _HTTP2_HELLO, seconds)
    if _is_http2(said):
        return Spoken(where, Speaks.HTTP2)
    if said and said.startswith(_TLS_ALERT):
        return Spoken(where, Speaks.TLS)
    if not said or said.startswith(b"HTTP/"):
        # TensorFlow Serving's REST interface may just hang up on HTTP/2; a question of its own settles it.
        answer = await _exchange(endpoint, _HTTP1_HELLO, seconds)
        if answer and answer.startswith(b"HTTP/"):
            line = answer.partition(b"\r\n")[0].decode("ascii", "replace")
            return Spoken(where, Speaks.HTTP1, line, rest=any(word in answer for word in _REST_WORDS))
        if await _wants_tls(endpoint, seconds):
            return Spoken(where, Speaks.TLS)
        return Spoken(where, Speaks.SILENT if said is None else Speaks.CLOSES)
    return Spoken(where, Speaks.OTHER)


def _is_http2(said: bytes | None) -> bool:
    """A server's first frame is SETTINGS on stream 0 (RFC 9113, 3.4)."""
    return said is not None and len(said) >= 9 and said[3] == 4 and said[5:9] == bytes(4)


async def _wants_tls(endpoint: Endpoint, seconds: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: the question is only whether it is TLS
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(seconds):
            _, writer = await _open(endpoint, context, "probe")
    except ssl.SSLError as error:
        # An alert in TLS is an answer in TLS.
        return "ALERT" in (error.reason or "")
    except (TimeoutError, OSError, EOFError):
        return False
    await _close(writer)
    return True


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    # As for the calls (`edge.native.tls`): Python 3.13 would be stricter than gRPC.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.certificate is not None:
        # A password stops OpenSSL from asking at the terminal.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    context.set_alpn_protocols(["h2"])
    return context
