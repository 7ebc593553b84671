"""The machine that figures are measured on: its processor, and the memory of this process."""

import platform
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")


def cpu_name() -> str:
    """Return the name of the processor as the system reports it; the architecture if it reports none."""
    name = next((line.split(":", 1)[1].strip() for line in _lines(_CPUINFO) if line.startswith("model name")), "")
    return name or platform.processor() or platform.machine()


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


def _status(key: str) -> int | None:
    return next((int(line.split()[1]) * 1024 for line in _lines(_STATUS) if line.startswith(f"{key}:")), None)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
