"""Whether a model's files are what its records say: sizes and hashes."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from legato.errors import BundleError
from legato.files import sha256_of, write_text_atomically

DOWNLOAD_RECORD = "download.json"
"""File in a downloaded folder: repository, commit, and the size and hash of every file."""

REMEDY = "Download or convert the model again."


def cache_home() -> Path:
    """Return the folder for downloaded models and other data that can be made again.

    It is `LEGATO_HOME`, else `legato` in the user's cache folder.
    """
    if home := os.environ.get("LEGATO_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "legato"


def check_files(folder: Path, files: dict[str, Any]) -> None:
    """Compare a bundle's files with the sizes and SHA-256 in its configuration.

    Args:
        folder: the bundle.
        files: names, each with its `size` in bytes and its `sha256`.

    Raises:
        BundleError: a file is missing, cut off or altered.
    """
    verified = _Verified()
    for name, expected in files.items():
        file = folder / Path(name).name
        if not file.is_file():
            raise BundleError(f"{folder}: {name} is missing. {REMEDY}")
        size = file.stat().st_size
        if size != expected["size"]:
            raise BundleError(
                f"{file}: has {size} bytes instead of {expected['size']}: it was cut off or altered. {REMEDY}"
            )
        if verified.knows(file, expected["sha256"]):
            continue
        if sha256_of(file) != expected["sha256"]:
            raise BundleError(f"{file}: was altered (its SHA-256 differs). {REMEDY}")
        verified.remember(file, expected["sha256"])
    verified.save()


def altered_file(folder: Path) -> str | None:
    """Compare a downloaded folder with its record.

    Returns:
        The name of the first file that is missing or differs; None if all are right or the folder has no record.
    """
    try:
        files = json.loads((folder / DOWNLOAD_RECORD).read_text("utf-8"))["files"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        return DOWNLOAD_RECORD
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected["size"] or not has_hash(path, expected["hash"]):
            return str(name)
    return None


def has_hash(path: Path, expected: str) -> bool:
    """Return whether a file has a SHA-256 or a git blob's SHA-1; True for hashes of other kinds, which are unknown."""
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        return sha256_of(path) == expected
    if re.fullmatch(r"[0-9a-f]{40}", expected):
        blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: blob).hexdigest() == expected
    return True


class _Verified:
    """Remembers which large files had the right SHA-256, so that they are not hashed at every start.

    A file counts as verified while its size, times of change and inode stay the same. Without a writable cache folder
    nothing is remembered, and every start hashes all files.
    """

    _SMALL = 1 << 20

    def __init__(self) -> None:
        self._file = cache_home() / "verified.json"
        self._changed = False
        try:
            loaded = json.loads(self._file.read_text("utf-8"))
            self._known: dict[str, str] = loaded if isinstance(loaded, dict) else {}
        except (OSError, ValueError):
            self._known = {}

    @staticmethod
    def _stamp(file: Path, sha256: str) -> str:
        stat = file.stat()
        return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {sha256}"

    def knows(self, file: Path, sha256: str) -> bool:
        return self._known.get(str(file.resolve())) == self._stamp(file, sha256)

    def remember(self, file: Path, sha256: str) -> None:
        if file.stat().st_size > self._SMALL:
            self._known[str(file.resolve())] = self._stamp(file, sha256)
            self._changed = True

    def save(self) -> None:
        if not self._changed:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomically(self._file, json.dumps(self._known))
        except OSError:
            pass
