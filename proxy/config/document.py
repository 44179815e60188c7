"""A settings file as YAML: its plain contents, or one sentence with the place of what is wrong.

Law: knows YAML and no setting. It reads the part of YAML that people write by hand: mappings, sequences, scalars,
anchors and `<<`. Depth, size and what aliases come to are bounded, so that no file takes memory or a stack; there are
no tags, so that a scalar is what it looks like.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.config.reading import SettingsError, shown

_MOST_OCTETS: Final = 1 << 20
_MOST_NODES: Final = 100_000
"""Keys, values and lists, those behind an alias each time it stands there."""

_DEEPEST: Final = 20
"""Settings nest five deep."""


class Section(dict[Any, Any]):
    """A mapping of the file. `lines` has the line of each of its keys, from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Any, int | None] = {}


def read_document(path: Path) -> Any:
    """What the one YAML document in the file holds, its mappings as Sections. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            octets = file.read(_MOST_OCTETS + 1)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    if len(octets) > _MOST_OCTETS:
        raise SettingsError(f"{path} is longer than {_MOST_OCTETS >> 20} MiB: these are not settings")
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = octets[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path} is not YAML: line {place} is not UTF-8 text") from error
    try:
        return yaml.load(text, _Bounded)  # noqa: S506 - a SafeLoader, and less
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {_sentence(error)}") from error
    except (ValueError, OverflowError) as error:
        # Numbers and dates by their form, and not by their value: 2026-99-99, or more digits than Python reads.
        raise SettingsError(f"{path} is not YAML: a value cannot be read: {shown(str(error))}") from error


def _sentence(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    told = ", ".join(each for each in (error.problem, error.context) if each)
    hint = "; YAML is indented with spaces" if "'\\t'" in told else ""
    return f"{place}{told}{hint}"


class _Fault(yaml.MarkedYAMLError):
    """Beyond what a settings file may hold."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _Bounded(yaml.SafeLoader):
    """Counts while it composes; nothing is constructed of what is refused."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node and all below it."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise _Fault(f"*{event.anchor} stands within what it names", event.start_mark)
            self._count(self._sizes.get(event.anchor or "", 1), event)
            return super().compose_node(parent, index)
        if getattr(event, "tag", None) is not None:
            raise _Fault("settings have no tags (!)", event.start_mark)
        if self._depth == _DEEPEST:
            raise _Fault(f"nested more than {_DEEPEST} deep", event.start_mark)
        before = self._nodes
        self._count(1, event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping, in which no key stands twice: YAML forbids it, and one of the two would be lost."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Fault(f"{shown(key.value)} stands there twice", key.start_mark)
                seen.add(key.value)
        return node

    def construct_section(self, node: yaml.MappingNode) -> Iterator[Section]:
        """A mapping, and where its keys stand; first without its content, as PyYAML wants it."""
        section = Section()
        yield section
        section.update(self.construct_mapping(node))
        for key, _ in node.value:
            section.lines[self.construct_object(key)] = key.start_mark.line + 1

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self._nodes += nodes
        if self._nodes > _MOST_NODES:
            raise _Fault(f"more than {_MOST_NODES} values, counting what aliases repeat", event.start_mark)


_Bounded.add_constructor("tag:yaml.org,2002:map", _Bounded.construct_section)
