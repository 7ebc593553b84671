"""Test clips as files: FLAC and a NeMo manifest for each language, for `legato evaluate`."""

import json
from pathlib import Path
from typing import Any

import soundfile

from legato.audio.manifest import read_entries
from training.common.audio import SAMPLE_RATE, Audio
from training.small.languages import TAGS


def read_clips(folder: Path, language: str) -> list[dict[str, Any]]:
    """Return the entries of a language's manifest, in the order in which the clips were added."""
    return [dict(entry.fields) for entry in read_entries(folder / f"{language}.jsonl")]


class ClipFolder:
    """Writes ``<language>-NNN.flac`` into a folder, and ``<language>.jsonl`` about them."""

    def __init__(self, folder: Path, language: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._language = language
        self._lines: list[str] = []

    def add(self, audio: Audio, text: str, source: str) -> None:
        """Write one clip."""
        name = f"{self._language}-{len(self._lines):03d}.flac"
        soundfile.write(self._folder / name, audio, SAMPLE_RATE)
        entry = {"audio_filepath": name, "duration": len(audio) / SAMPLE_RATE, "text": text}
        entry |= {"lang": TAGS[self._language], "source": source}
        self._lines.append(json.dumps(entry, ensure_ascii=False) + "\n")

    def write(self) -> None:
        """Write the manifest."""
        (self._folder / f"{self._language}.jsonl").write_text("".join(self._lines), encoding="utf-8")
