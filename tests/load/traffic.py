"""What clients of a soak ask, one kind after another, and what each must be answered.

Law: pure but for the dice it is given. Every answer is known beforehand to the octet, or by its status and a word of it.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from proxy.wire.protos import get_model_metadata_pb2, get_model_status_pb2
from tests.edge.conftest import PREDICT, predict
from tests.load.frames import RESET, framed
from tests.load.server import ECHO, answer_to

OK, INVALID, LATE, UNKNOWN, FORBIDDEN, FAILED, UNIMPLEMENTED, INTERNAL = 0, 3, 4, 5, 7, 9, 12, 13

SERVICE = "/tensorflow.serving.PredictionService"
INVENTED = 2_000
"""Names of models that nobody has."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call. `pieces` are sent one after another, with a pause between them. `codes`: how it may end, none: it is
    cancelled `cancel_after` seconds. `answer`: all that may come back; None: it is not looked at. `words` are in the
    text of the status."""

    path: str
    pieces: tuple[bytes, ...]
    codes: frozenset[int] = frozenset((OK,))
    answer: Callable[[], bytes] | None = None
    words: str = ""
    more: tuple[tuple[str, str], ...] = ()
    cancel_after: float = 0.0


def _served(message: bytes, model: str = "m", **how: object) -> Ask:
    return Ask(PREDICT, (framed(message),), answer=lambda: framed(answer_to(model, message)), **how)  # type: ignore[arg-type]


def _refused(message: bytes, words: str, code: int = INVALID, **how: object) -> Ask:
    return Ask(PREDICT, (framed(message),), frozenset((code,)), words=words, **how)  # type: ignore[arg-type]


_GZIP = (("grpc-encoding", "gzip"),)
_LARGE = predict(shape=(90_000, 3))
_HUGE = predict(shape=(1_083_333, 3))


def _good(dice: Random) -> Ask:
    return _served(predict(shape=(dice.randrange(1, 200), 3)))


def _good_of_many(dice: Random) -> Ask:
    """Heads and messages that nobody has seen before."""
    name = "x-" + "".join(dice.choices("abcdefgh", k=6))
    return _served(
        predict(shape=(dice.randrange(1, 500), 3)),
        more=((name, str(dice.random())), ("x-request-id", str(dice.random()))),
    )


def _compressed(dice: Random) -> Ask:
    message = predict(shape=(dice.randrange(1, 200) * 100, 3))
    return Ask(
        *(PREDICT, (framed(gzip.compress(message, 1), 1),)),
        answer=lambda: framed(answer_to("m", message)),
        more=_GZIP,
    )


def _compressed_wrong(dice: Random) -> Ask:
    message = predict(shape=(dice.randrange(1, 200) * 100,))
    return Ask(
        *(PREDICT, (framed(gzip.compress(message, 1), 1),), frozenset((INVALID,))), words="rank", more=_GZIP
    )


def _not_compressed(dice: Random) -> Ask:
    return Ask(PREDICT, (framed(dice.randbytes(500), 1),), frozenset((UNIMPLEMENTED,)), more=_GZIP)


def _wrong(dice: Random) -> Ask:
    return dice.choice(
        (
            lambda: _refused(predict(shape=(dice.randrange(1, 100),)), "rank"),
            lambda: _refused(predict(shape=(dice.randrange(1, 100), 4)), "expected"),
            lambda: _refused(predict(alias=f"x{dice.randrange(100)}"), "'x'"),
            lambda: _refused(predict(signature_name=f"s{dice.randrange(100)}"), "signature", FAILED),
            lambda: _refused(b"\xff" + dice.randbytes(20), ""),
            lambda: _refused(predict(version=dice.randrange(2, 50)), "version", UNKNOWN),
        )
    )()


def _streamed(dice: Random) -> Ask:
    """Messages of any size, in pieces that do not end where they do."""
    messages = b"".join(
        framed(dice.randbytes(dice.choice((0, 10, 5000, 60_000)))) for _ in range(dice.randrange(1, 12))
    )
    cuts = sorted(dice.randrange(len(messages) + 1) for _ in range(4))
    pieces = tuple(messages[a:b] for a, b in zip((0, *cuts), (*cuts, len(messages)), strict=True))
    return Ask(ECHO, pieces, answer=lambda: messages)


def _cancelled(dice: Random) -> Ask:
    model = dice.choice(("m", "tall", "slow"))
    return Ask(PREDICT, (framed(predict(model)),), frozenset(), cancel_after=dice.random() * 0.02)


def _cancelled_halfway(dice: Random) -> Ask:
    body = framed(_LARGE)
    half = body[: dice.randrange(1, len(body))]
    return Ask(PREDICT, (half, b""), frozenset(), cancel_after=dice.random() * 0.1)


def _cancelled_stream(dice: Random) -> Ask:
    return Ask(ECHO, (framed(dice.randbytes(20_000)), b""), frozenset(), cancel_after=dice.random() * 0.2)


def _question(dice: Random) -> Ask:
    if dice.random() < 0.5:
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "m"
        return Ask("/tensorflow.serving.ModelService/GetModelStatus", (framed(status.SerializeToString()),))
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "m"
    return Ask(f"{SERVICE}/GetModelMetadata", (framed(metadata.SerializeToString()),))


_LATE = frozenset((LATE,))


@dataclass(frozen=True)
class Kind:
    """`weight`: how many of a thousand calls are of this kind. `also`: codes that the grpcio edge may end it with too."""

    name: str
    weight: int
    make: Callable[[Random], Ask]
    also: frozenset[int] = field(default_factory=frozenset)


KINDS = (
    Kind("good", 420, _good),
    Kind("good, of new heads and sizes", 100, _good_of_many),
    Kind("1.08 MB", 30, lambda _: _served(_LARGE)),
    Kind("13 MB", 1, lambda _: _served(_HUGE)),
    Kind("answered with 1.05 MB", 20, lambda _: _served(predict("tall"), "tall")),
    Kind("gzip", 50, _compressed),
    Kind("gzip, wrong", 15, _compressed_wrong),
    Kind("gzip that is none", 5, _not_compressed, frozenset((INTERNAL,))),
    Kind("wrong", 130, _wrong),
    Kind(
        *("model that nobody has", 30),
        lambda dice: _refused(predict(f"n{dice.randrange(INVENTED)}"), "", UNKNOWN),
    ),
    Kind("streamed, relayed", 40, _streamed),
    Kind("cancelled", 40, _cancelled),
    # The server ends none of these by itself, and is told at a pace (`http2/pacing.py`): of more, what waits, up to its
    # bound of 2 MB a connection, would hide what grows.
    Kind("cancelled halfway through its request", 5, _cancelled_halfway),
    Kind("cancelled stream", 5, _cancelled_stream),
    Kind(
        *("expired when it comes", 30),
        lambda _: Ask(PREDICT, (framed(predict()),), _LATE, more=(("grpc-timeout", "1n"),)),
        frozenset((RESET,)),
    ),
    Kind(
        *("expires at the server", 20),
        lambda _: Ask(PREDICT, (framed(predict("slow")),), _LATE, more=(("grpc-timeout", "100m"),)),
        frozenset((RESET,)),
    ),
    Kind("metadata and states of models", 20, _question),
    Kind("health", 25, lambda _: Ask("/grpc.health.v1.Health/Check", (framed(b""),))),
    Kind(
        *("method that nobody has", 7),
        lambda _: Ask("/load.Nobody/Nothing", (framed(b""),), frozenset((UNIMPLEMENTED,))),
    ),
    Kind(
        *("method of operators", 7),
        lambda _: Ask(
            *("/tensorflow.serving.ModelService/HandleReloadConfigRequest", (framed(b""),)),
            frozenset((FORBIDDEN,)),
        ),
    ),
)
assert sum(kind.weight for kind in KINDS) == 1000

INVENTIVE = tuple(
    kind
    for kind in KINDS
    if kind.name in {"good, of new heads and sizes", "gzip", "wrong", "model that nobody has"}
)
"""Of which the proxy remembers each for a while, up to its bounds: what fills is no leak, once it is full."""
assert len(INVENTIVE) == 4
