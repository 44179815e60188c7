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
            *("--set", "TFS_PROXY_EXPLORE=1", "tests/faults"),
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
        "differential",
        "Differential",
        "Calls from seeds (methods, kinds of streams, metadata, encodings, sizes; requests that fit, and spoilt in up to "
        "two of 15 ways and written in six; answers and failures of the server) go to one server over every route at once. "
        "What is admitted must look to both ends as it does without a proxy, but for a warning or an explanation; what is "
        "refused must be refused by all, octet by octet the same. Left out: what is said of a deadline, and initial "
        "metadata of a stream without messages, which grpc.aio does not always tell.",
        ("-m", "tests.differential", "--calls", "100000", "--seconds", "{seconds}", "--trust"),
        share=0.15,
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
)
