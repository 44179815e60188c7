"""The way to the server, one step of a probe after the other.

Law: the steps are `upstream.probe`'s, the words `diagnosis.transport`'s; here they only become lines.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from proxy.diagnosis.reach import Connect, Reach
from proxy.diagnosis.transport import diagnose_reach, told
from proxy.doctor.line import Line, diagnosed, note, well
from proxy.upstream.channel import Tls
from proxy.upstream.endpoints import Endpoint, endpoints
from proxy.upstream.probe import STEP_SECONDS, connect, recognise, resolve


@dataclass(slots=True)
class Way:
    """What is known of the way so far; `clear` once gRPC may be tried."""

    target: str
    tls: Tls | None = None
    clear: bool = False

    async def check(self) -> AsyncIterator[Line]:
        """Name, connections, what the port speaks."""
        named = endpoints(self.target)
        reach = Reach(self.target, host=named[0].host, tls=self.tls is not None)
        resolved = [await resolve(each) for each in named]
        places = tuple(endpoint for each in resolved for endpoint in each.endpoints)
        if not places:
            reach = replace(reach, name_error=resolved[0].error)
        why = diagnose_reach(reach)
        if why is not None:
            yield diagnosed("name", why)
            return
        shown = ", ".join(map(str, places))
        named_by_address = reach.host in {place.host for place in places}
        yield well(
            "name", f"{shown} needs no name server" if named_by_address else f"{reach.host} is {shown}"
        )

        reach = replace(reach, attempts=tuple([await connect(each) for each in places]))
        why = diagnose_reach(reach)
        if why is not None:
            yield diagnosed("connection", why)
            return
        closed = [attempt for attempt in reach.attempts if attempt.result is not Connect.OPEN]
        if closed:
            yield note(
                "connection",
                f"not every address takes connections: {told(reach.attempts)}",
                "Clients may try the others first: name the address that works, or have the server listen on all.",
                "F64",
            )
        else:
            yield well("connection", told(reach.attempts))

        place = _first_open(places, reach)
        reach = replace(reach, spoken=await recognise(place, self.tls, reach.host, STEP_SECONDS))
        why = diagnose_reach(reach)
        if why is not None:
            yield diagnosed("protocol", why)
            return
        yield well("protocol", "HTTP/2 over TLS" if self.tls else "HTTP/2 in plaintext")
        self.clear = True


def _first_open(places: tuple[Endpoint, ...], reach: Reach) -> Endpoint:
    return next(
        place for place, attempt in zip(places, reach.attempts, strict=True) if attempt.result is Connect.OPEN
    )
