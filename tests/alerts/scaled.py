"""Rules and configurations whose minutes are seconds, so that a test need not wait for them."""

import re
from typing import Final

FACTOR: Final = 60

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE: Final = re.compile(r"\[(\d+)([smhd])\]")
_KEY: Final = re.compile(r"\b(for|interval|group_wait|group_interval|repeat_interval): (\d+)([smhd])\b")


def scaled(text: str, factor: int = FACTOR) -> str:
    """The same with every range, and every duration that a key has, so many times shorter.

    Rates stay what they are, for they are per second; so do numbers of seconds in comparisons, and names.
    """
    shorter = _RANGE.sub(lambda found: f"[{_shorter(found[1], found[2], factor)}]", text)
    return _KEY.sub(lambda found: f"{found[1]}: {_shorter(found[2], found[3], factor)}", shorter)


def _shorter(number: str, unit: str, factor: int) -> str:
    return f"{int(number) * _UNITS[unit] * 1000 // factor}ms"
