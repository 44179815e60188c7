"""The native edge keeps HTTP/2 as h2spec reads it, strictly. The other edge is gRPC's core: `make trust` counts it."""

import pytest

from tests.clients.h2spec import MISSING, asked, h2spec, listening, tls
from tests.proxy_process import EDGES


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_every_strict_case_passes(secured, tmp_path):
    program = h2spec()
    if program is None:
        pytest.skip(MISSING)
    flags, how = (tls(tmp_path), ("-t", "-k")) if secured else ((), ())
    with listening(EDGES["native"], *flags) as address:
        counted = asked(program, address, *how)
    assert not counted.failed
    assert counted.passed > 100
