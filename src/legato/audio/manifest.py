"""Manifests: recordings listed as JSON lines, as NeMo writes them.

Each line is an object with these keys; others are kept in `Entry.fields`:

- `audio_filepath`: the audio file. A relative path starts at the manifest's folder.
- `text`: what is said. Optional here; callers that compare texts require it.
- `lang`, `language`, `source_lang` or `target_lang`: the language. The first key that has a value counts.
- `offset`, `duration`: seconds. With `offset`, only that part of the file is meant: up to its end, or `duration` long.
  Without `offset`, the whole file is meant, whatever `duration` says.

Lines end with a line feed; a carriage return before it is ignored. The other line separators of Unicode (U+0085,
U+2028, U+2029) may occur inside a JSON string. A byte order mark at the start and blank lines are ignored.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.errors import AudioError, LegatoError
from legato.files import read_regular

_MOST_BYTES = 10**9
_LANGUAGE_KEYS = ("lang", "language", "source_lang", "target_lang")


class ManifestError(LegatoError):
    """A manifest that cannot be read: a missing file, not UTF-8, or a broken line where every line is needed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording of a manifest.

    Attributes:
        line: number of its line, from 1.
        place: where it was read, for messages: `manifest.jsonl, line 3`.
        name: the audio file as the manifest writes it.
        audio: the audio file, relative paths resolved against the manifest's folder. It may not exist.
        text: what is said; None without a text.
        language: as the manifest writes it; None without a language.
        offset: seconds from the start of the file to the start of the recording; None for the whole file.
        duration: seconds; None up to the end of the file. Only meaningful with `offset`.
        fields: every key of the line.
    """

    line: int
    place: str
    name: str
    audio: Path
    text: str | None
    language: str | None
    offset: float | None
    duration: float | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that is not an entry.

    Attributes:
        place: where it was read: `manifest.jsonl, line 3`.
        reason: what is wrong with it and how to repair it.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def read_manifest(path: Path) -> list[Entry | BrokenLine]:
    """Read the lines of a manifest in order, broken ones included, without the blank ones.

    Raises:
        ManifestError: the file cannot be read as UTF-8 text.
    """
    try:
        text = read_regular(path, _MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(f"{path}: there is no such manifest. Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as UTF-8 text ({error}). Give a manifest of JSON lines.") from None
    # Not splitlines(): it would split strings at U+0085 and U+2028.
    lines = enumerate(text.split("\n"), 1)
    return [_parsed(path, number, line) for number, line in lines if line.strip()]


def read_entries(path: Path) -> list[Entry]:
    """Read a manifest of which every line is needed.

    Raises:
        ManifestError: the file cannot be read, has no line, or has a broken one; the first of them is named.
    """
    entries = []
    for entry in read_manifest(path):
        if isinstance(entry, BrokenLine):
            raise ManifestError(str(entry))
        entries.append(entry)
    if not entries:
        raise ManifestError(f"{path}: is empty. Name at least one recording.")
    return entries


def excerpt(
    samples: NDArray[np.float32], rate: int, offset: float | None, duration: float | None, name: object
) -> NDArray[np.float32]:
    """Return the part of a file that an entry means.

    Args:
        samples: the whole file, float32[n].
        rate: samples per second.
        offset, duration: of the entry, in seconds.
        name: of the file, for the message.

    Raises:
        AudioError: the file ends before `offset`.
    """
    if offset is None:
        return samples
    first = round(offset * rate)
    found = samples[first : None if duration is None else first + round(duration * rate)]
    if not len(found):
        raise AudioError(
            f"{name}: it has {len(samples) / rate:.2f} s; there is nothing at {offset:g} s. Correct the offset."
        )
    return found


def _parsed(path: Path, number: int, line: str) -> Entry | BrokenLine:
    place = f"{path}, line {number}"
    try:
        fields: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BrokenLine(place, f"not JSON ({error}). Write one JSON object per line.")
    if not isinstance(fields, dict):
        return BrokenLine(place, "not a JSON object. Write one JSON object per line.")
    name, text = fields.get("audio_filepath"), fields.get("text")
    if not isinstance(name, str) or not name:
        return BrokenLine(place, "has no audio_filepath. Add the path of the audio file.")
    offset, duration = fields.get("offset"), fields.get("duration")
    if not (_is_seconds(offset) and _is_seconds(duration)):
        return BrokenLine(place, "its offset or duration is not a number of seconds. Correct it, or leave it out.")
    language = next((fields[key] for key in _LANGUAGE_KEYS if fields.get(key)), None)
    return Entry(
        line=number,
        place=place,
        name=name,
        audio=path.parent / name,
        text=text if isinstance(text, str) else None,
        language=None if language is None else str(language),
        offset=None if offset is None else float(offset),
        duration=None if duration is None else float(duration),
        fields=fields,
    )


def _is_seconds(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
