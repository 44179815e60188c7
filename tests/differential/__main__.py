"""`python -m tests.differential [--calls N] [--seconds S] [--first SEED] [--trust]`: the same calls over every route.

Without a proxy, through the grpcio edge, and through the native edge from its sources and, where it was made, compiled.
The exit code is 1 when both ends could tell a route by something that is none of its known differences.
"""

import argparse
import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator

import grpc.aio

from tests.differential.planned import SIGNATURES
from tests.differential.routes import DIRECT, Routes
from tests.differential.serving import Serving
from tests.e2e.conftest import wait_until_ready
from tests.proxy_process import EDGES, ProxyProcess
from tests.transparency.scripted import UNLIMITED
from tests.trust.command import above_zero, count, end_with
from tests.trust.result import TREE, Result

AT_A_TIME = 16


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--calls", type=count, default=2000, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--seconds", type=above_zero, default=float("inf"), help="stop after so long")
    parser.add_argument("--trust", action="store_true", help="keep what was found for docs/reliability.md")
    return asyncio.run(_run(parser.parse_args()))


async def _run(told: argparse.Namespace) -> int:
    began = time.monotonic()
    ended: Counter[str] = Counter()
    wrong: list[str] = []
    async with running_routes() as (names, routes):
        seeds = iter(range(told.first, told.first + told.calls))

        async def ask() -> None:
            for seed in seeds:
                how, differences = await routes.compare(seed)
                ended[how] += 1
                wrong.extend(differences)
                for line in differences[: 20 - len(wrong)]:
                    print(line, flush=True)
                if sum(ended.values()) % 5000 == 0:
                    print(f"{sum(ended.values())} calls, {len(wrong)} differ", flush=True)
                if time.monotonic() - began > told.seconds:
                    return

        await asyncio.gather(*(ask() for _ in range(AT_A_TIME)))
    took = time.monotonic() - began
    figures = {
        "calls, each over every route": f"{ended.total():,}",
        "routes": ", ".join(names),
        "admitted by all, and the same to both ends": f"{ended['admitted']:,}",
        "refused by all, octet by octet the same": f"{ended['refused']:,}",
        "past their deadline": f"{ended['slow']:,}",
        "that differ": str(len(wrong)),
    }
    result = Result("differential", figures, took, failures=wrong[:50])
    return result.save() if told.trust else result.tell()


@contextlib.asynccontextmanager
async def running_routes() -> AsyncIterator[tuple[list[str], Routes]]:
    """A server, the proxies before it, and a channel to each."""
    async with Serving() as serving, contextlib.AsyncExitStack() as stack:
        flags = ("--upstream", serving.target, "--poll-seconds", "3600", "--refresh-seconds", "3600")
        # Which models a proxy has seen yet is told in its hints.
        flags += tuple(word for model in SIGNATURES for word in ("--model", model))
        native = (*flags, *EDGES["native"])
        proxies = {
            "grpcio edge": lambda: ProxyProcess(*flags, *EDGES["grpcio"]),
            "native edge": lambda: ProxyProcess(*native, module="tests.compiled.interpreted"),
        }
        if TREE.exists():
            proxies["native edge, compiled"] = lambda: ProxyProcess(
                *native, env={"PYTHONPATH": str(TREE)}, tree=TREE
            )
        targets = {DIRECT: serving.target}
        for name, start in proxies.items():
            proxy = await asyncio.to_thread(start)
            stack.push_async_callback(asyncio.to_thread, proxy.stop)
            await asyncio.to_thread(wait_until_ready, proxy)
            targets[name] = proxy.target
        channels = {
            name: await stack.enter_async_context(
                grpc.aio.insecure_channel(target, options=[*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)])
            )
            for name, target in targets.items()
        }
        yield list(targets), Routes(serving, channels)


if __name__ == "__main__":
    end_with(main)
