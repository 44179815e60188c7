"""The YAML file with settings: the same names, and `models` for single models.

Law: whatever is wrong with it is told at once, in a SettingsError that names the file, and the line, the key and the
nearest key there is of each mistake. What YAML may hold is document.py's business. A key without a value says nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy.config import reading
from proxy.config.document import Section, read_document
from proxy.config.reading import SettingsError, shown
from proxy.config.settings import DECLARED, ModelSettings, about
from proxy.core.explain import closest
from proxy.core.reasons import OF_NO_MODEL, Reason, Severity
from proxy.core.values import InputPolicy, StringKind

_LONGEST_NAME = 100
_MOST_TOLD = 20


def read_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, read and checked; keys may be written with `-` or `_`.

    Raises SettingsError with all that is wrong.
    """
    mistakes = _Mistakes()
    found = _settings(read_document(path), mistakes)
    if len(mistakes.told) == 1:
        raise SettingsError(f"{path}: {mistakes.told[0]}")
    if mistakes.told:
        lines = mistakes.told[:_MOST_TOLD]
        more = len(mistakes.told) - len(lines)
        lines += [f"and {more} more"] if more else []
        raise SettingsError("\n  ".join((f"{path}: {len(mistakes.told)} mistakes", *lines)))
    return found


class _Mistakes:
    """What is wrong with the file so far, each with its place."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextmanager
    def noted(self, line: int | None, *keys: str) -> Iterator[None]:
        """Note what is raised within, as a mistake of what stands there; whoever reads goes on behind it."""
        try:
            yield
        except SettingsError as error:
            place = () if line is None else (f"line {line}",)
            self.told.append(": ".join((*place, *keys, str(error))))


def _settings(document: Any, mistakes: _Mistakes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    declared = {setting.name: about(setting) for setting in DECLARED}
    section = _section(document, None, (), [*declared, "models"], mistakes)
    for key, value in section.items():
        line = section.lines.get(key)
        if key == "models":
            found[key] = dict(_models(value, line, mistakes))
        elif key == "severities":
            found[key] = dict(_severities(value, line, (key,), mistakes))
        elif declared[key].multiple:
            items = []
            for each in value if isinstance(value, list) else [value]:
                with mistakes.noted(line, key):
                    items.append(declared[key].parse(each))
            found[key] = tuple(items)
        else:
            with mistakes.noted(line, key):
                found[key] = declared[key].parse(value)
    return found


def _section(
    value: Any, line: int | None, where: Iterable[str], keys: Sequence[str], mistakes: _Mistakes
) -> Section:
    """What a mapping says of settings, by their names."""
    section = Section()
    with mistakes.noted(line, *where):
        for written, content in _mapping(value, "settings, such as `upstream: localhost:8500`"):
            key = str(written).replace("-", "_")
            with mistakes.noted(at := value.lines.get(written), *where):
                _check_key(key, written, keys)
                if key in section:
                    raise SettingsError(f"{key} stands there twice, with `-` and with `_`")
                section[key] = content
                section.lines[key] = at
    for key in [key for key, content in section.items() if content is None]:
        del section[key]
    return section


def _check_key(key: str, written: Any, keys: Sequence[str]) -> None:
    if key not in keys:
        near = closest(key, keys)
        hint = f"did you mean {near!r}?" if near else f"known are {', '.join(sorted(keys))}"
        raise SettingsError(f"unknown key {shown(written)}; {hint}")


def _mapping(value: Any, of: str) -> Iterable[tuple[Any, Any]]:
    if value is None:
        return ()
    if not isinstance(value, Section):
        raise SettingsError(f"must be a mapping of {of}")
    return value.items()


def _name(key: Any) -> str:
    return shown(key) if not str(key).isprintable() or len(str(key)) > _LONGEST_NAME else str(key)


def _severities(
    value: Any, line: int | None, where: tuple[str, ...], mistakes: _Mistakes, *, of_a_model: bool = False
) -> Iterator[tuple[Reason, Severity]]:
    with mistakes.noted(line, *where):
        for name, level in _mapping(value, "severities, such as `INPUT_MISSING: warn`"):
            with mistakes.noted(value.lines.get(name), *where):
                reason, severity = reading.severity((name, "=", level))
                if of_a_model and reason in OF_NO_MODEL:
                    raise SettingsError(f"{reason} is about no model: set it in the `severities` of all")
                yield reason, severity


def _models(value: Any, line: int | None, mistakes: _Mistakes) -> Iterator[tuple[str, ModelSettings]]:
    with mistakes.noted(line, "models"):
        for name, content in _mapping(value, "settings by model, such as `detector: {mode: observe}`"):
            with mistakes.noted(value.lines.get(name), "models"):
                reading.text(str(name))
            yield str(name), _model(content, value.lines.get(name), ("models", _name(name)), mistakes)


def _model(value: Any, line: int | None, where: tuple[str, ...], mistakes: _Mistakes) -> ModelSettings:
    found: dict[str, Any] = {}
    section = _section(value, line, where, [*_MODEL, "severities", "inputs"], mistakes)
    for key, content in section.items():
        at = section.lines.get(key)
        if key == "severities":
            found[key] = dict(_severities(content, at, (*where, key), mistakes, of_a_model=True))
        elif key == "inputs":
            found[key] = dict(_inputs(content, at, (*where, key), mistakes))
        else:
            with mistakes.noted(at, *where, key):
                found[key] = _MODEL[key](content)
    return ModelSettings(**found)


def _inputs(
    value: Any, line: int | None, where: tuple[str, ...], mistakes: _Mistakes
) -> Iterator[tuple[str, InputPolicy]]:
    with mistakes.noted(line, *where):
        for alias, content in _mapping(value, "settings by input, such as `images: {min: 0, max: 1}`"):
            at, here = value.lines.get(alias), (*where, _name(alias))
            found: dict[str, Any] = {}
            section = _section(content, at, here, [*_INPUT], mistakes)
            for key, written in section.items():
                field, read = _INPUT[key]
                with mistakes.noted(section.lines.get(key), *here, key):
                    found[field] = read(written)
            policy = InputPolicy(**found)
            with mistakes.noted(at, *here):
                if policy.low is not None and policy.high is not None and policy.low > policy.high:
                    raise SettingsError(f"min {policy.low:g} is more than max {policy.high:g}")
            yield str(alias), policy


def _bound(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"must be a number, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise SettingsError("must be a number that a float can hold") from None


def _kind(value: Any) -> StringKind:
    if value not in [*StringKind]:
        raise SettingsError(f"must be one of {', '.join(StringKind)}, not {shown(value)}")
    return StringKind(value)


def _sample(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"must be 1 (every request) or more, not {shown(value)}")
    return value


_MODEL = {"mode": reading.mode, "max_batch": reading.limit, "max_calls": reading.limit, "sample": _sample}
_INPUT = {"min": ("low", _bound), "max": ("high", _bound), "kind": ("kind", _kind)}
