"""The machine that figures are measured on: its processor, the memory of this process, the load of other programs."""

import os
import platform
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from legato.runtime.cores import lines_of

_CPUINFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")
_STAT = Path("/proc/stat")


def cpu_name() -> str:
    """Return the name of the processor as the system reports it; the architecture if it reports none."""
    name = next((line.split(":", 1)[1].strip() for line in lines_of(_CPUINFO) if line.startswith("model name")), "")
    return name or platform.processor() or platform.machine()


def runtime_versions(layouts: Iterable[str]) -> dict[str, str]:
    """Return the versions of the libraries that run bundles of these layouts, by their names on PyPI."""
    names = ["onnxruntime", *(["ai-edge-litert"] if "litert" in layouts else [])]
    return {name: version(name) for name in names}


def rss() -> int | None:
    """Return the resident memory of this process in bytes; None where the system does not report it."""
    return _status("VmRSS")


def peak_rss() -> int | None:
    """Return the largest resident memory since the start of this program in bytes; None where it is not reported.

    On Linux this reads /proc: `getrusage` includes what the process held before it executed this program.
    """
    if (peak := _status("VmHWM")) is not None:
        return peak
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def peak_rss_mb() -> float | None:
    """Return `peak_rss` in units of 10**6 bytes, rounded to one decimal."""
    peak = peak_rss()
    return None if peak is None else round(peak / 1e6, 1)


class OtherPrograms:
    """The processor time that other programs use while this process measures something."""

    def __init__(self) -> None:
        self._busy = _busy_seconds()
        self._own = time.process_time()
        self._started = time.perf_counter()

    def cores(self) -> float | None:
        """Return the number of cores that others have used on average since the start; None where it is not reported.

        It includes the children of this process and the time that the host gave to other guests.
        """
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (time.process_time() - self._own)
        return round(max(0.0, others) / (time.perf_counter() - self._started), 2)


def _busy_seconds() -> float | None:
    lines = lines_of(_STAT)
    if not lines or sys.platform == "win32":
        return None
    user, nice, system, _, _, *interrupts = map(int, lines[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _status(key: str) -> int | None:
    return next((int(line.split()[1]) * 1024 for line in lines_of(_STATUS) if line.startswith(f"{key}:")), None)
