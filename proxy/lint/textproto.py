"""A reader of protobuf text format that keeps the line and column of every field.

Law: knows the grammar and no message; whether names and types are right is for `wire.config_text` to say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.wire.config_text import ConfigTextError, unquoted

_DEEPEST: Final = 100
"""Messages inside messages; protobuf's own reader stops there too."""

_TOKEN = re.compile(
    r"""(?P<skip>[\s]+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<word>-?[\w.+]+(?:-\d+)?)
      | (?P<mark>[{}<>\[\]:,;/-])""",
    re.VERBOSE,
)
TRUE: Final = frozenset({"true", "True", "t", "1"})
"""What the text format takes for a true bool."""

_CLOSING: Final = {"{": "}", "<": ">"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: a scalar has `text` (strings unquoted), a message has `fields`."""

    name: str
    line: int
    column: int
    text: str = ""
    fields: tuple["Field", ...] = ()

    @property
    def at(self) -> tuple[int, int]:
        return self.line, self.column

    @property
    def number(self) -> int | None:
        """The scalar as an integer, decimal, hexadecimal or octal; None where it is none, or of more than 64 bits."""
        try:
            value = int(
                self.text, 8 if self.text.lstrip("-").startswith("0") and self.text.isdecimal() else 0
            )
        except ValueError:
            return None
        return value if -(2**63) <= value < 2**64 else None

    def all(self, name: str) -> Iterator["Field"]:
        """The fields of this name directly inside."""
        return (each for each in self.fields if each.name == name)

    def first(self, name: str) -> "Field | None":
        return next(self.all(name), None)

    def value(self, name: str) -> str:
        """The text of a scalar inside, "" where it is not set."""
        found = self.first(name)
        return found.text if found is not None else ""

    def walk(self) -> Iterator["Field"]:
        """This field and all below it."""
        yield self
        for each in self.fields:
            yield from each.walk()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int


def read_text(text: str) -> Field:
    """The whole text as one nameless field. Raises ConfigTextError where it is not text format."""
    return _Reader(list(_tokens(text))).document()


def _tokens(text: str) -> Iterator[_Token]:
    position, line, start = 0, 1, 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ConfigTextError(f"unexpected character {text[position]!r}", line, position - start + 1)
        if found.lastgroup != "skip":
            yield _Token(str(found.lastgroup), found.group(), line, position - start + 1)
        line += found.group().count("\n")
        if "\n" in found.group():
            start = found.start() + found.group().rindex("\n") + 1
        position = found.end()
    yield _Token("end", "the end of the file", line, max(1, position - start + 1))


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def document(self) -> Field:
        fields = self._fields("")
        return Field("", 1, 1, fields=fields)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *wanted: str) -> _Token:
        """The next token, which must be one of `wanted` (texts or kinds)."""
        token = self._peek()
        if wanted and token.text not in wanted and token.kind not in wanted:
            raise ConfigTextError(
                f"expected {' or '.join(wanted)}, found {token.text}", token.line, token.column
            )
        self._next += token.kind != "end"
        return token

    def _fields(self, closing: str) -> tuple[Field, ...]:
        self._depth += 1
        fields: list[Field] = []
        while self._peek().text != closing and not (not closing and self._peek().kind == "end"):
            if self._depth > _DEEPEST:
                raise ConfigTextError("messages nest too deep", self._peek().line, self._peek().column)
            fields += self._field()
            if self._peek().text in (",", ";"):
                self._take()
        self._depth -= 1
        return tuple(fields)

    def _field(self) -> list[Field]:
        start = self._peek()
        name = self._any_name() if start.text == "[" else self._take("word").text
        # Before a message, or a list of them, there need be no colon.
        colon = self._peek().text == ":"
        if colon:
            self._take()
        if self._peek().text in _CLOSING:
            return [self._message(name, start)]
        if self._peek().text != "[":
            if not colon:
                self._take(":")
            return [self._scalar(name, start)]
        self._take("[")
        values: list[Field] = []
        while self._peek().text != "]":
            here = self._peek()
            is_message = here.text in _CLOSING or not colon
            values.append(self._message(name, here) if is_message else self._scalar(name, here))
            if self._peek().text != "]":
                self._take(",")
        self._take("]")
        return values

    def _any_name(self) -> str:
        """`[type.googleapis.com/package.Message]`."""
        self._take("[")
        name = ""
        while self._peek().text != "]":
            name += self._take("word", "/", "-").text
        self._take("]")
        return name

    def _message(self, name: str, start: _Token) -> Field:
        closing = _CLOSING[self._take(*_CLOSING).text]
        fields = self._fields(closing)
        self._take(closing)
        return Field(name, start.line, start.column, fields=fields)

    def _scalar(self, name: str, start: _Token) -> Field:
        token = self._take("word", "string", "-")
        if token.kind == "string":
            text = _content(token)
            while self._peek().kind == "string":
                text += _content(self._take())
        else:
            text = token.text + (self._take("word").text if token.text == "-" else "")
        return Field(name, start.line, start.column, text)


def _content(token: _Token) -> str:
    try:
        return unquoted(token.text)
    except ValueError:
        raise ConfigTextError(
            "a string has an escape that stands for nothing", token.line, token.column
        ) from None
