"""Every client plays the same script through each edge, and hears what it must."""

import pytest

from tests.clients.playing import directly, judged_server, reconnecting, through
from tests.clients.programs import PROGRAMS, here
from tests.clients.script import INPUTS
from tests.clients.serving import Serving, signatures
from tests.proxy_process import EDGES


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("messages")


@pytest.fixture(scope="session")
def direct(program, folder, kept):
    with Serving(signatures(INPUTS)) as serving:
        return directly(program, kept, folder, serving)


@pytest.fixture(scope="session", params=EDGES)
def judged(request):
    with judged_server(EDGES[request.param]) as both:
        yield both


def test_a_client_hears_what_it_must(program, direct, judged, folder, kept):
    _, found = through(program, kept, folder, *judged, direct)
    assert not {case: why for case, why in found.items() if why}
    assert found


@pytest.mark.parametrize("edge", EDGES)
def test_clients_go_on_when_proxy_and_server_go_and_come_back(edge, folder, kept):
    there, _ = here(PROGRAMS, kept)
    found = reconnecting(there, kept, folder, EDGES[edge])
    assert not {(name, case): why for name, each in found.items() for case, why in each.items() if why}
