"""
The one exception of the core: what the peer did so that the connection cannot go on.

Law: raised where a frame is read, caught in `connection` alone. Whoever uses the core is handed it and never has
to catch it.
"""

from typing import final


@final
class PeerFault(Exception):  # noqa: N818 - it is the peer's fault, not an error of ours
    """The peer broke the protocol so that the connection cannot go on (RFC 9113 §5.4.1)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
