"""What keeps calls from reaching the server: facts of a probe in, one sentence and a remedy out.

Law: pure, like the rest of this package. It explains statuses that no server sent (UNAVAILABLE and
DEADLINE_EXCEEDED made by the proxy's own side); what a server answered is the business of table.py.
"""

from dataclasses import dataclass
from typing import Final

from proxy.core.explain import escape, quote
from proxy.core.reasons import Reason
from proxy.diagnosis.answer import Diagnosis, one_line
from proxy.diagnosis.reach import Attempt, Connect, Reach, Speaks, Spoken

WAY_REASONS: Final = frozenset(
    {
        Reason.UPSTREAM_UNREACHABLE,
        Reason.UPSTREAM_NAME_UNRESOLVED,
        Reason.UPSTREAM_NOT_GRPC,
        Reason.UPSTREAM_TLS_MISMATCH,
        Reason.UPSTREAM_DEADLINE_EXCEEDED,
    }
)
"""What a status text can say of the way to the server, and a probe of it knows better."""

_SHOWN: Final = 4


def diagnose_reach(reach: Reach, text: str = "") -> Diagnosis | None:
    """Why calls do not get through, or None where the probe found nothing in the way.

    `text` is the status text of a failed call, where there is one.
    """
    proxy = reach.forward_proxy
    if proxy is not None and proxy.applies and reach.obeys_proxy:
        return _found(
            Reason.UPSTREAM_UNREACHABLE,
            f"calls go through the forward proxy {escape(proxy.address)} named by {proxy.variable}; "
            + (
                "directly the server can be reached"
                if _is_well(reach)
                else "the server cannot be reached directly either"
            ),
            "F60",
            f"Add {reach.host} to no_proxy, or leave out --use-http-proxy.",
        )
    if reach.name_error:
        return _found(
            Reason.UPSTREAM_NAME_UNRESOLVED,
            f"the name {quote(reach.host)} has no address: {reach.name_error}",
            "F62 F63",
            "Check the name from where this runs: in compose and Kubernetes it is the service's name.",
        )
    if "DNS resolution failed" in text and reach.addresses:
        return _found(
            Reason.UPSTREAM_NAME_UNRESOLVED,
            f"gRPC's own resolver finds no address for {quote(reach.host)}, the system's finds {', '.join(reach.addresses[:_SHOWN])}",
            "F63",
            "Set GRPC_DNS_RESOLVER=native in the client's environment, or name the address.",
        )
    if not reach.open:
        return _not_open(reach)
    return None if reach.spoken is None else _not_grpc(reach.spoken)


def _is_well(reach: Reach) -> bool:
    return reach.spoken is not None and reach.spoken.speaks is Speaks.HTTP2


def told(attempts: tuple[Attempt, ...]) -> str:
    """Every address with its result."""
    shown = ", ".join(
        f"{attempt.address} {attempt.text or attempt.result.value}" for attempt in attempts[:_SHOWN]
    )
    rest = len(attempts) - _SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _not_open(reach: Reach) -> Diagnosis | None:
    results = {attempt.result for attempt in reach.attempts}
    where = told(reach.attempts)
    if reach.was_up and results <= {Connect.REFUSED}:
        seen = f" ({where})" if where else ""
        return _found(
            Reason.UPSTREAM_UNREACHABLE,
            f"the server was there and is gone{seen}: it stopped, crashed or restarts",
            "F50 F62 F74 F104",
            "Look at the server's log and at which requests were in flight (/api/suspects); it is tried again all the time.",
        )
    if not results:
        return None
    if results == {Connect.REFUSED}:
        return _found(
            Reason.UPSTREAM_UNREACHABLE,
            f"nothing listens there ({where}): the server is not running, has another port, or still loads",
            "F45 F48 F49 F50 F62",
        )
    if results == {Connect.TIMED_OUT}:
        return _found(
            Reason.UPSTREAM_UNREACHABLE,
            f"no answer to the attempt to connect ({where}): packets are dropped on the way",
            "F62",
            "Check host, firewall and network policy, and whether the container's port is published.",
        )
    if results == {Connect.UNREACHABLE}:
        return _found(
            Reason.UPSTREAM_UNREACHABLE,
            f"there is no way to the server from here ({where})",
            "F62 F64",
            "Check host and network; where IPv6 has no route, name the IPv4 address.",
        )
    return _found(
        Reason.UPSTREAM_UNREACHABLE, f"no address of the server takes connections: {where}", "F62 F64"
    )


