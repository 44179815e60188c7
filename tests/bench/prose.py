"""What the report says around its tables.

Law: how it was measured and what a table shows, and nothing of how it came out.
"""

INTRODUCTION = """\
# Performance

tfs-proxy measured beside the proxies that one might put in its place. `make bench` has written this page;
`make bench BENCH=--help` shows how to measure less, or something else.

*compiled* is the build of `make compiled`, *native* the same code interpreted, *grpcio* the reference edge, *workers*
the compiled build with two workers. *direct* is no proxy at all. A ° marks a rate at which the contestant had more
than a tenth of its CPU time to spare with many calls at a time: it is the rate of the load generator and the server (or
of a machine that had other things to do), and the contestant's own is higher.
"""

GLANCE_LIMITED = """\
Requests per second where everyone has **a third of a core**, as a multiple of Envoy's in the same round; more is better.
Here the contestant is the limit; the last columns are the compiled build's by HAProxy's and nginx's (with ° by CPU
time, because one of the two was held up by the load):
"""

GLANCE_CORE = """\
The same with **a core each**, the server and the load on another. Many ° are to be expected: one core of load is
little for a proxy that is faster than it.
"""

GLANCE_FREE = """\
The same **bound to no core**: contestant, server and load share the machine as the kernel will have it. The more of it
the contestant leaves to the others, the higher its rate; it is a figure of the three together.
"""

GLANCE_CAPACITY = """\
Requests for each second of **CPU time**, with a core each, as a multiple of Envoy's; more is better. It does not matter
who was the limit, only that a proxy that waits a good deal takes its work in smaller parts, which costs more.
"""

AIMS = """\
Throughput with a third of a core each, many calls at a time; added latency with a core each, one call at a time: the
contestant's less that of a direct call.
"""

WORKERS = """\
The compiled build with one worker and with two behind one port, each worker with a quota of a fifth of a core of its
own, both on the first core, so that both together leave to the server and the load what one alone leaves them, a core
that nobody else uses. There are 64 connections, because the kernel deals connections and not calls.
"""

REFUSALS = """\
Requests of 269 B with a wrong dtype, 32 at a time from the C++ client, a third of a core each. Those who judge refuse them,
and the server sees none of them; Envoy relays the server's own error, which this server has ready at once. Each call
must end with INVALID_ARGUMENT.
"""

OPEN_LOOP = """\
Calls arrive at random times (a Poisson process, the same one for everybody) whether or not earlier ones have been
answered, over eight connections, each contestant with a core of its own. Latency counts from when a call was *due*, so
that one that waited because the generator or the connection was held up has waited (no coordinated omission). The
capacity is the rate that was reached in the same place with 32 calls at a time, in this run; where that has a °, it is
what server and load could do, and the contestant has less than half of its own to do. The last column is how late
calls were sent, which is in the times; a ° where that is more than half of the p99. The generator,
`tests/bench/upstream/open_loop.cc`, goes before the server with which it shares a core (real-time priority, where it
may). It is the bench's own because h2load counts from when it sends and not from when it should have, and wrk2 speaks
no HTTP/2.
"""

METHOD = """\
The server is a small C++ gRPC server that answers every Predict with ten scores and never looks at a tensor;
so what is seen is the proxy. In each of {rounds} rounds every contestant is started afresh and meets every scenario for
{seconds:g} s (longer where that is too short), one right after the other; another one begins each round.

- *With a core of its own*: {placement}. *Bound to no core*: the kernel decides.
- *With a third of a core*: bound as before, and the contestant gets a quota of CPU time from the kernel (cgroup v1,
  `cpu.cfs_quota_us`), 3.3 ms of each 10. On a machine of two cores the server and the load, which share one, cannot keep
  up with the fastest contestants on the other, so that their rates with a core each are too low. The quota slows every
  contestant alike until the load waits for it, and rates need nothing derived from them. That it was the limit shows in
  *busy*, the part of its CPU time that it used. Two things to know: a proxy that is the limit finds many calls waiting
  and takes them together, which some do better than others, as they would before more load; and latency is not measured
  like this, since the quota makes calls wait.
- Everyone has one worker (HAProxy and Envoy one thread, nginx one worker process), no TLS and no access log.
  `tests/bench/contestants.py` holds every configuration; `tests/bench/scenarios.py` who meets what.
- All builds and both edges of tfs-proxy judge every request against the live signature and count it, as they do by
  default. So do *Envoy + ext_proc + our gate* (a grpc.aio service that Envoy asks about each request body, with the gate
  that tfs-proxy has) and *mitmproxy + add-on* (parses the request, compares dtype and shape). The others only
  relay: Envoy with its `grpc_stats` filter, nginx, HAProxy and twenty lines of grpc.aio.
- Load comes from `h2load`, up to eight connections with the calls shared among them; and from a C++ and a Python gRPC
  client, one call at a time unless it says how many. *1 000 models*: all of them are known to the proxy before the
  load; the C++ client goes round through all, h2load asks for one. *100 inputs in changing order*: the C++ client goes
  round through a thousand orders of the inputs, for a C++ client's maps have another order each time.
- Before each round the C++ client sends every request of the scenario once and compares the answer. A round
  counts only when h2load has lost nothing and the server itself has answered at least as many calls as the load got
  answers (none of those that are refused). Before that a request with a wrong dtype must be refused by those who judge
  and pass the others.
- CPU is the user and system time of the contestant's processes from `/proc/PID/stat`, by the calls that the
  server has answered meanwhile. Peak memory is their `VmHWM`, set back before each measurement;
  what a process keeps of earlier, lighter scenarios counts too.
"""

SLOW = """\
1.08 MB with 256 calls at a time, each answered by the server {ms} ms after it has arrived;
every contestant freshly started.
"""

FIGURES = """\
The median of the rounds; ± is half the distance between the best and the worst round. Ratios are taken within
each round; their median is shown. More requests per second are better, in all and of CPU time, less of everything else.
"""
