"""What was done already: a file in the folder of the results says from which audio, with which options, each came.

A line is noted before its result gets its name. So whatever ends the process, and whenever, a result that counts as
done is complete, is the one that was asked for, and was written by Legato.
"""

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from legato.audio.source import is_url
from legato.cli.writing import cannot_write

NAME = ".legato-results.jsonl"


class Standing(Enum):
    """How a place for a result stands."""

    EMPTY = "there is nothing"
    DONE = "there is the result that is asked for, be it edited since"
    OLD = "there is a result of this audio as it was before, or with other options"
    TAKEN = "there is something that Legato did not write, or that was edited since, or that is from other audio"


@dataclass(frozen=True, slots=True)
class Source:
    """What a result is made from.

    Attributes:
        audio: the audio's path, or address.
        size, changed: of its file, bytes and nanoseconds; 0 for an address.
        options: a hash of all that decides what the result says.
    """

    audio: str
    size: int
    changed: int
    options: str

    def makes_the_same(self, other: "Source") -> bool:
        """Whether the results are the same; the audio may have been moved in the meantime."""
        moved = self.size and (self.size, self.changed) == (other.size, other.changed)
        return self.options == other.options and (self == other or bool(moved))


class Ledger:
    """The lines of one folder of results. Threads may share it; what another process notes meanwhile is not seen."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._newest: dict[str, Source] = {}
        self._written: dict[str, list[str]] = {}  # name of a result -> hashes of what Legato wrote there, newest last
        for line in self._lines():
            try:
                entry = json.loads(line)
                source = Source(*(entry[key] for key in ("audio", "size", "changed", "options")))
                name, content = str(entry["result"]), str(entry["content"])
            except (ValueError, TypeError, KeyError):  # cut off by a full disk or a power cut
                continue
            self._newest[name] = source
            self._written.setdefault(name, []).append(content)

    def standing(self, target: Path, source: Source) -> Standing:
        """Tell what is at the place of a result."""
        try:
            content = _hash(target.read_bytes())
        except FileNotFoundError:
            return Standing.EMPTY
        except OSError:
            return Standing.TAKEN
        before, written = self._newest.get(target.name), self._written.get(target.name, [])
        if before is None:
            return Standing.TAKEN
        if source.makes_the_same(before):
            # An older text of ours: the process ended before the newest one got its name.
            return Standing.OLD if content in written[:-1] and content != written[-1] else Standing.DONE
        return Standing.OLD if content in written and source.audio == before.audio else Standing.TAKEN

    def note(self, target: Path, source: Source, data: bytes) -> None:
        """Note what is about to be written.

        Raises:
            OutputError: it cannot be written.
        """
        entry: dict[str, Any] = {"result": target.name, "content": _hash(data), **asdict(source)}
        # The line end comes first: a line before that was cut off must not swallow this one.
        line = b"\n" + json.dumps(entry).encode()
        try:
            with self._lock, self._path.open("ab", buffering=0) as file:
                if file.write(line) < len(line):
                    file.write(line)  # tells why there is no room
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().split(b"\n")
        except OSError:  # none yet; or one that cannot be read, and then nothing counts as done
            return []


def source_of(name: str, options: str) -> Source:
    """Look at audio now; that it cannot be read is told when it is opened."""
    if is_url(name):
        return Source(name, 0, 0, options)
    try:
        status = Path(name).stat()
    except OSError:
        return Source(os.path.realpath(name), 0, 0, options)
    return Source(os.path.realpath(name), status.st_size, status.st_mtime_ns, options)


def hash_of(options: dict[str, Any]) -> str:
    """Shorten options to what can be compared."""
    return _hash(json.dumps(options, sort_keys=True, default=repr).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
