"""How a name may be written otherwise and mean the same: case, separators, `:0`, the graph's name, a number.

Law: looks at names alone; whether a tensor fits where its name points is not asked here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from proxy.core.explain import quote
from proxy.core.per_signature import once_per_signature
from proxy.core.types import Signature, TensorSpec

_NUMBER: Final = re.compile(r"\A(.*?)(?:_?(\d{1,9}))?\Z", re.DOTALL)
_SEPARATORS: Final = re.compile(r"[\s_\-./:]+")
_LONGEST_NAME: Final = 1024


class Writings(NamedTuple):
    """The aliases of some specs, those by their names in the graph, and those by what is left of their writing."""

    aliases: frozenset[str]
    by_graph_name: Mapping[str, list[str]]
    by_plain: Mapping[str, list[str]]


def writings(specs: Mapping[str, TensorSpec]) -> Writings:
    by_graph_name: dict[str, list[str]] = {}
    by_plain: dict[str, list[str]] = {}
    for alias, spec in specs.items():
        graph_names = {spec.graph_name, spec.graph_name.removesuffix(":0")} - {""}
        for name in graph_names:
            by_graph_name.setdefault(name, []).append(alias)
        for writing in {plain(alias), *map(plain, graph_names)}:
            by_plain.setdefault(writing, []).append(alias)
    return Writings(frozenset(specs), by_graph_name, by_plain)


@once_per_signature
def writings_of(signature: Signature) -> Writings:
    """Those of the inputs."""
    return writings(signature.inputs)


def same_writing(unknown: Iterable[str], known: Writings) -> dict[str, tuple[str, str]]:
    """Unknown names that are one known alias in another writing → the alias, and how to say so.

    Two unknown names for one alias, or two aliases for a name, are none.
    """
    found: dict[str, tuple[str, str]] = {}
    for name in unknown:
        if len(name) > _LONGEST_NAME:
            continue
        exactly = known.by_graph_name.get(name, [])
        targets = known.by_plain.get(plain(name), [])
        bare = name.removesuffix(":0")
        if len(exactly) == 1:
            found[name] = exactly[0], f"that is the graph name; the alias is {quote(exactly[0])}"
        elif bare in known.aliases:
            found[name] = bare, f"drop the ':0': the alias is {quote(bare)}"
        elif len(targets) == 1:
            found[name] = targets[0], f"did you mean {quote(targets[0])}?"
    times: dict[str, int] = {}
    for target, _ in found.values():
        times[target] = times.get(target, 0) + 1
    return {name: pair for name, pair in found.items() if times[pair[0]] == 1}


def plain(name: str) -> str:
    """What is left of a name without case, separators and `:0`."""
    return _SEPARATORS.sub("", name.removesuffix(":0").casefold())


def stem_of(alias: str) -> str | None:
    """The name without the number at its end; None for one that is too long to be looked at."""
    match = _NUMBER.match(alias) if len(alias) <= _LONGEST_NAME else None
    return match[1] if match else None


def plain_stem(alias: str) -> str:
    """The same of what is left of its writing."""
    return plain(alias).rstrip("0123456789")


def by_stem(aliases: Iterable[str]) -> dict[str, dict[int, str]]:
    """Numbered series: stem → number → alias; a bare stem counts as 0, and two of a number are none."""
    found: dict[str, dict[int, str]] = {}
    twice = set()
    for alias in aliases:
        match = _NUMBER.match(alias)
        if match is None or len(alias) > _LONGEST_NAME:
            continue
        stem, number = match[1], int(match[2] or 0)
        members = found.setdefault(stem, {})
        if number in members:
            twice.add(stem)
        members[number] = alias
    return {stem: members for stem, members in found.items() if stem not in twice}
