"""The cores that this process may use: affinity and the quota of control groups."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from legato.runtime.cores import available_cores, quota_cores


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/app", {"app/cpu.max": "150000 100000"}, 1.5),
        ("0::/app/job", {"app/cpu.max": "50000 100000", "app/job/cpu.max": "max 100000"}, 0.5),
        ("0::/", {"cpu.max": "max 100000"}, math.inf),
        ("0::/hidden/by/the/container", {"cpu.max": "300000 100000"}, 3),
        ("4:cpu,cpuacct:/app", {"cpu/app/cpu.cfs_quota_us": "200000", "cpu/app/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu,cpuacct:/app", {"cpu/app/cpu.cfs_quota_us": "-1", "cpu/app/cpu.cfs_period_us": "100000"}, math.inf),
        ("4:memory:/app", {"cpu/app/cpu.cfs_quota_us": "1", "cpu/app/cpu.cfs_period_us": "1"}, math.inf),
    ],
)
def test_the_quota_of_control_groups(group: str, files: dict[str, str], cores: float, tmp_path: Path) -> None:
    write(tmp_path / "cgroup", group + "\n")
    for name, text in files.items():
        write(tmp_path / "fs" / name, text + "\n")
    assert quota_cores(tmp_path / "cgroup", tmp_path / "fs") == cores


def test_without_control_groups(tmp_path: Path) -> None:
    assert quota_cores(tmp_path / "none", tmp_path) == math.inf


@pytest.mark.skipif(sys.platform != "linux", reason="sets the affinity of a process")
def test_the_affinity_counts() -> None:
    code = "import os; os.sched_setaffinity(0, {0}); from legato.runtime.cores import available_cores as f; print(f())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"1\n"
    assert available_cores() >= 1
