"""What a target names, and how it is shown."""

import pytest

from proxy.upstream.endpoints import Endpoint, endpoints


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("localhost:8500", [Endpoint("localhost", 8500)]),
        ("[::1]:8500", [Endpoint("::1", 8500)]),
        ("dns:///tfs:8500", [Endpoint("tfs", 8500)]),
        ("dns://1.1.1.1/tfs:8500", [Endpoint("tfs", 8500)]),
        ("dns:tfs:8500", [Endpoint("tfs", 8500)]),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", [Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2)]),
        ("unix:/run/tfs.sock", [Endpoint(path="/run/tfs.sock")]),
        ("unix:///run/tfs.sock", [Endpoint(path="/run/tfs.sock")]),
        ("unix-abstract:tfs", [Endpoint(path="\0tfs")]),
    ],
)
def test_a_target_names_places(target, expected):
    assert list(endpoints(target)) == expected


@pytest.mark.parametrize("shown", ["tfs:8500", "[::1]:8500", "unix:/run/tfs.sock", "unix-abstract:tfs"])
def test_a_place_is_shown_as_it_is_written(shown):
    assert str(endpoints(shown)[0]) == shown
