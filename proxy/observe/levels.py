"""The level of the log, which may change while the process runs.

Law: knows the one logger that all lines of the process pass (see log.configure), and says when it is changed.
"""

import logging
from typing import Final

import structlog

LOG_LEVEL_CHANGED: Final = "log_level_changed"

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")


def level() -> str:
    """The level from which on lines are written."""
    return logging.getLevelName(logging.getLogger().level).lower()


def set_level(name: str) -> None:
    """Write lines from this level on; that it is another one than before is said whichever of them is the quieter."""
    before = level()
    if name == before:
        return
    root = logging.getLogger()
    root.setLevel(min(root.level, logging.WARNING))
    _log.warning(LOG_LEVEL_CHANGED, before=before, after=name)
    root.setLevel(name.upper())
