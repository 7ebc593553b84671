"""The journal of an evaluation: recognitions as they are made, so that a run can be continued and extended."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from legato.errors import EvaluationError
from legato.files import open_regular
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
        """Open the journal of a folder; with `restart` it is emptied first.

        Raises:
            EvaluationError: it cannot be opened, or is a link, a pipe or a device.
        """
        path = folder / FILE
        try:
            if restart:
                path.unlink(missing_ok=True)
            data = _read(path)
            self._file = open_regular(path, "ab")
            if not data.endswith(b"\n"):  # a line was being written when a run ended
                self._file.truncate(data.rfind(b"\n") + 1)
        except OSError as error:
            raise EvaluationError(
                f"{path}: cannot be used: {error.strerror}. Give --output another folder, or remove it."
            ) from None
        self._known = _recognitions(data)
        self.earlier = frozenset(self._known)

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
        rest = json.dumps({"key": key, **asdict(recognition)}, ensure_ascii=False).encode() + b"\n"
        while rest:  # a disk that becomes full takes a part, and refuses the next write
            rest = rest[self._file.write(rest) :]


def key_of(model: Model, threads: int, utterance: Utterance, job: Job) -> str:
    """Return a digest of everything that a recognition depends on."""
    parts: list[object] = [__version__, *runtime_versions([model.bundle.layout]).values(), os.cpu_count(), threads]
    parts += [model.sha256, utterance.sha256]
    parts += [job.offset, job.duration, job.language, job.chunk_ms]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> bytes:
    try:
        with open_regular(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _recognitions(data: bytes) -> dict[str, Recognition]:
    known = {}
    for entry in _entries(data):
        try:
            key = entry.pop("key")
            known[key] = Recognition.from_json(entry)
        except (KeyError, TypeError, ValueError):
            continue  # written by another version: the utterance is recognized again
    return known


def _entries(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry
