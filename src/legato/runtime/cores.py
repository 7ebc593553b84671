"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

_PROCESS = Path("/proc/self/cgroup")
_HIERARCHY = Path("/sys/fs/cgroup")
#: Bytes of the smallest encoder that a second thread makes faster.
_SMALL_ENCODER = 64 << 20


def available_cores() -> int:
    """Return the number of cores that this process may use: its affinity, and the CPU quota of its control groups."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13, which also reads PYTHON_CPU_COUNT
        cores = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count()
    quota = quota_cores()
    return max(1, math.ceil(min(cores or 1, quota)))


def default_threads(folder: Path | None = None) -> int:
    """Return the default threads of an encoder: the cores that this process may use, at most 4.

    Args:
        folder: the folder of a model. For a small one the default is 1: its operators are shorter than the time that
            threads need to meet, and other streams can use the other cores.
    """
    if folder is not None and sum(file.stat().st_size for file in folder.glob("*encoder*")) < _SMALL_ENCODER:
        return 1
    return min(available_cores(), 4)


def quota_cores(process: Path = _PROCESS, hierarchy: Path = _HIERARCHY) -> float:
    """Return the cores that the CPU quota of Linux control groups allows; infinity where there is none.

    Args:
        process: the file that names the control groups of this process.
        hierarchy: where the control groups are mounted, version 1 or 2.
    """
    quotas = [math.inf]
    for line in lines_of(process):
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            quotas += [_quota(folder / "cpu.max") for folder in _ancestors(hierarchy, path)]
        elif "cpu" in controllers.split(","):
            for folder in _ancestors(hierarchy / "cpu", path):
                quotas.append(_quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
    return min(quotas)


def _ancestors(root: Path, path: str) -> list[Path]:
    """Return a control group's folder and those above it; inside a container only the root may be visible."""
    own = root / path.strip("/")
    return [own, *(parent for parent in own.parents if parent.is_relative_to(root))]


def _quota(*files: Path) -> float:
    """Return the quota in cores: `QUOTA PERIOD` in one file, or one number in each of two."""
    words = [word for file in files for line in lines_of(file) for word in line.split()]
    try:
        quota, period = map(float, words)
    except ValueError:  # no such file, or "max"
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def lines_of(file: Path) -> list[str]:
    """Return the lines of a file of the system; none where it has no such file."""
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