def _not_grpc(spoken: Spoken) -> Diagnosis | None:
    where, detail = spoken.address, f" ({escape(spoken.text, 100)})" if spoken.text else ""
    match spoken.speaks:
        case Speaks.HTTP2:
            return None
        case Speaks.HTTP1:
            what = "TensorFlow Serving's REST interface" if spoken.rest else "HTTP/1"
            return _found(
                Reason.UPSTREAM_NOT_GRPC,
                f"{where} speaks {what}, not gRPC{detail}",
                "F51 F61",
                "Use the gRPC port, 8500 by default; REST has 8501. A front must speak HTTP/2 (nginx: grpc_pass).",
            )
        case Speaks.TLS:
            return _found(
                Reason.UPSTREAM_TLS_MISMATCH,
                f"{where} speaks TLS and is spoken to in plaintext{detail}",
                "F65",
                "Set --upstream-tls, and --upstream-ca for a certificate of your own authority.",
            )
        case Speaks.PLAINTEXT:
            return _found(
                Reason.UPSTREAM_TLS_MISMATCH,
                f"{where} speaks plaintext and is spoken to in TLS{detail}",
                "F65",
                "Leave out --upstream-tls and the other TLS settings, or start TF Serving with --ssl_config_file.",
            )
        case Speaks.CERTIFICATE:
            return _found(
                Reason.UPSTREAM_TLS_MISMATCH,
                f"both ends speak TLS, and a certificate is not accepted at {where}{detail}",
                "F65",
                "Give the authority with --upstream-ca, the name on the certificate with --upstream-server-name, and a "
                "certificate of this side (--upstream-cert) where the server demands one.",
            )
        case Speaks.NO_ALPN:
            return _found(
                Reason.UPSTREAM_TLS_MISMATCH,
                f"{where} speaks TLS but does not agree on HTTP/2 (ALPN), which gRPC demands{detail}",
                "F65",
                "Enable HTTP/2 in the front that ends TLS.",
            )
        case Speaks.SILENT:
            return _found(
                Reason.UPSTREAM_NOT_GRPC,
                f"{where} takes the connection and says nothing: a server that hangs, or no HTTP/2 server",
                "F61 F71",
                "See whether the process is stuck or stopped; restart it, or name the gRPC port.",
            )
        case Speaks.CLOSES:
            return _found(
                Reason.UPSTREAM_UNREACHABLE,
                f"{where} takes the connection and closes it at once: a port forward or load balancer without a server behind it",
                "F62 F74",
                "Check what the forward leads to; inside a container the server must listen on 0.0.0.0.",
            )
        case Speaks.OTHER:
            return _found(
                Reason.UPSTREAM_NOT_GRPC,
                f"{where} answers, but neither in HTTP/2 nor in HTTP/1 nor in TLS: another service has this port",
                "F61 F62",
            )


@dataclass(frozen=True, slots=True)
class Spent:
    """Where the time of a call went whose deadline passed, in seconds.

    `before` is what passed in the proxy before the request was sent on, `upstream` what passed since (None: it
    was not sent). `others` counts the calls that were under way beside it.
    """

    before: float
    upstream: float | None
    others: int = 0


def diagnose_deadline(
    spent: Spent, connected: bool, target: str, known: Diagnosis | None, reach: Reach | None = None
) -> Diagnosis:
    """Where the time went: never connected, waiting in the proxy, queued, or executing.

    `known` is what the request itself says about it, which is worth more than guesses. `connected`: a connection
    stands at the end.
    """
    if not connected:
        why = diagnose_reach(reach) if reach is not None else None
        sentence = f"never connected: no connection to {target} stood before the deadline passed"
        if why is not None:
            return _found(
                why.reason,
                f"{sentence}; {why.sentence}",
                " ".join({**dict.fromkeys(why.failures), "F71": None}),
                why.remedy,
            )
        return _found(Reason.UPSTREAM_UNREACHABLE, sentence, "F62 F71")
    if known is not None and known.reason is not Reason.UPSTREAM_DEADLINE_EXCEEDED:
        return known
    if spent.upstream is None:
        return _found(
            Reason.UPSTREAM_DEADLINE_EXCEEDED,
            f"the deadline passed after {spent.before:.3g} s in the proxy, before the request had arrived in full and been judged",
            "F71",
        )
    where = "executing, as no other call was under way"
    if spent.others:
        calls = "call" if spent.others == 1 else "calls"
        where = f"queued behind others or executing: {spent.others} more {calls} under way"
    return _found(
        Reason.UPSTREAM_DEADLINE_EXCEEDED,
        f"the server had the request for {spent.upstream:.3g} of {spent.before + spent.upstream:.3g} s over a connection that stands, "
        f"and gave no answer: {where}",
        "F58 F71 F72 F78",
    )


def _found(reason: Reason, sentence: str, failures: str, remedy: str = "") -> Diagnosis:
    return Diagnosis(
        reason, one_line(sentence), remedy or reason.about.remedy, tuple(failures.split()), append=True
    )
