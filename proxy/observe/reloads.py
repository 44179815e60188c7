"""How often the settings were read anew while the proxy runs, and how it went: numbers, and lines of the log.

Law: counts and tells; names of settings and files, never what a secret one holds.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

SETTINGS_RELOADED: Final = "settings_reloaded"
SETTINGS_RELOAD_FAILED: Final = "settings_reload_failed"

OK: Final = "ok"
FAILED: Final = "failed"

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")


class Reloads:
    """Of one process; `speaks` is not who has a supervisor that speaks, and counts, for it: what fails only here is
    told here.
    """

    def __init__(self, *, speaks: bool = True, clock: Callable[[], float] = time.time) -> None:
        self._speaks = speaks
        self._clock = clock
        self.counts: Counter[str] = Counter({OK: 0, FAILED: 0})
        self.successful = True
        """Whether the settings in effect are those that are written down, as far as they were read."""
        self.succeeded_at = clock()

    def done(self, changed: Sequence[str], files: Sequence[str], restart: Sequence[str]) -> None:
        """What was read is in effect: these settings say something else now, these files hold something else, and
        these settings wait for a restart.
        """
        self.successful = True
        self.succeeded_at = self._clock()
        if not self._speaks:
            return
        self.counts[OK] += 1
        fields: dict[str, Any] = {"changed": list(changed), "files": list(files)}
        if restart:
            _log.warning(SETTINGS_RELOADED, **fields, needs_restart=list(restart))
        else:
            _log.info(SETTINGS_RELOADED, **fields)

    def failed(self, text: str) -> None:
        """What was read cannot be used, and everything is as before."""
        self.successful = False
        self.counts[FAILED] += 1
        _log.error(SETTINGS_RELOAD_FAILED, text=text)
