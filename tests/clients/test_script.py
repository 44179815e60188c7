"""Every client plays the same script through each edge, and hears what it must."""

import pytest

from tests.clients.playing import heard, judged_server, reconnecting
from tests.clients.programs import PROGRAMS, MissingError
from tests.proxy_process import EDGES


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("messages")


@pytest.fixture(scope="session", params=EDGES)
def judged(request):
    with judged_server(EDGES[request.param]) as both:
        yield both


def test_a_client_hears_what_it_must(program, judged, folder, kept):
    serving, proxy = judged
    _, found = heard(program, kept, folder, serving, proxy)
    assert not {case: why for case, why in found.items() if why}
    assert found


@pytest.mark.parametrize("edge", EDGES)
def test_clients_go_on_when_proxy_and_server_go_and_come_back(edge, folder, kept):
    there = []
    for program in PROGRAMS:
        try:
            program.make(kept)
            program.environment(kept)
        except MissingError:
            continue
        there.append(program)
    found = reconnecting(there, kept, folder, EDGES[edge])
    assert not {(name, case): why for name, each in found.items() for case, why in each.items() if why}
