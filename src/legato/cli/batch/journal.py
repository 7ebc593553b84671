"""The journal of a folder of results: from which audio and with which options each result came.

A line is written before its result gets its name. Whatever ends the process, and whenever: a result that counts as
done is complete, is the one that was asked for, and was written by Legato.
"""

import errno
import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from legato.audio.addresses import is_url
from legato.cli.console import cannot_write
from legato.files import open_regular

NAME = ".legato-results.jsonl"


class Standing(Enum):
    """What is at the path of a result."""

    EMPTY = "nothing"
    DONE = "the result that is asked for, perhaps edited"
    PARTIAL = "the result that is asked for, of audio that could be read only in part"
    OLD = "a result of an earlier version of this audio, or with other options"
    TAKEN = "a file that Legato did not write, that was edited, or that is from other audio"


@dataclass(frozen=True, slots=True)
class Source:
    """What a result is made from.

    Attributes:
        audio: path or address of the audio.
        size: size of the file in bytes; 0 for an address.
        changed: time of the file's last change in nanoseconds; 0 for an address.
        options: hash of everything that decides the content of the result.
    """

    audio: str
    size: int
    changed: int
    options: str

    def makes_the_same(self, other: "Source") -> bool:
        """Whether both give the same result; the audio may have been moved in the meantime."""
        moved = self.size and (self.size, self.changed) == (other.size, other.changed)
        return self.options == other.options and (self == other or bool(moved))


class Journal:
    """The journal of one folder. Threads may share it; lines that other processes write meanwhile are not seen."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._newest: dict[str, Source] = {}
        self._written: dict[str, list[str]] = {}  # name of a result -> hashes of its versions, the newest last
        self._partial: set[str] = set()  # names of results whose audio could be read only in part
        for line in self._lines():
            try:
                entry = json.loads(line)
                source = Source(*(entry[key] for key in ("audio", "size", "changed", "options")))
                name, content = str(entry["result"]), str(entry["content"])
            except (ValueError, TypeError, KeyError, RecursionError):
                continue  # cut off by a full disk or a power cut, or not ours
            self._newest[name] = source
            (self._partial.add if entry.get("partial") else self._partial.discard)(name)
            self._written.setdefault(name, []).append(content)

    def standing(self, target: Path, source: Source) -> Standing:
        """Return what is at the path of a result."""
        try:
            with open_regular(target, "rb") as file:
                content = _hash(file.read())
        except FileNotFoundError:
            return Standing.EMPTY
        except OSError as error:  # nothing can have a name that is too long
            return Standing.EMPTY if error.errno == errno.ENAMETOOLONG else Standing.TAKEN
        before, written = self._newest.get(target.name), self._written.get(target.name, [])
        if before is None:
            return Standing.TAKEN
        if source.makes_the_same(before):
            if content in written[:-1] and content != written[-1]:
                return Standing.OLD  # of an earlier line: the process ended before the newest result got its name
            return Standing.PARTIAL if target.name in self._partial else Standing.DONE
        return Standing.OLD if content in written and source.audio == before.audio else Standing.TAKEN

    def wrote(self, name: str) -> bool:
        """Return whether Legato has written a result of this name."""
        return name in self._written

    def note(self, target: Path, source: Source, data: bytes, *, partial: bool = False) -> None:
        """Write a line for a result that is about to get its name.

        Args:
            partial: whether only a part of the audio could be read.

        Raises:
            OutputError: it cannot be written.
        """
        entry: dict[str, Any] = {"result": target.name, "content": _hash(data), **asdict(source)}
        if partial:
            entry["partial"] = True
        # The line end comes first, so that a line that was cut off does not swallow this one.
        line = b"\n" + json.dumps(entry).encode()
        try:
            with self._lock, open_regular(self._path, "ab") as file:
                if file.write(line) < len(line):
                    file.write(line)  # raises the error that tells why there is no room
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def _lines(self) -> list[bytes]:
        try:
            with open_regular(self._path, "rb") as file:
                return file.read().split(b"\n")
        except OSError:  # there is none yet; if it cannot be read, nothing counts as done
            return []


def source_of(name: str, options: str) -> Source:
    """Return the state of audio now. A file that cannot be read is reported when it is opened."""
    if is_url(name):
        return Source(name, 0, 0, options)
    try:
        status = Path(name).stat()
    except OSError:
        return Source(os.path.realpath(name), 0, 0, options)
    return Source(os.path.realpath(name), status.st_size, status.st_mtime_ns, options)


def hash_of(options: dict[str, Any]) -> str:
    """Shorten options to a hash."""
    return _hash(json.dumps(options, sort_keys=True, default=repr).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
