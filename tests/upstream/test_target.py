"""Targets as people write them."""

import pytest

from proxy.upstream.target import parse_target


@pytest.mark.parametrize(
    "target",
    [
        "localhost:8500",
        "tfs.models.svc.cluster.local:8500",
        "127.0.0.1:8500",
        "[::1]:8500",
        "dns:///tfs:8500",
        "dns://10.0.0.2/tfs:8500",
        "dns:tfs:8500",
        "ipv4:10.0.0.1:8500,10.0.0.2:8500",
        "ipv6:[2001:db8::1]:8500",
        "unix:/run/tfs.sock",
        "unix:///run/tfs.sock",
        "unix-abstract:tfs",
    ],
)
def test_a_target_that_grpc_can_reach_is_taken_as_written(target):
    assert parse_target(f" {target}\n") == target


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://localhost:8500", "must not have a scheme such as 'http://': write 'localhost:8500'"),
        ("https://tfs:8500/v1/models", "write 'tfs:8500'"),
        ("grpc://tfs:8500", "scheme such as 'grpc://'"),
        ("http://", "write 'localhost:8500'"),
        ("localhost", "has no port, TF Serving's gRPC port is 8500 by default: 'localhost:8500'"),
        ("localhost:8501/v1/models", "without a path"),
        ("::1:8500", "stands in brackets"),
        ("localhost:0", "port 0, expected 1 to 65535"),
        ("localhost:70000", "port 70000"),
        ("localhost:port", "is not HOST:PORT"),
        ("", "is not HOST:PORT"),
        ("a b:8500", "is not HOST:PORT"),
        ("dns:///tfs", "has no port"),
        ("unix:", "names no socket"),
    ],
)
def test_a_target_that_cannot_work_is_refused_with_what_to_write(target, says):
    with pytest.raises(ValueError) as caught:
        parse_target(target)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        *("http://user:secret@tfs:8500", "user:secret@tfs:8500", "dns:///user:secret@tfs:8500"),
        *("dns://user:se/secret@ns/tfs:8500", "user:secret@tfs://x:1", "ipv4:user:secret@1.2.3.4:1"),
        *("dns://user:secret@ns/tfs", "dns://user:secret@ns/http://tfs:8500"),
    ],
)
def test_credentials_in_a_target_are_refused_and_not_repeated(target):
    with pytest.raises(ValueError) as caught:
        parse_target(target)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("dns://user:secret@8.8.8.8/tfs:8500", "dns://***@8.8.8.8/tfs:8500"),
        ("dns://user:secret@x@8.8.8.8:53/tfs:8500", "dns://***@8.8.8.8:53/tfs:8500"),
        (" dns://secret@/tfs:8500", "dns://***@/tfs:8500"),
        ("unix://user:secret@/run/tfs.sock", "unix://***@/run/tfs.sock"),
        ("dns://8.8.8.8/tfs:8500", "dns://8.8.8.8/tfs:8500"),
        ("unix:///run/a@b.sock", "unix:///run/a@b.sock"),
    ],
)
def test_credentials_that_grpc_has_no_use_for_are_forgotten(target, kept):
    assert parse_target(target) == kept
    assert parse_target(kept) == kept
