"""Words for people: quoting, listing and did-you-mean.

Law: runs only once something is already wrong, so clarity comes before speed; never shows tensor values.
What a client sent is quoted in ASCII, cut, and without control characters, because it ends up in logs.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from heapq import nlargest

from proxy.core.types import Shape, TensorView, dtype_name

_NAMES_SHOWN = 6
_CLOSE_ENOUGH = 0.6
_LONGEST_NAME = 1024
"""Characters of a name that may still be a known one in another case."""


def escape(text: str, limit: int = 80) -> str:
    """`text` as printable ASCII, cut to `limit` characters and three dots."""
    shown = text[: limit + 1].encode("unicode_escape").decode("ascii")
    if len(shown) <= limit:
        return shown
    # Never half an escape, which would read as something else.
    whole = re.match(r"(?:[^\\]|\\(?:x..|u....|U.{8}|[^xuU]))*", shown[:limit])
    return f"{whole.group() if whole else ''}..."


def printable(text: str) -> str:
    """`text` on one line and with nothing in it that steers a terminal: an escape for what is not printable.

    Unicode counts C0 and C1 controls (and so every ANSI sequence) to that, line and paragraph separators,
    bidirectional overrides and other format characters, lone surrogates and what is not assigned.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


_USERINFO = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)


def without_credentials(address: str) -> str:
    """`address` with `***` for what stands before its last `@`, but for a scheme: `dns://***@host`."""
    return _USERINFO.sub(r"\1***@", address, count=1)


def quote(text: str, limit: int = 80) -> str:
    """`text` escaped, cut and in single quotes."""
    return f"'{escape(text, limit)}'"


def listing(names: Collection[str]) -> str:
    """A few quoted names in order, and how many more there are."""
    shown = ", ".join(quote(name) for name in sorted(names)[:_NAMES_SHOWN])
    rest = len(names) - _NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown or "none"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most probably means: other case, else small edit distance."""
    names = sorted(each for each in known if each != name)
    pairs = _pairs(name)
    # difflib is slow, and a client must not be able to keep it busy: it sees only the likeliest.
    likely = nlargest(4, names[:1000], key=lambda each: len(pairs & _pairs(each)))
    found = difflib.get_close_matches(name[:64], likely, n=1, cutoff=_CLOSE_ENOUGH)
    return _other_case(name, names) or (found[0] if found else None)


def _pairs(name: str) -> set[str]:
    """The pairs of neighbours in the beginning of a name."""
    text = f" {name[:64]} "
    return {text[at : at + 2] for at in range(len(text) - 1)}


def _other_case(name: str, known: Iterable[str]) -> str | None:
    if len(name) > _LONGEST_NAME:
        return None
    folded = name.casefold()
    return next((each for each in known if each.casefold() == folded), None)


def tensor_text(view: TensorView) -> str:
    """`uint8[1,300,300,3]`: what was sent, without values."""
    return f"{dtype_name(view.dtype)}{sent_shape(view.dims)}"


def sent_shape(dims: Shape) -> str:
    """The dimensions of a tensor as sent, of which there can be a great many."""
    shown = ",".join(map(str, dims[:10]))
    return f"[{shown},...] ({len(dims)} dimensions)" if len(dims) > 10 else f"[{shown}]"
