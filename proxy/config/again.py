"""The settings read anew while the proxy runs: what of them takes effect, and what waits for a restart.

Law: decides by the declarations (`About.reload`). Flags and the environment are those of the start; only the file, and
the files that settings name, can say something else. Whatever is wrong is told at once, and nothing of it is taken.
"""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from proxy.config import reading
from proxy.config.file import read_file
from proxy.config.held import unusable
from proxy.config.reading import SettingsError
from proxy.config.settings import DECLARED, About, Settings, about

_DEFAULT: Final = "default"
_FILE: Final = "file"


class Effective(NamedTuple):
    """The settings and, by name, where each came from: `flag`, `environment`, `file`, `default` or `systemd`.

    `file` is the settings file, where there is one.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None = None


class Change(NamedTuple):
    """Settings that were read anew: `now` is in effect with the settings in `changed` other than before; those in
    `restart` say something else too, which takes a restart.
    """

    now: Effective
    changed: Sequence[str]
    restart: Sequence[str]


def read_again(running: Effective) -> Change:
    """What the settings are now. Raises SettingsError with all that is wrong."""
    pipes = [path for path in named_files(running).values() if _is_pipe(path)]
    if pipes:
        raise SettingsError("; ".join(f"{path} is no file that can be read again" for path in pipes))
    problems = []
    found = None
    try:
        found = _anew(running)
    except SettingsError as error:
        problems.append(str(error))
    change = None
    if found is not None:
        try:
            change = taken(running, found)
        except SettingsError as error:
            problems.append(str(error))
    problems += unusable(running.settings if change is None else change.now.settings)
    if problems or change is None:
        raise SettingsError("; ".join(problems))
    return change


def _anew(running: Effective) -> Effective:
    if running.file is None:
        return running
    if _FILE in running.origins.values() and _is_blank(running.file):
        raise SettingsError(
            f"{running.file} is empty, as a file that is being written; {{}} stands for no settings"
        )
    written = read_file(running.file)
    values: dict[str, Any] = {}
    origins = dict(running.origins)
    for setting in DECLARED:
        origin = running.origins.get(setting.name, _DEFAULT)
        if origin not in {_FILE, _DEFAULT}:
            values[setting.name] = getattr(running.settings, setting.name)
            continue
        origins[setting.name] = _DEFAULT
        if setting.name in written:
            values[setting.name] = written[setting.name]
            origins[setting.name] = _FILE
    if "models" in written:
        values["models"] = written["models"]
        origins["models"] = _FILE
    else:
        origins.pop("models", None)
    return Effective(Settings(**values), origins, running.file)


def _is_pipe(path: Path) -> bool:
    """Whether nothing but what someone is just writing can be read there, for which a reader would wait."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_blank(path: Path) -> bool:
    """Whether a file has nothing in it. Not so one that cannot be read, about which `read_file` has a sentence."""
    try:
        with path.open("rb") as file:
            return not file.read(1)
    except OSError:
        return False


def taken(running: Effective, found: Effective) -> Change:
    """What of the settings that were found takes effect. Raises SettingsError where that contradicts the rest."""
    before, after = running.settings, found.settings
    declared = {setting.name: about(setting) for setting in DECLARED}
    changed: list[str] = []
    restart: list[str] = []
    for name in (*declared, "models"):
        if getattr(before, name) != getattr(after, name):
            takes = name == "models" or _takes_effect(declared[name], before, after, name)
            (changed if takes else restart).append(name)
    origins = {name: origin for name, origin in found.origins.items() if name not in restart}
    origins |= {name: running.origins[name] for name in restart if name in running.origins}
    now = replace(before, **{name: getattr(after, name) for name in changed})
    return Change(Effective(now, origins, running.file), changed, restart)


def _takes_effect(declared: About, before: Settings, after: Settings, name: str) -> bool:
    if declared.reload == "" or (declared.reload == "native" and before.edge != "native"):
        return False
    # TLS and tokens do not come and go: who connects now and who did before would be asked different things.
    is_file = declared.parse is reading.file
    return not is_file or None not in {getattr(before, name), getattr(after, name)}


def named_files(running: Effective) -> dict[str, Path]:
    """Every file whose content counts while the proxy runs, by the setting that names it; `config`: the file itself."""
    settings = running.settings
    found = {
        setting.name: getattr(settings, setting.name)
        for setting in DECLARED
        if about(setting).parse is reading.file
        and _takes_effect(about(setting), settings, settings, setting.name)
    }
    return found if running.file is None else {"config": running.file, **found}
