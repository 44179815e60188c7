"""Bearer tokens by the name of whoever has them: what a file of them says, and whose a token is.

Law: pure, and holds digests only; neither a token nor its digest is ever in a text that leaves here. A token is compared with
all of them, each in constant time, so that neither how far one is right nor whose it is can be told from the time.
"""

import hashlib
import hmac
import re
from typing import Final, final

LEAST_LENGTH: Final = 16
"""Characters of a token: there is no bound on how often one may be guessed."""

_MOST: Final = 1000
_LONGEST_NAME: Final = 100
_DIGEST: Final = re.compile(r"sha256:[0-9A-Fa-f]{64}").fullmatch
# RFC 6750: what can stand behind `Bearer`.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*").fullmatch
_BEARER: Final = b"bearer "


class TokensError(ValueError):
    """What is wrong with a file of tokens, by line and without them."""


@final
class Tokens:
    """Who has which token: `name_of` finds out. Made of digests by name."""

    def __init__(self, digests: "tuple[tuple[str, bytes], ...]") -> None:
        self._digests = digests

    def __len__(self) -> int:
        return len(self._digests)

    def name_of(self, token: bytes) -> str | None:
        """Whose token this is; None: nobody's."""
        digest = hashlib.sha256(token).digest()
        found = None
        for name, known in self._digests:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def read_tokens(text: str) -> Tokens:
    """The tokens in a file: a line for each, `name:token` or `name:sha256:` and the digest in hexadecimal.

    Blank lines and those that begin with `#` say nothing. A name may have several tokens, as while they are exchanged.
    Raises TokensError with all that is wrong.
    """
    found: list[tuple[str, bytes]] = []
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        name, _, token = written.partition(":")
        problem = _problem(name.strip(), token.strip())
        if problem:
            wrong.append(f"line {number}: {problem}")
        else:
            found.append((name.strip(), _digest(token.strip())))
    if len(found) > _MOST:
        wrong.append(f"more than {_MOST} tokens")
    if not found and not wrong:
        wrong.append("no token in it")
    if wrong:
        more = len(wrong) - _SHOWN
        raise TokensError("; ".join([*wrong[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]))
    return Tokens(tuple(found))


_SHOWN: Final = 10


def _problem(name: str, token: str) -> str:
    if not token or not name:
        # One of the two may be a token: neither is shown.
        return "is not NAME:TOKEN"
    if len(name) > _LONGEST_NAME or not name.isprintable():
        return f"the name is longer than {_LONGEST_NAME} characters, or not printable"
    if token.startswith("sha256:"):
        return "" if _DIGEST(token) else "the digest is not sha256: and 64 hexadecimal digits"
    if not _TOKEN(token):
        return "the token has characters that cannot stand behind Bearer (RFC 6750)"
    if len(token) < LEAST_LENGTH:
        return f"the token is shorter than {LEAST_LENGTH} characters, and could be guessed"
    return ""


def _digest(token: str) -> bytes:
    if token.startswith("sha256:"):
        return bytes.fromhex(token.removeprefix("sha256:"))
    return hashlib.sha256(token.encode()).digest()


def bearer(value: bytes) -> bytes | None:
    """The token in a field `authorization`; None: it has another scheme."""
    scheme = value[: len(_BEARER)]
    return value[len(_BEARER) :].strip() if scheme.lower() == _BEARER else None
