"""The words of diagnosis: what is known of the call, one row of the table, and what comes out."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from proxy.core.availability import VersionStatus
from proxy.core.explain import escape, quote
from proxy.core.reasons import Reason
from proxy.core.types import RequestView, Servable, Signature

SENTENCE_BUDGET: Final = 400
"""Bytes of a sentence; it travels in trailing metadata beside the status text."""

BLAMES_REQUEST: Final = frozenset({3, 11})
"""INVALID_ARGUMENT and OUT_OF_RANGE: what TensorFlow answers where an argument is wrong (`errors.h`)."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of the call that failed; everything may be unknown.

    `method` is the full path (`/tensorflow.serving.PredictionService/Predict`). `servable` is the version
    judged against. `versions` is what GetModelStatus says of the model (None: not asked, empty: it knows
    none). `known` are model names seen served. `request_bytes` is the length of the serialised request.
    `independent`: its inputs are known to have no batch in common.
    """

    method: str = ""
    request: RequestView | None = None
    servable: Servable | None = None
    versions: tuple[VersionStatus, ...] | None = None
    known: tuple[str, ...] = ()
    request_bytes: int | None = None
    independent: bool = False

    @property
    def signature(self) -> Signature | None:
        """The signature that TF Serving ran for this request, where both are known."""
        if self.request is None or self.servable is None:
            return None
        return self.servable.signature(self.request.signature)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an error answer means.

    `sentence` is one line of printable ASCII of at most 400 bytes, `remedy` one sentence on what to do,
    `failures` the kinds of failure users reported. `append` says that the original text is empty or
    misleads, so that the sentence belongs behind it where a client reads only the text.
    """

    reason: Reason
    sentence: str
    remedy: str
    failures: tuple[str, ...]
    append: bool = False

    def saying(self, sentence: str, reason: Reason | None = None, remedy: str | None = None) -> "Diagnosis":
        """The same with another sentence and, where given, another reason and its remedy."""
        if remedy is None:
            remedy = self.remedy if reason is None else reason.about.remedy
        return replace(self, reason=reason or self.reason, sentence=one_line(sentence), remedy=remedy)


Refine = Callable[["re.Match[str]", Call, Diagnosis], Diagnosis]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `sentence` may name groups of `pattern` in braces; they appear quoted.

    `codes` narrows the match where the text alone does not decide; `says` takes the part of the text that is looked
    at; `refine` may look at the call.
    """

    pattern: "re.Pattern[str]"
    diagnosis: Diagnosis
    codes: frozenset[int] | None
    refine: Refine | None
    says: Callable[[str], str] | None = None

    def match(self, code: int, text: str, call: Call) -> Diagnosis | None:
        if self.codes is not None and code not in self.codes:
            return None
        found = self.pattern.search(self.says(text) if self.says else text)
        if found is None:
            return None
        names = {name: quote(value or "", 60) for name, value in found.groupdict().items()}
        diagnosis = self.diagnosis
        if names:
            diagnosis = diagnosis.saying(diagnosis.sentence.format_map(names))
        return self.refine(found, call, diagnosis) if self.refine else diagnosis


def row(
    pattern: str,
    reason: Reason,
    sentence: str,
    failures: str,
    remedy: str = "",
    *,
    append: bool = False,
    codes: frozenset[int] | None = None,
    refine: Refine | None = None,
    says: Callable[[str], str] | None = None,
) -> Row:
    """A row whose `failures` are given as "F01 F02" and whose remedy is the reason's own unless given.

    Whatever its words, UPSTREAM_REQUEST_FAULT is said only of codes that blame the request.
    """
    if reason is Reason.UPSTREAM_REQUEST_FAULT:
        codes = BLAMES_REQUEST
    diagnosis = Diagnosis(reason, sentence, remedy or reason.about.remedy, tuple(failures.split()), append)
    # Case counts: TF Serving's texts keep theirs, and folding it makes a search ten times as slow.
    return Row(re.compile(pattern), diagnosis, codes, refine, says)


def one_line(text: str) -> str:
    """`text` as printable ASCII, cut to the budget."""
    line = escape(text, SENTENCE_BUDGET).replace("\\\\", "\\")
    return line if len(line) <= SENTENCE_BUDGET else f"{line[: SENTENCE_BUDGET - 3]}..."
