"""What is said of a request that cannot be judged just now: never a refusal for good, always worth a retry.

Law: words and verdicts only; when a signature counts as known, and who is asked, is decided elsewhere.
"""

from typing import Final

from proxy.core.explain import quote
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, Servable
from proxy.core.verdict import Verdict, Violation

RETRY_SECONDS: Final = 1.0
"""What a client is told to wait: about as long as one round of questions to a server that is back takes."""


def unconfirmed(verdict: Verdict, servable: Servable | None) -> Verdict:
    """The verdict on a request that `verdict` would refuse by what was last known (`servable`; None: an absence).

    The contradiction comes first, since it is most probably what has to be mended.
    """
    first = verdict.violations[0]
    known = f"version {servable.version}" if servable is not None else "what the server last said"
    violation = Violation(
        Reason.SIGNATURE_UNCONFIRMED,
        first.field,
        first.where,
        f"{first.expected} ({known})",
        first.got,
        "the server could not confirm that just now: retry",
        first.alias,
    )
    return Verdict(
        (violation,), (), verdict.model, verdict.version, verdict.signature, retry_seconds=RETRY_SECONDS
    )


def unavailable(key: ModelKey, why: str) -> Verdict:
    """The verdict on a request for a servable whose signature was never known; `why` it is not: a short phrase."""
    violation = Violation(
        Reason.SIGNATURE_UNAVAILABLE,
        "model_spec",
        f"model {quote(str(key))}",
        "a signature to judge by",
        why,
        "nothing was forwarded: retry",
    )
    return Verdict((violation,), retry_seconds=RETRY_SECONDS)
