"""Memory that this process takes."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def rss() -> int | None:
    """Bytes of main memory in use now; None where the system does not say."""
    return _status("VmRSS")


def peak_rss() -> int | None:
    """Bytes of main memory in use at most since the start of this program; None where the system does not say.

    Linux is asked through /proc: `getrusage` counts what the process held before it became this program.
    """
    if (peak := _status("VmHWM")) is not None:
        return peak
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status(key: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)
