"""Short texts that clients send in metadata and on the admin port: each is read as its standard says, or not at all.

The first octet chooses which; a comma in those that are several cuts them.
"""

import re

from proxy.core.tokens import bearer, read_tokens
from proxy.edge.access import Access
from proxy.edge.metadata import forwarded
from proxy.edge.native.rpc import Messages, format_timeout, parse_timeout
from proxy.edge.request_ids import identify, trace_id
from proxy.observe.admin.access import is_authorised
from proxy.observe.admin.hosts import Asked, Hosts
from proxy.observe.admin.origins import from_own_page
from proxy.observe.outcome import Outcome
from proxy.upstream.target import parse_target

_TOKEN = "0123456789abcdef"
_TOKENS = read_tokens(f"somebody:{_TOKEN}")
_HOSTS = Hosts(("proxy.example", "[::1]"))
_SECRET = "s3cr3t"


def seeds() -> list[bytes]:
    return [
        *(b"\0" + each for each in (b"100m", b"1S", b"99999999H", b"0u")),
        b"\1" + b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"\1" + b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
        *(b"\2" + each for each in (b"my-id:1", b"a b", b"")),
        b"\3Bearer 0123456789abcdef,Basic OjAxMjM0NTY3ODlhYmNkZWY=",
        *(
            b"\4" + each
            for each in (b"dns:///user:s3cr3t@a:1", b"localhost:8500", b"[::1]:1", b"http://u:s3cr3t@a:1/x")
        ),
        *(
            b"\5" + each
            for each in (b"/livez,localhost:8601", b"http://a/,[::1%25eth0]:1", b"*,1.2.3.4", b"/")
        ),
        b"\6\5\0\0\0\0\3abc\1\0\0\0\0",
        b"\7same-origin,http://localhost:8601,localhost:8601",
    ]


def check(data: bytes) -> None:
    if data:
        _CHECKS[data[0] % len(_CHECKS)](data[1:])


def _timeout(value: bytes) -> None:
    seconds = parse_timeout(value)
    assert (seconds is None) == (re.fullmatch(rb"[0-9]{1,8}[HMSmun]", value) is None)
    if seconds is not None:
        written = format_timeout(seconds)
        again = parse_timeout(written)
        assert again is not None
        assert (
            seconds <= 99_999_999 and seconds <= again <= seconds * 1.001 + 1e-6
        ) or written == b"99999999S"


def _trace(value: bytes) -> None:
    text = value.decode("latin-1")
    found = trace_id(text)
    assert found == "" or (re.fullmatch("[0-9a-f]{32}", found) and found in text and set(found) != {"0"})


def _identity(value: bytes) -> None:
    text = value.decode("latin-1")
    outcome = Outcome("/a/b")
    identify(outcome, text, text, text)
    assert re.fullmatch(r"[A-Za-z0-9._~:/+=@,-]{1,100}", outcome.request_id)
    assert outcome.user_agent.isprintable()
    assert len(outcome.user_agent) <= 128 * 10
    assert forwarded(((text, value),)) in {(), ((text, value),)}


def _credentials(value: bytes) -> None:
    fields = value.split(b",")
    told = Access((), _TOKENS).of_fields(fields)
    known = len(fields) == 1 and bearer(fields[0]) == _TOKEN.encode()
    assert (told == "somebody") == known
    assert is_authorised(_TOKENS, [each.decode("utf-8", "surrogateescape") for each in fields]) in {
        True,
        False,
    }
    if known:
        assert is_authorised(_TOKENS, [fields[0].decode("ascii")])


def _target(value: bytes) -> None:
    text = value.decode("utf-8", "surrogateescape")
    try:
        told = parse_target(text)
    except ValueError as error:
        told = str(error)
        assert told.strip()
    if text.count(_SECRET) == 1 and re.search(r"://[^/]*s3cr3t[^/]*@", text):
        assert _SECRET not in told


def _host(value: bytes) -> None:
    target, *fields = value.decode("latin-1").split(",")
    asked = _HOSTS.judge(target, fields)
    assert asked in Asked
    if asked is Asked.KNOWN:
        assert _HOSTS.judge(target, [each.upper() for each in fields]) is asked
        for each in fields:
            assert re.search(r"localhost|proxy\.example|[0-9]|\[", each, re.IGNORECASE)


def _counted(value: bytes) -> None:
    """Messages in a stream are counted alike, however it is cut."""
    if not value:
        return
    step, stream = 1 + value[0], value[1:]
    whole, cut = Messages(), Messages()
    largest = 0
    if stream:
        largest = whole.feed([stream], len(stream))
    largest_cut = max((cut.feed([part], len(part)) for part in _cut(stream, step)), default=0)
    lengths, pos = [], 0
    while pos + 5 <= len(stream):
        lengths.append(int.from_bytes(stream[pos + 1 : pos + 5]))
        pos += 5 + lengths[-1]
    for messages in (whole, cut):
        assert (messages.count, messages.octets) == (len(lengths), sum(lengths))
        assert messages.is_whole() == (bool(lengths) and pos == len(stream))
    assert largest == largest_cut == max(lengths, default=0)


def _cut(stream: bytes, step: int) -> list[bytes]:
    return [stream[start : start + step] for start in range(0, len(stream), step)]


def _origin(value: bytes) -> None:
    told = [each.decode("latin-1") for each in value.split(b",")]
    fields = dict(zip(("Sec-Fetch-Site", "Origin", "Host"), told, strict=False))
    if from_own_page({name: text for name, text in fields.items() if text}):
        host = fields.get("Host", "").lower()
        assert fields["Sec-Fetch-Site"] == "same-origin" or fields["Origin"].lower().endswith(f"://{host}")


_CHECKS = (_timeout, _trace, _identity, _credentials, _target, _host, _counted, _origin)
