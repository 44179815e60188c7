"""What the server's answers have shown of signatures: that the inputs of one have no batch in common.

Law: learnt for one version and signature alone, from an answer and from nothing else; bounded by number.
"""

from typing import Final, final

from proxy.core.types import RequestView, Servable, Signature

MOST: Final = 1024
"""Signatures that are remembered; each is one that the server has."""


@final
class Independence:
    """The signatures whose inputs need not agree about the batch."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, int, str], Signature] = {}

    def __len__(self) -> int:
        return len(self._shown)

    def holds(self, view: RequestView, servable: Servable) -> bool:
        """Whether it was shown of the signature that is asked for."""
        if not self._shown:
            return False
        signature = servable.signature(view.signature)
        if signature is None:
            return False
        return self._shown.get((servable.model, servable.version, signature.name)) == signature

    def learn(self, view: RequestView, servable: Servable) -> bool:
        """The server has answered OK to inputs that disagree; whether that is news."""
        signature = servable.signature(view.signature)
        if signature is None or self.holds(view, servable):
            return False
        if len(self._shown) >= MOST:
            del self._shown[next(iter(self._shown))]
        self._shown[servable.model, servable.version, signature.name] = signature
        return True
