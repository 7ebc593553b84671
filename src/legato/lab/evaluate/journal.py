"""The journal of an evaluation: recognitions as they are made, so that a run can be continued and extended."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from legato.lab.evaluate.data import Utterance
from legato.lab.evaluate.models import Model
from legato.lab.evaluate.recognition import Job, Recognition
from legato.lab.machine import runtime_versions
from legato.version import __version__

#: Name of the file in the output folder.
FILE = "recognized.jsonl"


class Journal:
    """The recognitions of this run and of earlier ones, by key. Use it as a context manager.

    Attributes:
        earlier: the keys that earlier runs have written.
    """

    def __init__(self, folder: Path, *, restart: bool) -> None:
        """Open the journal of a folder; with `restart` it is emptied first."""
        path = folder / FILE
        if restart:
            path.unlink(missing_ok=True)
        self._known = _read(path)
        self.earlier = frozenset(self._known)
        self._file = path.open("a", encoding="utf-8", newline="\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, key: str) -> Recognition | None:
        """Return the recognition with this key, if there is one."""
        return self._known.get(key)

    def add(self, key: str, recognition: Recognition) -> None:
        """Append a recognition; it is in the file when this returns."""
        self._known[key] = recognition
        self._file.write(json.dumps({"key": key, **asdict(recognition)}, ensure_ascii=False) + "\n")
        self._file.flush()


def key_of(model: Model, threads: int, utterance: Utterance, job: Job) -> str:
    """Return a digest of everything that a recognition depends on."""
    parts: list[object] = [__version__, *runtime_versions([model.bundle.layout]).values(), os.cpu_count(), threads]
    parts += [model.sha256, utterance.sha256]
    parts += [job.offset, job.duration, job.language, job.chunk_ms]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, Recognition]:
    """Read the journal of earlier runs. A line that was being written when a run ended is cut off."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    known = {}
    for entry in _entries(data):
        try:
            key = entry.pop("key")
            known[key] = Recognition.from_json(entry)
        except (KeyError, TypeError, ValueError):
            continue  # written by another version: the utterance is recognized again
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
    return known


def _entries(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry
