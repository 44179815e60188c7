"""The server's name: it gets another address, it is gone, and comes back. Names are files of the process's own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Ground
from tests.faults.machine import instead_of, on_a_machine, rewrite, with_mounts
from tests.safety.serving import CountingServer

NAME = "serving.test"
FIRST, SECOND = "127.0.0.2", "127.0.0.3"
NOBODY = "nameserver 127.0.0.99\noptions timeout:1 attempts:1\n"
"""A resolver at which nobody listens."""
LONGEST = 5.0
TOLD = {
    ("UNAVAILABLE", reason)
    for reason in (
        "UPSTREAM_UNREACHABLE",
        "UPSTREAM_RESET",
        "UPSTREAM_NAME_UNRESOLVED",
        "SIGNATURE_UNCONFIRMED",
    )
}


class Names:
    """What the process's name service says of the server."""

    def __init__(self, folder: Path) -> None:
        self.hosts, resolver = folder / "hosts", folder / "resolv.conf"
        self.hosts.write_text("")
        resolver.write_text(NOBODY)
        self.before = with_mounts(
            instead_of("/etc/hosts", self.hosts), instead_of("/etc/resolv.conf", resolver)
        )

    def say(self, *addresses: str) -> None:
        rewrite(
            self.hosts,
            "".join(f"{each} {NAME}\n" for each in addresses) + "127.0.0.1 localhost\n",
        )


@pytest.fixture(scope="module")
def named(
    edge: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ground, Names, CountingServer]]:
    """A server under a name, and another that may take its place. Whoever changes it leaves a name that is right."""
    folder = tmp_path_factory.mktemp("named")
    names = Names(folder)
    names.say(FIRST)
    with CountingServer(host=FIRST) as first:
        port = int(first.target.rpartition(":")[2])
        with (
            CountingServer(host=SECOND, port=port) as second,
            on_a_machine(
                edge, first, folder / "ground", upstream=f"{NAME}:{port}", before=names.before
            ) as ground,
        ):
            yield ground, names, second


async def test_a_name_that_is_gone_costs_nothing_while_the_connection_stands(named):
    ground, names, _ = named
    async with ground.undisturbed() as bystanders:
        names.say()
        await bystanders.served_again(50)
    names.say(FIRST)


async def test_a_server_that_starts_again_without_a_name_is_found_where_it_was_or_when_it_is_named(named):
    """The native edge remembers where it was; gRPC's core says that the name has no address until it has one."""
    ground, names, _ = named
    names.say()
    async with ground.disturbed(TOLD, LONGEST) as bystanders:
        ground.server.kill()
        await asyncio.to_thread(ground.server.revive)
        if ground.edge == "grpcio":
            names.say(FIRST)
        await bystanders.served_again(50, seconds=30)
    names.say(FIRST)


async def test_a_name_that_moves_is_followed_when_the_server_has_gone(named):
    ground, names, second = named
    async with ground.undisturbed() as bystanders:
        names.say(SECOND)
        await bystanders.served_again(50)
    async with ground.disturbed(TOLD, LONGEST) as bystanders:
        ground.server.kill()
        ground.server = second
        await bystanders.served_again(50)
    assert ground.upstream() == "up"
