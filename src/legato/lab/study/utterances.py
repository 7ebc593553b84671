"""The recordings that a study is made on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from legato.audio.manifest import BrokenLine, Entry, ManifestError, excerpt, read_manifest
from legato.audio.source import SAMPLE_RATE, read_audio
from legato.errors import StudyError
from legato.model.languages import AUTO
from legato.types import Samples


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it.

    Attributes:
        line: its line in the manifest, from 1.
        audio: the audio file.
        text: what is said.
        language: locale or language code; `auto` where the manifest names none.
        offset, duration: the part of the file, in seconds; the whole file without an offset.
    """

    line: int
    audio: Path
    text: str
    language: str
    offset: float | None = None
    duration: float | None = None

    def read(self) -> Samples:
        """Read the audio: float32[n] at 16 kHz.

        Raises:
            AudioError: the file is not usable, or ends before `offset`.
        """
        return excerpt(read_audio(self.audio), SAMPLE_RATE, self.offset, self.duration, self.audio)


def read_utterances(manifest: Path) -> tuple[list[Utterance], list[str]]:
    """Read a manifest (see `legato.audio.manifest`).

    Returns:
        The utterances, and one sentence per line that cannot be used.

    Raises:
        StudyError: the file cannot be read.
    """
    try:
        entries = read_manifest(manifest)
    except ManifestError as error:
        raise StudyError(str(error)) from None
    utterances, problems = [], []
    for entry in entries:
        found = str(entry) if isinstance(entry, BrokenLine) else _utterance(entry)
        if isinstance(found, str):
            problems.append(found)
        else:
            utterances.append(found)
    return utterances, problems


def _utterance(entry: Entry) -> Utterance | str:
    """The utterance of an entry, or why it cannot be used."""
    if entry.text is None:
        return f"{entry.place}: has no text to compare with. Add the text that is said."
    if not entry.audio.is_file():
        return f"{entry.place}: there is no file {entry.audio}. Correct its audio_filepath."
    return Utterance(entry.line, entry.audio, entry.text, entry.language or AUTO, entry.offset, entry.duration)


def spread(utterances: Sequence[Utterance], limit: int | None) -> list[Utterance]:
    """Return at most `limit` utterances, evenly from the whole manifest, which may be sorted by language or speaker."""
    if limit is None or limit >= len(utterances):
        return list(utterances)
    return [utterances[number * len(utterances) // limit] for number in range(limit)]
