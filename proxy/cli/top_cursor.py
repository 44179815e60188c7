"""Where a person is in `tfs-proxy top`: what the admin port has answered, and what of it is selected, open, filtered by.

Law: pure. Keys move it; what it looks like is the screen's business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answers:
    """What the admin port has answered, and `rates` a second since the answer before, where there was one."""

    status: Mapping[str, Any]
    history: Mapping[str, Any]
    problems: Mapping[str, Any]
    models: Sequence[Mapping[str, Any]]
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Cursor:
    """Where a person is: the problem that is selected, whether it is open, what is filtered by."""

    selected: str = ""
    opened: bool = False
    scrolled: int = 0
    model: str = ""
    reason: str = ""

    def press(self, key: str, answers: Answers) -> None:
        """Move as a key says; those that mean nothing do nothing."""
        shown = self.shown(answers)
        match key:
            case "up" | "k":
                self._move(-1, shown)
            case "down" | "j":
                self._move(1, shown)
            case "enter" if shown:
                self.selected = shown[self.place(shown)]["id"]
                self.opened, self.scrolled = True, 0
            case "escape" if self.opened:
                self.opened = False
            case "escape":
                self.model = self.reason = ""
            case "m":
                self.model = _after(self.model, {each["model"] for each in answers.problems["problems"]})
            case "r":
                self.reason = _after(self.reason, {each["reason"] for each in answers.problems["problems"]})
            case _:
                pass

    def shown(self, answers: Answers) -> list[Mapping[str, Any]]:
        """The problems that are filtered by, those that came most within the hour first."""
        found = [
            each
            for each in answers.problems["problems"]
            if self.model in {"", each["model"]} and self.reason in {"", each["reason"]}
        ]
        return sorted(found, key=lambda each: (-sum(each["sparkline"]), each["id"]))

    def place(self, shown: Sequence[Mapping[str, Any]]) -> int:
        """Where the selected one stands; the first where it is none of them."""
        return next((at for at, each in enumerate(shown) if each["id"] == self.selected), 0)

    def _move(self, by: int, shown: Sequence[Mapping[str, Any]]) -> None:
        if self.opened:
            self.scrolled = max(0, self.scrolled + by)
        elif shown:
            self.selected = shown[min(len(shown) - 1, max(0, self.place(shown) + by))]["id"]


def _after(value: str, values: set[str]) -> str:
    """The value after this one; all (an empty one) comes after the last."""
    return next((each for each in sorted(values) if each > value), "")
