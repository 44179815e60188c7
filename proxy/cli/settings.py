"""Settings on the command line: one flag per declared setting, and where each value came from.

Law: declares nothing itself; config.py does. click's own precedence (flag, variable, default map, default)
and its record of sources are used as they are.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from proxy.client_code.server import TOKEN_VARIABLE
from proxy.config import DECLARED, ENVIRONMENT_PREFIX, About, Settings, SettingsError, about, read_file
from proxy.config.again import Effective
from proxy.core.explain import closest, printable

_FILE: Final = "tfs-proxy.config"
"""Where the click context keeps what the file said…"""
_PATH: Final = "tfs-proxy.config.path"
"""…and which file it is."""

_OTHER: Final = "Other options"
_PREFIX: Final = f"{ENVIRONMENT_PREFIX}_"

_SOURCES: Final = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
}


class _Setting(click.ParamType[Any]):
    def __init__(self, declared: About) -> None:
        self.name = declared.metavar
        self._parse = declared.parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        # What the file said is read already.
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


_READ_AS: Final = {setting.name: _Setting(about(setting)) for setting in DECLARED}

TARGET: Final = _READ_AS["upstream"]
"""The type of an option that names a server, read as --upstream is."""

NAME: Final = _READ_AS["model"]
"""The type of an option with a name that is sent to a server, read as --model is."""


class SettingsCommand(click.Command):
    """A command that takes every setting; its help shows them in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
        named = {setting.name: about(setting).group for setting in DECLARED}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups[named.get(param.name or "", _OTHER)].append(record)
        groups[_OTHER] = groups.pop(_OTHER, [])
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=38)


def takes(*names: str, file: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the settings of these names (none: every setting) as flags, and (`file`) `--config`.

    `effective()` tells what came out.
    """
    chosen = [setting for setting in DECLARED if not names or setting.name in names]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        return _with_options(function, chosen, file=file)

    return decorate


def _with_options(
    function: Callable[..., None], chosen: Sequence["Field[Any]"], *, file: bool
) -> Callable[..., None]:
    for setting in reversed(chosen):
        function = _option(setting)(function)
    if not file:
        return function
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_load,
        metavar="FILE",
        help="YAML file with settings: the same names, and `models` for single models.",
    )(function)


def _option(setting: "Field[Any]") -> Callable[[Callable[..., None]], Callable[..., None]]:
    declared = about(setting)
    flag = f"--{declared.flag}"
    default: Any = () if declared.multiple else setting.default
    text = declared.help
    if default not in {None, ()}:
        text += f"  [default: {declared.shown or _shown(default)}]"
    if isinstance(default, bool):
        return click.option(f"{flag}/--no-{declared.flag}", setting.name, default=default, help=text)
    return click.option(
        flag,
        setting.name,
        type=_Setting(declared),
        metavar=declared.metavar,
        default=default,
        multiple=declared.multiple,
        # Beside the variable that click makes of the setting's own name.
        envvar=_PREFIX + _upper(declared.flag),
        help=text,
    )


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)


CONTEXT: Final = {
    "auto_envvar_prefix": ENVIRONMENT_PREFIX,
    "help_option_names": ["-h", "--help"],
    "max_content_width": 110,
}
"""context_settings of a command that takes settings."""


def effective() -> Effective:
    """What the flags, the environment and the file of the running command come to.

    Settings that the command does not take keep their defaults. Variables that are no settings are warned about.

    Raises click.UsageError for settings that contradict each other.
    """
    for text in unknown_variables(os.environ).values():
        click.echo(f"Warning: {text}", err=True)
    return _effective()


def effective_of_a_server() -> Effective:
    """As `effective()`, and set up the log as the settings say; the warnings are lines of it."""
    found = _effective()
    from proxy.observe.log import configure, unknown_variable  # not needed to print help

    configure(found.settings.log_format, found.settings.log_level)
    for name, text in unknown_variables(os.environ).items():
        unknown_variable(name, text)
    return found


_SERVICE_LINK: Final = re.compile(
    r"TFS_PROXY_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP).*)"
)
"""Variables that Kubernetes makes of the name of a service, such as tfs-proxy."""


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that look like settings and are none, and what to say of each."""
    known = ["CONFIG", *(_upper(setting.name) for setting in DECLARED)]
    known += [_upper(about(setting).flag) for setting in DECLARED]
    known.append(TOKEN_VARIABLE.removeprefix(_PREFIX))
    told = {}
    for name, value in sorted(environment.items()):
        prefix, rest = name[: len(_PREFIX)], name[len(_PREFIX) :]
        if prefix.upper() != _PREFIX or (prefix == _PREFIX and rest in known):
            continue
        # TFS_PROXY_PORT may be a person's mistake; Kubernetes gives it a URL.
        if _SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and "://" in value):
            continue
        near = rest.upper() if rest.upper() in known else closest(rest.upper(), known)
        hint = f"did you mean {_PREFIX}{near}?" if near else "`tfs-proxy serve --help` lists the settings"
        told[name] = f"the variable {printable(name)} is no setting and has no effect; {hint}"
    return told


def _upper(name: str) -> str:
    return name.replace("-", "_").upper()


def _effective() -> Effective:
    ctx = click.get_current_context()
    file: Mapping[str, Any] = ctx.meta.get(_FILE, {})
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in DECLARED:
        if setting.name not in ctx.params:
            continue
        source = ctx.get_parameter_source(setting.name)
        value = ctx.params[setting.name]
        values[setting.name] = dict(value) if setting.name == "severities" else value
        origins[setting.name] = _SOURCES.get(source, "default") if source is not None else "default"
    if "models" in file:
        values["models"] = file["models"]
        origins["models"] = "file"
    try:
        return Effective(Settings(**values), origins, ctx.meta.get(_PATH))
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def _load(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is None or ctx.resilient_parsing:
        return
    try:
        found = read_file(path)
    except SettingsError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    ctx.meta[_FILE], ctx.meta[_PATH] = found, path
    ctx.default_map = {
        name: tuple(value.items()) if isinstance(value, dict) else value for name, value in found.items()
    }
