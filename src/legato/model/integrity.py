"""Whether a model's files are what its records say: sizes and hashes."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from legato.errors import BundleError
from legato.files import sha256_of, write_text_atomically
from legato.model.calibration import CALIBRATION
from legato.model.fields import FieldError, Fields, read_json

DOWNLOAD_RECORD = "download.json"
"""File in a downloaded folder: repository, commit, and the size and hash of every file."""

CARD = "README.md"
"""The model card. It is no part of the model, and its owner may edit it."""

REMEDY = "Download or convert the model again."
CORRECTION = "Correct the file, or choose another model."

_MOST_FILES = 1000
_LARGEST = 1 << 50
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded of a file.

    Attributes:
        size: in bytes.
        hash: SHA-256, or for a download a git blob's SHA-1 or another kind of hash, in hexadecimal digits.
    """

    size: int
    hash: str


def recorded_files(files: Fields, key: str = "sha256") -> dict[str, Recorded]:
    """Read what is recorded of files: by name, its `size` and its hash under `key`.

    Raises:
        FieldError: an entry is not as expected.
    """
    entries = {name: Fields(value, f"{files.place}: {name}") for name, value in files.items(_MOST_FILES)}
    return {
        Path(name).name: Recorded(entry.integer("size", 0, _LARGEST), entry.text(key, 200))
        for name, entry in entries.items()
    }


def cache_home() -> Path:
    """Return the folder for downloaded models and other data that can be made again.

    It is `LEGATO_HOME`, else `legato` in the user's cache folder.
    """
    if home := os.environ.get("LEGATO_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "legato"


def check_files(folder: Path, files: dict[str, Recorded]) -> None:
    """Compare a bundle's files with the sizes and SHA-256 in its configuration.

    Args:
        files: what is recorded of them, by name.

    Raises:
        BundleError: a file is missing, cut off or altered.
    """
    known = KnownHashes()
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise BundleError(f"{folder}: {name} is missing. {REMEDY}")
        size = file.stat().st_size
        if size != expected.size:
            raise BundleError(
                f"{file}: has {size} bytes instead of {expected.size}: it was cut off or altered. {REMEDY}"
            )
        if known.sha256(file) != expected.hash:
            raise BundleError(f"{file}: was altered (its SHA-256 differs). {REMEDY}")
    known.save()


def altered_file(folder: Path) -> str | None:
    """Compare a downloaded folder with its record.

    Returns:
        The name of the first file that is missing or differs; None if all are right or the folder has no record.
    """
    record = folder / DOWNLOAD_RECORD
    try:
        files = Fields(read_json(record, _MOST_BYTES), str(record)).section("files")
        recorded = recorded_files(files, "hash")
    except FileNotFoundError:
        return None
    except FieldError:
        return DOWNLOAD_RECORD
    for name, expected in recorded.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected.size or not has_hash(path, expected.hash):
            return name
    return None


def model_files(folder: Path) -> list[Path]:
    """Return the sorted files that determine what a model recognizes."""
    others = {CALIBRATION, CARD, DOWNLOAD_RECORD}
    files = (file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted(file for file in files if file.name not in others)


def fingerprint(folder: Path, hashes: Mapping[str, str]) -> str:
    """Return the SHA-256 over names and contents of `model_files`.

    Args:
        hashes: those that are known and were checked, by the name of a file.
    """
    digest = hashlib.sha256()
    for file in model_files(folder):
        digest.update(f"{file.name} {hashes.get(file.name) or sha256_of(file)}\n".encode())
    return digest.hexdigest()


def has_hash(path: Path, expected: str) -> bool:
    """Return whether a file has a SHA-256 or a git blob's SHA-1; True for hashes of other kinds, which are unknown."""
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        return sha256_of(path) == expected
    if re.fullmatch(r"[0-9a-f]{40}", expected):
        blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: blob).hexdigest() == expected
    return True


class KnownHashes:
    """Remembers the SHA-256 of large files, so that they are not read at every start.

    It holds while the file's size, times of change and inode stay the same. Without a writable cache folder nothing is
    remembered, and every start reads all files.
    """

    _SMALL = 1 << 20

    def __init__(self) -> None:
        self._file = cache_home() / "verified.json"
        self._changed = False
        try:
            loaded = read_json(self._file, _MOST_BYTES)
            self._known: dict[str, object] = loaded if isinstance(loaded, dict) else {}
        except (FileNotFoundError, FieldError):
            self._known = {}

    def sha256(self, file: Path) -> str:
        """Return the SHA-256 of a file as 64 hexadecimal digits; OSError if it cannot be read."""
        stat = file.stat()
        stamp = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} "
        name = str(file.resolve())
        known = self._known.get(name)
        if isinstance(known, str) and known.startswith(stamp):
            return known.removeprefix(stamp)
        sha256 = sha256_of(file)
        if stat.st_size > self._SMALL:
            self._known[name] = stamp + sha256
            self._changed = True
        return sha256

    def save(self) -> None:
        """Write what was learned, for the next process; files that no longer exist are forgotten."""
        if not self._changed:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomically(self._file, json.dumps({k: v for k, v in self._known.items() if Path(k).exists()}))
        except OSError:
            pass
