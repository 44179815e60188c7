"""The demonstration's requests with the official stubs: good ones are answered as by the server alone, each
mistake is refused under its own reason.
"""

import subprocess
import sys

import pytest

from proxy.core.reasons import REASONS
from proxy.demo.requests import DEADLY, SAMPLES
from proxy.devserver.demo_models import MODELS
from tests.conftest import ROOT
from tests.e2e.conftest import wait_until_ready
from tests.proxy_process import running_proxy


@pytest.fixture(scope="module")
def server(tmp_path_factory, start_shared_dev_server):
    folder = tmp_path_factory.mktemp("demo") / "models"
    subprocess.run(
        [sys.executable, "-m", "proxy.devserver.demo_models", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return start_shared_dev_server(*(f"--model={name}={folder / name}" for name in MODELS))


@pytest.fixture(scope="module")
def clients(server, edge, connect):
    flags = [f"--model={name}" for name in MODELS]
    with running_proxy("--upstream", server.target, *flags, *edge) as proxy:
        wait_until_ready(proxy)
        yield connect(server.target), connect(proxy.target)


MISTAKES = [sample for sample in SAMPLES if sample.reason is not None]
OTHERS = [sample for sample in SAMPLES if sample.reason is None]


@pytest.mark.parametrize("sample", OTHERS, ids=[sample.title for sample in OTHERS])
def test_what_is_not_wrong_is_answered_as_by_the_server_alone(sample, clients):
    alone, proxied = (client.predict(sample.build()) for client in clients)
    assert alone.code == "OK", alone
    assert proxied.response == alone.response
    warned = [each.partition(":")[0] for each in proxied.warnings]
    assert warned == ([sample.warning.value] if sample.warning else [])


@pytest.mark.parametrize("sample", MISTAKES, ids=[sample.title for sample in MISTAKES])
def test_a_mistake_is_refused_with_its_reason(sample, clients, server):
    _, proxied = clients
    answer = proxied.predict(sample.build())
    assert answer.reason == sample.reason.value, answer
    assert answer.code == REASONS[sample.reason].code.name
    assert answer.text.isascii()
    assert "\n" not in answer.text
    # The one that would kill it included.
    assert server.process.poll() is None


def test_at_least_fifteen_mistakes_are_shown_and_one_of_them_is_deadly():
    assert len({sample.reason for sample in MISTAKES}) >= 12
    assert len(MISTAKES) >= 15
    assert DEADLY[0] in MISTAKES
    assert SAMPLES[-2:] == DEADLY
