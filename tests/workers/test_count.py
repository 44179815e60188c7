"""`auto` is what this process may use: affinity and quotas of both versions of control groups, rounded down."""

import os

import pytest

from proxy.config import Settings
from proxy.workers.count import count_of, cpus, quotas


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 8 CPUs; files are written below its root."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))

    def write(files: dict[str, str]):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_without_quotas_it_is_what_the_scheduler_allows(machine):
    assert cpus(machine({})) == 8
    assert cpus(machine({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"})) == 8


@pytest.mark.parametrize(
    ("quota", "workers"),
    [("150000 100000", 1), ("200000 100000", 2), ("50000 100000", 1), ("7000000 1000000", 7)],
)
def test_a_quota_is_rounded_down_to_one_at_least(machine, quota, workers):
    assert cpus(machine({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota})) == workers


def test_the_smallest_quota_of_all_ancestors_counts(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/kubepods/pod/container\n",
            "sys/fs/cgroup/kubepods/pod/container/cpu.max": "max 100000",
            "sys/fs/cgroup/kubepods/pod/cpu.max": "300000 100000",
            "sys/fs/cgroup/kubepods/cpu.max": "600000 100000",
        }
    )
    assert (sorted(quotas(root)), cpus(root)) == ([3.0, 6.0], 3)


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("group", ["docker/abc", ""])
def test_the_first_version_says_it_in_two_files_at_the_group_or_at_the_mount(machine, mount, group):
    folder = f"sys/fs/cgroup/{mount}/{group}"
    root = machine(
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n",
            f"{folder}/cpu.cfs_quota_us": "250000\n",
            f"{folder}/cpu.cfs_period_us": "100000\n",
        }
    )
    assert cpus(root) == 2


@pytest.mark.parametrize("text", ["", "nonsense", "-1 100000 3", "100000 0", "x 100000"])
def test_what_cannot_be_read_sets_no_bound(machine, text):
    root = machine(
        {
            "proc/self/cgroup": "0::/../../elsewhere\nhalf a line\n4:cpu:/\n",
            "sys/fs/cgroup/cpu.max": text,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        }
    )
    assert cpus(root) == 8


def test_a_number_is_taken_as_it_is_and_auto_leaves_nobody_without_a_part(machine):
    root = machine({})
    assert count_of(Settings(workers=3), root) == 3
    assert count_of(Settings(workers="auto"), root) == 8
    assert count_of(Settings(workers="auto", max_connections=5), root) == 5
    assert count_of(Settings(workers="auto", max_connections=0), root) == 1
