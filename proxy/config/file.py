"""The YAML file with settings: the same names, and `models` for single models.

Law: whatever is wrong with it is a SettingsError that names the file, the key and the nearest key there is. What
YAML may hold is document.py's business.
"""

from pathlib import Path
from typing import Any

from proxy.config import reading
from proxy.config.document import read_document
from proxy.config.reading import SettingsError, shown
from proxy.config.settings import DECLARED, ModelSettings, about
from proxy.core.explain import closest
from proxy.core.reasons import OF_NO_MODEL, Reason, Severity
from proxy.core.values import InputPolicy, StringKind

_LONGEST_NAME = 100


def read_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, read and checked; keys may be written with `-` or `_`.

    Raises SettingsError, naming the file and the nearest key for one that does not exist.
    """
    content = read_document(path)
    found: dict[str, Any] = {}
    declared = {setting.name: about(setting) for setting in DECLARED}
    for key, value in _section(content, str(path), [*declared, "models"]).items():
        try:
            if key == "models":
                found[key] = _models(value, str(path))
            elif key == "severities":
                found[key] = _severities(value, f"{path}: {key}")
            elif declared[key].multiple:
                found[key] = tuple(declared[key].parse(each) for each in _items(value))
            else:
                found[key] = declared[key].parse(value)
        except SettingsError as error:
            text = str(error)
            raise SettingsError(text if text.startswith(str(path)) else f"{path}: {key}: {text}") from error
    return found


def _section(value: Any, where: str, keys: list[str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must be a mapping of settings, such as `upstream: localhost:8500`")
    section = {}
    for written, content in value.items():
        key = str(written).replace("-", "_")
        if key not in keys:
            near = closest(key, keys)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(sorted(keys))}"
            raise SettingsError(f"{where}: unknown key {shown(written)}; {hint}")
        if key in section:
            raise SettingsError(f"{where}: {key} stands there twice, with `-` and with `_`")
        section[key] = content
    return section


def _name(key: Any) -> str:
    return shown(key) if not str(key).isprintable() or len(str(key)) > _LONGEST_NAME else str(key)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _severities(value: Any, where: str) -> dict[Reason, Severity]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must be a mapping, such as `INPUT_MISSING: warn`")
    return dict(reading.severity((name, "=", level)) for name, level in value.items())


def _of_a_model(severities: dict[Reason, Severity]) -> dict[Reason, Severity]:
    for reason in OF_NO_MODEL:
        if reason in severities:
            raise SettingsError(f"{reason} is about no model: set it in the `severities` of all")
    return severities


def _inputs(value: Any, where: str) -> dict[str, InputPolicy]:
    if value is not None and not isinstance(value, dict):
        raise SettingsError(f"{where} must map aliases to settings, such as `images: {{min: 0, max: 1}}`")
    inputs = {}
    for alias, content in (value or {}).items():
        here = f"{where}: {_name(alias)}"
        section = _section(content, here, ["min", "max", "kind"])
        low, high = (_bound(section.get(key), f"{here}: {key}") for key in ("min", "max"))
        if low is not None and high is not None and low > high:
            raise SettingsError(f"{here}: min {low:g} is more than max {high:g}")
        kind = section.get("kind")
        if kind is not None and kind not in [*StringKind]:
            raise SettingsError(f"{here}: kind is one of {', '.join(StringKind)}, not {shown(kind)}")
        inputs[str(alias)] = InputPolicy(low, high, StringKind(kind) if kind else None)
    return inputs


def _bound(value: Any, where: str) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise SettingsError(f"{where} must be a number, not {shown(value)}")
    try:
        return None if value is None else float(value)
    except OverflowError:
        raise SettingsError(f"{where} must be a number that a float can hold") from None


def _sample(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"sample must be 1 (every request) or more, not {shown(value)}")
    return value


def _models(value: Any, path: str) -> dict[str, ModelSettings]:
    if not isinstance(value, dict):
        raise SettingsError(
            f"{path}: models must map names to settings, such as `detector: {{mode: observe}}`"
        )
    models = {}
    for name, content in value.items():
        where = f"{path}: models: {_name(name)}"
        section = _section(content, where, ["mode", "severities", "max_batch", "inputs", "sample"])
        try:
            models[str(name)] = ModelSettings(
                mode=reading.mode(section["mode"]) if "mode" in section else None,
                severities=_of_a_model(_severities(section.get("severities", {}), f"{where}: severities")),
                max_batch=reading.limit(section["max_batch"]) if "max_batch" in section else None,
                inputs=_inputs(section.get("inputs"), f"{where}: inputs"),
                sample=_sample(section.get("sample", 1)),
            )
        except SettingsError as error:
            text = str(error)
            raise SettingsError(text if text.startswith(path) else f"{where}: {text}") from error
    return models
