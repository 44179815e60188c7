"""Configuration files of tensorflow_model_server: models, batching, monitoring, platforms.

Law: what the server would refuse, wait for without an end, or ignore in silence (`server_core.cc`,
`bundle_factory_util.cc`, `file_system_storage_path_source.cc`). The server's disk is looked at through `Disk`,
and the versions that would be served are examined as well.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from proxy.core.explain import closest, escape, quote
from proxy.lint.base_path import Disk, check_base_path, versions_of
from proxy.lint.batching import check_batching
from proxy.lint.finding import Finding, finding
from proxy.lint.saved_model import check_saved_model
from proxy.lint.textproto import TRUE, Field, read_text
from proxy.wire import file_kinds
from proxy.wire.config_text import ConfigTextError, check_text, field_names

_LARGEST: Final = 16 * 1024 * 1024
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class UnknownKindError(ValueError):
    """Nothing in a file tells which configuration it is."""


class Kind(StrEnum):
    """Which flag of the server a file belongs to."""

    MODELS = "models"
    BATCHING = "batching"
    MONITORING = "monitoring"
    PLATFORM = "platform"


_MESSAGES: Final = {
    Kind.MODELS: "ModelServerConfig",
    Kind.BATCHING: "BatchingParameters",
    Kind.MONITORING: "MonitoringConfig",
}
_TOP_FIELDS: Final = {
    "model_config_list": Kind.MODELS,
    "custom_model_config": Kind.MODELS,
    "prometheus_config": Kind.MONITORING,
    "platform_configs": Kind.PLATFORM,
    "max_batch_size": Kind.BATCHING,
    "batch_timeout_micros": Kind.BATCHING,
    "max_enqueued_batches": Kind.BATCHING,
    "num_batch_threads": Kind.BATCHING,
    "thread_pool_name": Kind.BATCHING,
    "allowed_batch_sizes": Kind.BATCHING,
    "pad_variable_length_inputs": Kind.BATCHING,
    "enable_large_batch_splitting": Kind.BATCHING,
    "max_execution_batch_size": Kind.BATCHING,
}
_FIRST_FIELD = re.compile(r"\A(?:\s|#[^\n]*(?:\n|\Z))*([A-Za-z_]\w*)")


def kind_of(text: str) -> Kind | None:
    """Which configuration a text is, by its first field, also where that one is misspelt."""
    found = _FIRST_FIELD.match(text)
    if found is None:
        return None
    name = found.group(1)
    near = name if name in _TOP_FIELDS else closest(name, _TOP_FIELDS)
    return _TOP_FIELDS[near] if near is not None else None


@dataclass(frozen=True, slots=True)
class _Config:
    """The file under examination."""

    path: Path
    root: Field
    disk: Disk

    def finding(self, rule: str, at: Field, message: str) -> Finding:
        return finding(rule, self.path, message, at.at)


def check_config(path: Path, kind: Kind | None, disk: Disk) -> Iterator[Finding]:
    """Every fault of a configuration file; raises UnknownKindError."""
    try:
        if path.stat().st_size > _LARGEST:
            yield finding("config-syntax", path, f"larger than {_LARGEST} bytes: not a configuration")
            return
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        with path.open("rb") as file:
            what = file_kinds.kind_of(file.read(file_kinds.HEAD))
        told = f"is {what}, not a configuration" if what else "is not UTF-8 text"
        yield finding("config-syntax", path, told)
        return
    if text.lstrip().startswith("{"):
        yield finding("config-syntax", path, "is JSON; the server reads protobuf text format", (1, 1))
        return
    kind = kind or kind_of(text)
    if kind is None:
        raise UnknownKindError(f"{path}: cannot tell which configuration this is; say so with --kind")
    try:
        if kind in _MESSAGES:
            check_text(_MESSAGES[kind], text)
        root = read_text(text)
    except ConfigTextError as error:
        yield finding(
            "config-syntax", path, _syntax(str(error), text, kind, error), (error.line, error.column)
        )
        return
    yield from _CHECKS[kind](_Config(path, root, disk))


def _syntax(problem: str, text: str, kind: Kind, error: ConfigTextError) -> str:
    unknown = re.search(r'has no field named "(\w+)"', problem)
    if unknown is not None:
        near = closest(unknown.group(1), field_names(_MESSAGES[kind]))
        hint = f": did you mean {quote(near)}?" if near is not None else ""
        return f"there is no field {quote(unknown.group(1))} here{hint}"
    line = text.splitlines()[error.line - 1] if error.line <= len(text.splitlines()) else ""
    scalar = re.search(r"(\w+)\s*:\s*(\S+)", line)
    if kind is Kind.BATCHING and 'Expected "{"' in problem and scalar is not None:
        name, value = map(escape, scalar.groups())
        return f"{name} is a message: write {name} {{ value: {value} }}"
    return escape(problem, 200)


def _models(config: _Config) -> Iterator[Finding]:
    if config.root.first("custom_model_config") is not None:
        return
    lists = list(config.root.all("model_config_list"))
    models = [model for each in lists for model in each.all("config")]
    if not models:
        yield config.finding("config-empty", config.root, "no model is listed")
    names: dict[str, Field] = {}
    for model in models:
        name_field = model.first("name")
        if name_field is None or not name_field.text:
            yield config.finding("name-missing", name_field or model, "the model has no name")
        elif name_field.text in names:
            first = names[name_field.text]
            yield config.finding(
                "name-duplicate",
                name_field,
                f"model {quote(name_field.text)} is already listed in line {first.line}",
            )
        else:
            names[name_field.text] = name_field
        yield from _platform(config, model)
        yield from _path_and_versions(config, model)


def _platform(config: _Config, model: Field) -> Iterator[Finding]:
    platform, old = model.first("model_platform"), model.first("model_type")
    if platform is not None and platform.text and old is not None:
        yield config.finding(
            "platform-ambiguous", old, "model_platform and the deprecated model_type are both set"
        )
    elif old is not None:
        yield config.finding("model-type-deprecated", old, "model_type is deprecated")
    elif platform is None or not platform.text:
        yield config.finding("platform-missing", platform or model, "the model has no model_platform")
    elif platform.text != "tensorflow":
        near = ": did you mean 'tensorflow'?" if closest(platform.text, ["tensorflow"]) else ""
        yield config.finding(
            "platform-unknown",
            platform,
            f"the released server knows no platform {quote(platform.text)}{near}",
        )


def _path_and_versions(config: _Config, model: Field) -> Iterator[Finding]:
    policy = model.first("model_version_policy")
    specific = policy.first("specific") if policy is not None else None
    named = (
        [each for each in specific.all("versions") if each.number is not None] if specific is not None else []
    )
    if specific is not None and not named:
        yield config.finding(
            "policy-empty", specific, "the policy 'specific' names no version: nothing is served"
        )
    base_path = model.first("base_path")
    if base_path is None or not base_path.text:
        yield config.finding("base-path-missing", base_path or model, "the model has no base_path")
        return
    if _URI.match(base_path.text):
        return
    if not base_path.text.startswith("/"):
        yield config.finding(
            "base-path-relative", base_path, f"base_path {quote(base_path.text)} is relative"
        )
        return
    directory = config.disk.look_up(base_path.text)
    if directory is None:
        return
    found = list(check_base_path(directory))
    for each in found:
        yield finding(
            each.rule.id, config.path, f"base_path {quote(base_path.text, 200)}: {each.message}", base_path.at
        )
    on_disk = versions_of(directory)
    if not on_disk:
        return
    for version in named:
        if version.number not in on_disk:
            there = ", ".join(str(each) for each in sorted(on_disk))
            yield config.finding(
                "policy-version-absent", version, f"version {version.text} is not on disk, only {there}"
            )
    served = _served(policy, {each.number for each in named if each.number is not None}, set(on_disk))
    for number in sorted(served):
        yield from check_saved_model(on_disk[number])
    for label in model.all("version_labels"):
        value = label.first("value")
        if value is None or value.number in served:
            continue
        there = ", ".join(str(each) for each in sorted(served)) or "none"
        yield config.finding(
            "label-unavailable",
            value,
            f"label {quote(label.value('key'))} is given to version {value.text}, and the versions served are {there}",
        )


def _served(policy: Field | None, named: set[int], on_disk: set[int]) -> set[int]:
    """The versions that the policy serves of those on disk (default: the latest one)."""
    if policy is not None and policy.first("all") is not None:
        return on_disk
    if named:
        return named & on_disk
    latest = policy.first("latest") if policy is not None else None
    count = latest.first("num_versions") if latest is not None else None
    return set(sorted(on_disk)[-max(1, (count.number if count is not None else None) or 1) :])


def _batching(config: _Config) -> Iterator[Finding]:
    return check_batching(config.path, config.root)


def _monitoring(config: _Config) -> Iterator[Finding]:
    prometheus = config.root.first("prometheus_config")
    if prometheus is None or prometheus.value("enable") not in TRUE:
        yield config.finding("monitoring-off", prometheus or config.root, "no metrics are exposed")
        return
    path = prometheus.first("path")
    if path is not None and not path.text.startswith("/"):
        yield config.finding(
            "monitoring-path", path, f"the path {quote(path.text)} does not begin with a slash"
        )


def _platforms(config: _Config) -> Iterator[Finding]:
    entries = list(config.root.all("platform_configs"))
    if not entries:
        yield config.finding("config-empty", config.root, "no platform is configured")
    for entry in entries:
        value = entry.first("value")
        adapter = value.first("source_adapter_config") if value is not None else None
        if adapter is None or not any("/" in each.name or each.name == "type_url" for each in adapter.fields):
            yield config.finding(
                "platform-config-type",
                adapter or value or entry,
                "source_adapter_config does not say its type",
            )
    for field in config.root.walk():
        if field.name == "batching_parameters":
            yield from check_batching(config.path, field)


_CHECKS: Final[dict[Kind, Callable[[_Config], Iterator[Finding]]]] = {
    Kind.MODELS: _models,
    Kind.BATCHING: _batching,
    Kind.MONITORING: _monitoring,
    Kind.PLATFORM: _platforms,
}
