"""What a process may take of a machine, as control groups of both versions say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from encdec_batch.process import usable_bytes, usable_cpus

CORES = len(os.sched_getaffinity(0))
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
GIB = 2**30


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    for path, text in {"proc/self/cgroup": groups, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def v1(quota: int, period: int = 100_000, folder: str = "cpu") -> dict[str, str]:
    place = f"sys/fs/cgroup/{folder}"
    return {f"{place}/cpu.cfs_quota_us": f"{quota}\n", f"{place}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("", {}, CORES),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, CORES),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": f"{CORES * 100_000 - 50_000} 100000\n"}, CORES),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": f"{CORES * 900_000} 100000\n"}, CORES),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "50000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 1),
        ("0::/../other\n", {"sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
        ("4:cpu,cpuacct:/docker/x\n0::/\n", v1(100_000), 1),
        ("4:cpu,cpuacct:/docker/x\n", v1(-1) | v1(50_000, folder="cpu/docker"), 1),
        ("4:cpu,cpuacct:/\n", v1(-1), CORES),
        ("4:cpuset:/\n", v1(100_000), CORES),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "nonsense"}, CORES),
    ],
)
def test_no_more_cpus_than_the_quota(tmp_path, groups, files, cpus):
    assert usable_cpus(machine(tmp_path, groups, files)) == cpus


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, MEMORY),
        ("0::/\n", {"sys/fs/cgroup/memory.max": f"{GIB}\n"}, GIB),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/memory.max": "max", "sys/fs/cgroup/a/memory.max": f"{GIB}"}, GIB),
        ("9:memory:/x\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
        ("9:memory:/x\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, MEMORY),
    ],
)
def test_no_more_memory_than_the_limit(tmp_path, groups, files, limit):
    assert usable_bytes(machine(tmp_path, groups, files)) == limit


def test_a_machine_without_control_groups(tmp_path):
    assert usable_cpus(tmp_path) == CORES
    assert usable_bytes(tmp_path) == MEMORY
