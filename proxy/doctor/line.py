"""One line of the checklist: what was looked at, what was seen, what to do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from proxy.diagnosis import Diagnosis


class Mark(StrEnum):
    """Well, odd but no fault by itself, or a fault."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Line:
    """`todo` is empty where there is nothing to do; `failures` are the kinds of failure users reported."""

    topic: str
    mark: Mark
    seen: str
    todo: str = ""
    failures: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "mark": self.mark.value,
            "seen": self.seen,
            "todo": self.todo,
            "failures": list(self.failures),
        }


def well(topic: str, seen: str) -> Line:
    """A tick."""
    return Line(topic, Mark.OK, seen)


def note(topic: str, seen: str, todo: str = "", failures: str = "") -> Line:
    """Something odd; `failures` as "F01 F02"."""
    return Line(topic, Mark.NOTE, seen, todo, tuple(failures.split()))


def fault(topic: str, seen: str, todo: str, failures: str = "") -> Line:
    """A cross; `failures` as "F01 F02"."""
    return Line(topic, Mark.FAULT, seen, todo, tuple(failures.split()))


def diagnosed(topic: str, diagnosis: Diagnosis, seen: str = "") -> Line:
    """A cross with the words of a diagnosis, behind `seen` where that says more."""
    sentence = f"{seen}: {diagnosis.sentence}" if seen else diagnosis.sentence
    return Line(topic, Mark.FAULT, sentence, diagnosis.remedy, diagnosis.failures)
