"""What an edge asks before a request goes on, and tells afterwards.

Law: no more than the edges need; `Gate` is one, and so is whoever stands around it (`capture.sampling`).
"""

from typing import Protocol

from proxy.core.types import RequestView, Servable
from proxy.core.verdict import Verdict
from proxy.gate.decision import Admit, Decision
from proxy.gate.known import Known
from proxy.gate.turns import Client


class Judge(Protocol):
    """See `Gate`, which says what each is for."""

    def judge_now(self, known: Known) -> Decision | None: ...

    async def judge(self, known: Known, timeout: float | None = None, client: Client = ()) -> Decision: ...

    def still_holds(self, decision: Admit) -> bool: ...

    def unread(self, verdict: Verdict) -> Decision: ...

    def of_no_model(self, verdict: Verdict) -> Decision: ...

    def learn(self, decision: Admit) -> None: ...

    def are_independent(self, view: RequestView, servable: Servable) -> bool: ...
