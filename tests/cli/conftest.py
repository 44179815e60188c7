"""Commands run in this process, as `tfs-proxy …` from a pipe."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main


@pytest.fixture
def run(monkeypatch) -> Callable[..., Result]:
    """Run a command line: `run("models", "--model", "m")`; `stdin` are bytes."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def invoke(*arguments: object, stdin: bytes = b"") -> Result:
        result = CliRunner().invoke(main, [str(each) for each in arguments], input=stdin)
        # Whatever is wrong is said in a sentence: no traceback ever reaches a user.
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens: bound and never listening, so that nobody else can take it."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
