"""The gate: the one decision point between an edge and the server; see `gate.gate`."""

from proxy.gate.decision import Admit, Decision, Refuse, Unjudged
from proxy.gate.gate import METADATA_PATIENCE, Gate, Signatures
from proxy.gate.judge import Judge
from proxy.gate.known import JUDGED_METHODS, PREDICT, Glimpse, Known, Message

__all__ = [
    "JUDGED_METHODS",
    "METADATA_PATIENCE",
    "PREDICT",
    "Admit",
    "Decision",
    "Gate",
    "Glimpse",
    "Judge",
    "Known",
    "Message",
    "Refuse",
    "Signatures",
    "Unjudged",
]
