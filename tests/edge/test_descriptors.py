"""Connections are as many as descriptors allow, and never so many that nothing else can be opened."""

import os
import resource

import pytest

from proxy.edge import descriptors
from proxy.edge.descriptors import MOST_CONNECTIONS, connections_allowed, raise_limit


@pytest.fixture
def limited(monkeypatch):
    def limited(soft):
        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))

    return limited


def test_what_is_configured_holds(limited):
    limited(64)
    assert connections_allowed(5000) == 5000


def test_many_descriptors_are_not_all_for_clients(limited):
    limited(1 << 20)
    assert connections_allowed(-1) == MOST_CONNECTIONS
    limited(resource.RLIM_INFINITY)
    assert connections_allowed(-1) == MOST_CONNECTIONS


@pytest.mark.parametrize("more", [100, 1000, 5000])
def test_what_is_open_and_a_reserve_are_left_out(limited, more):
    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the same way
    soft = used + more
    limited(soft)
    assert connections_allowed(-1) == pytest.approx(more - min(256, soft // 4), abs=2)


def test_there_are_always_some(limited):
    limited(1)
    assert connections_allowed(-1) == 4


def test_where_the_system_does_not_tell_a_number_is_assumed(limited, monkeypatch):
    monkeypatch.setattr(os, "listdir", lambda _: (_ for _ in ()).throw(FileNotFoundError))
    limited(1000)
    assert connections_allowed(-1) == 1000 - 250 - descriptors._IN_USE


def test_the_soft_limit_becomes_the_hard_one():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    try:
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
