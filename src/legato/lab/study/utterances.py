"""The recordings that a study is made on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legato.errors import StudyError
from legato.model.languages import AUTO


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it.

    Attributes:
        line: its line in the manifest, from 1.
        audio: the audio file.
        text: what is said.
        language: locale or language code, `auto` where the manifest names none.
    """

    line: int
    audio: Path
    text: str
    language: str


def read_manifest(manifest: Path) -> tuple[list[Utterance], list[str]]:
    """Read a NeMo manifest: a JSON object a line with `audio_filepath`, `text` and, if known, `lang`.

    Relative paths start at the manifest's folder.

    Returns:
        The utterances, and a sentence for every line that is none.

    Raises:
        StudyError: the file cannot be read.
    """
    try:
        lines = manifest.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{manifest}: the manifest cannot be read ({error}).") from error
    utterances, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _utterance(manifest.parent, number, line)
        if isinstance(found, str):
            problems.append(f"{manifest}, line {number}: {found}")
        else:
            utterances.append(found)
    return utterances, problems


def _utterance(folder: Path, number: int, line: str) -> Utterance | str:
    """The utterance of a line, or why it is none."""
    try:
        entry: Any = json.loads(line)
    except ValueError as error:
        return f"not JSON ({error})."
    if not isinstance(entry, dict):
        return "not a JSON object."
    path, text = entry.get("audio_filepath"), entry.get("text")
    if not isinstance(path, str) or not path:
        return "has no audio_filepath."
    if not isinstance(text, str):
        return "has no text to compare with."
    audio = folder / path
    if not audio.is_file():
        return f"there is no file {audio}."
    return Utterance(number, audio, text, str(entry.get("lang") or AUTO))


def spread(utterances: Sequence[Utterance], limit: int | None) -> list[Utterance]:
    """At most `limit` utterances, taken evenly from the whole manifest, which may be sorted by language or speaker."""
    if limit is None or limit >= len(utterances):
        return list(utterances)
    return [utterances[number * len(utterances) // limit] for number in range(limit)]
