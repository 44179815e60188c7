"""
What one call holds of the room that all calls share: of its request, and of its answer.

Law: books with the load whatever a call takes and gives back, so that nothing is left when it is over. Says why
there is no room for more; what becomes of the call then is not known here.
"""

from typing import final

from proxy.core.verdict import Verdict
from proxy.edge.load import Account, Load
from proxy.gate.turns import Client


@final
class Ledger:
    """The books of one call; octets in all of them."""

    # Defaults live in the class: most calls never set all of them.
    account: Account | None = None
    """Whose the call is; None: it was not taken in."""
    held = 0
    """What the request has taken."""
    unread = 0
    """What of the answer waits for the client."""
    _over = False

    def __init__(self, load: Load) -> None:
        self._load = load

    @property
    def calls(self) -> int:
        """How many calls are under way, this one among them."""
        return self._load.calls

    @property
    def client(self) -> Client:
        """Whose turn it is when this call's is."""
        return () if self.account is None else self.account.client

    def enter(self, account: Account, *, local: bool) -> Verdict | None:
        """Have the call taken in, or say why not; `local`: the proxy answers it itself."""
        full = self._load.enter_local(account) if local else self._load.enter(account)
        if full is None:
            self.account = account
        return full

    def leave(self, *, local: bool) -> None:
        """The call is over. What of its answer is unread stays booked until it is read, or dropped."""
        self._over = True
        account = self.account
        if account is None:
            return
        if self.held:
            self._load.give_back(account, self.held)
            self.held = 0
        if local:
            self._load.leave_local(account)
        else:
            self._load.leave(account)

    def hold(self, count: int) -> Verdict | None:
        """Take room for so many octets more of the request, or say why there is none."""
        account = self.account
        assert account is not None
        full = self._load.take(account, count, self.held)
        if full is None:
            self.held += count
        return full

    def give_back(self, count: int) -> None:
        """Give back a part of what the request holds; once the call is over it holds nothing."""
        if self.account is not None and not self._over:
            self._load.give_back(self.account, count)
            self.held -= count

    def release(self) -> None:
        """Give back all that the request holds."""
        if self.account is not None:
            self._load.give_back(self.account, self.held)
            self.held = 0

    def settle(self, wanted: int, *, shrinks: bool) -> Verdict | None:
        """Hold as much as `wanted`, or say why not. Less than before only where it `shrinks`."""
        if self.account is None or self._over:
            return None
        more = wanted - self.held
        if more > 0:
            return self.hold(more)
        if shrinks:
            self.give_back(-more)
        return None

    def leave_unread(self, more: int) -> Verdict | None:
        """Take room for so many octets more of the answer, which the client does not read yet; or say why not."""
        account = self.account
        if account is None:
            return None
        full = self._load.take(account, more, self.unread)
        if full is None:
            self.unread += more
        return full

    def read(self, count: int) -> None:
        """The client has read so much of the answer, or will not be sent it."""
        count = min(count, self.unread)
        if count and self.account is not None:
            self._load.give_back(self.account, count)
            self.unread -= count
