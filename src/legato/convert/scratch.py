"""Temporary folders that do not outlive their process for long: what a killed process leaves, the next one removes."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = ".lock"
#: A folder this young may belong to a process that has not locked it yet.
_YOUNG_SECONDS = 60


class ScratchFolder:
    """A new temporary folder, locked until it is removed."""

    def __init__(self, prefix: str) -> None:
        """Create it, after removing abandoned folders with the same prefix.

        Args:
            prefix: start of its name.

        Raises:
            OSError: the temporary folder of the system is not writable.
        """
        _remove_abandoned(Path(tempfile.gettempdir()), prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._lock = FileLock(self.path / _LOCK)
        self._lock.acquire(timeout=0)

    def remove(self) -> None:
        """Remove the folder and everything in it. A second call does nothing."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        try:
            status = folder.lstat()
            mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
            if folder.is_symlink() or not folder.is_dir() or not mine or time.time() - status.st_mtime < _YOUNG_SECONDS:
                continue
            with FileLock(folder / _LOCK).acquire(timeout=0):
                pass
            shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):
            continue
