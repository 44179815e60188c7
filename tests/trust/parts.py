"""The parts of the suite: what each asks, how it is run, and how much of the time it gets.

Law: one row for each section of docs/reliability.md, in its order.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """`about`: what is asked and how, for the report. `command` is run with python; `{seconds}` in it is the part's
    `share` of the time of a whole run. A part without a share takes the time it takes. `compiled`: run in the tree
    that `make compiled` made, and skipped where there is none."""

    name: str
    title: str
    about: str
    command: tuple[str, ...]
    share: float = 0.0
    compiled: bool = False

    def started(self, seconds: float) -> list[str]:
        """Its command in a run of so many seconds."""
        return [word.format(seconds=max(1, round(seconds * self.share))) for word in self.command]


PARTS = (
    Part(
        "simulation",
        "Deterministic simulation",
        "Clients, the native edge with its gate and its signature cache, and a server play in one process, on an event "
        "loop without sockets or time. A seed decides every step: what is cut, delayed, dropped, killed, swapped or "
        "cancelled. After each: every call ends exactly once with one status, no octet of one call is in another, "
        "nothing is forwarded that contradicts the signature in force, and at rest windows, buffers and counts are where "
        "they were.",
        ("-m", "tests.simulation", "--seeds", "0:1000000", "--seconds", "{seconds}", "--trust", "simulation"),
        share=0.05,
    ),
    Part(
        "simulation-compiled",
        "Deterministic simulation, compiled",
        "The same with the compiled hot path, other seeds.",
        (
            *("-m", "tests.simulation", "--seeds", "1000000:2000000", "--seconds", "{seconds}"),
            *("--trust", "simulation-compiled"),
        ),
        share=0.05,
        compiled=True,
    ),
    Part(
        "faults",
        "Fault matrix",
        "Everything that a call can meet is broken while others call: the server and what it says, its metadata, the network "
        "to it (real namespaces, and a cable whose packets are lost, late, doubled, spoilt or cut off), clients, and the "
        "machine of the proxy. After each: those whom it does not concern have seen nothing, and where it concerns everyone "
        "a true status in bounded time and good answers again, from the same process; nothing was passed on unjudged; "
        "metrics and page tell of it; tasks, sockets, descriptors, calls, bytes and streams of the server are where they "
        "were, and memory within a bound.",
        (
            *("-m", "tests.trust.suite", "faults", "--both-builds", "--columns", "native,grpcio"),
            *("--set", "TFS_PROXY_EXPLORE=1", "tests/faults", "--ignore=tests/faults/test_ground.py"),
        ),
    ),
    Part(
        "hints",
        "Obeyed hints",
        "Any request that fits is spoilt by one of 25 kinds of mistake, refused, and mended by doing what the refusal says, "
        "with no other knowledge: what comes out must be admitted, and where the refusal is certain it must be the request "
        "that was spoilt. New requests each time.",
        (
            "-m",
            "tests.trust.suite",
            "hints",
            "--set",
            "TFS_PROXY_EXPLORE=32",
            "tests/property/test_obeyed_hints.py",
        ),
    ),
    Part(
        "clients",
        "Clients",
        "Clients of eleven makes play one script of calls, directly to a server and through the proxy: good ones of every kind "
        "of tensor, large, compressed, with metadata; wrong ones, whose code, text and ErrorInfo must come unharmed; slow, "
        "cancelled at every place, streams, health, reflection, questions about models, gRPC's own interop cases. Then a "
        "successor takes the proxy's port, the proxy is killed and comes back, the server goes and comes back, and no client is told. "
        "After each call neither the proxy nor the server has anything of it.",
        ("-m", "tests.clients", "--install", "--both-builds"),
    ),
    Part(
        "http2",
        "HTTP/2 by the letter",
        "h2spec, with its strict cases, at the port of each edge, plain and with TLS, and beside them at a server of grpcio "
        "without any proxy. The native edge must pass all; HTTP/2 of the grpcio edge is gRPC core's.",
        ("-m", "tests.clients.h2spec"),
    ),
    Part(
        "soak",
        "Soak",
        "200 connections that come and go ask twenty kinds of things for a long time: good and wrong requests, of a few "
        "octets and of 13 MB, compressed, streamed, cancelled at any point, expired before and behind the proxy, broken off "
        "with their connection. Every answer is compared, to the octet where it has a message. Once a second the process "
        "is looked at: the medians of the first and the last fifth of the time after warm-up must not differ by more than "
        "2 % in memory, nor tasks and descriptors grow; when everybody has gone, nothing of anyone is left.",
        ("-m", "tests.load.soak", "--seconds", "{seconds}", "--trust"),
        share=0.5,
    ),
    Part(
        "peaks",
        "Memory after a peak",
        "What the process has resident before a peak of some kind, at it, and ten seconds after; more than 48 MiB that are "
        "left are wrong. Each on a proxy of its own, before a server that answers nobody until all are there.",
        ("-m", "tests.load.peaks"),
    ),
    Part(
        "overload",
        "Overload",
        "Three times as many calls as the server can answer, in an open loop: a call begins when it is due, whatever became "
        "of others, and is timed from then. With a limit, 90 % of what the server can answer must be answered, half of the "
        "refusals within 50 ms; health and the admin port answer throughout, memory is bounded, and when the load ends, "
        "calls are served at once. Without a limit the server itself works for callers that have gone: that is shown, and is "
        "why one of the limits is worth setting.",
        ("-m", "tests.load.overload"),
    ),
    Part(
        "differential",
        "Differential",
        "Calls from seeds (methods, kinds of streams, metadata, encodings, sizes; requests that fit, and spoilt in up to "
        "two of 15 ways and written in six; answers and failures of the server) go to one server over every route at once. "
        "What is admitted must look to both ends as it does without a proxy, but for a warning or an explanation; what is "
        "refused must be refused by all, octet by octet the same. Left out: what is said of a deadline, routes over which a call came too late, and initial "
        "metadata of a stream without messages, which grpc.aio does not always tell.",
        ("-m", "tests.differential", "--calls", "100000", "--seconds", "{seconds}", "--trust"),
        share=0.1,
    ),
    Part(
        "supply",
        "Supply chain",
        "Every lock file pins by version and hash. What is shipped is installed by those hashes into an empty environment, "
        "and the bill of materials written of that is compared with the lock; the index is asked what was taken back, "
        "pip-audit what is known to be vulnerable (CI asks it each week too).",
        ("-m", "tests.supply", "--trust"),
    ),
    Part(
        "threats",
        "Threat model",
        "Who could want what, of [SECURITY.md](../SECURITY.md#threat-model), where it says what stops them; and the tests "
        "that show it.",
        ("-m", "tests.trust.threats", "--trust"),
    ),
    Part(
        "fuzz",
        "Fuzzing",
        "Whatever reads octets of others is given valid ones, changed at random, and must do more than not break: each "
        "target has an oracle, such as another reader, the same octets cut otherwise, or what was read written again. "
        "What is guided by coverage (atheris) runs in the sources; what is compiled runs so too, by mutation alone, without "
        "coverage. PredictRequests are compared with what TensorFlow's own protobuf in C++ reads in them. What was found "
        "in earlier runs, and mended, is counted from the inputs that the repository keeps of it.",
        ("-m", "tests.fuzz", "--seconds", "{seconds}", "--trust"),
        share=0.25,
    ),
)
