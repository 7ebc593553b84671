"""Real speech: the CC0 voices Kathleen (English) and Kerstin (German), one speaker each.

    python -m training.small.real --data DATA --kathleen FOLDER --kerstin FOLDER

Writes the shards ``features/<language>-real-00`` (training), ``-real-dev-00`` (sentences kept out of
training by their hash, to watch the training with) and ``-real-test-00``, whose audio and texts as they are go
to ``real-test/`` with a manifest a language. The folders are clones of
rhasspy/dataset-voice-kathleen and rhasspy/dataset-voice-kerstin.
"""

import argparse
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.common.audio import SAMPLE_RATE, Audio, trim
from training.small.clips import ClipFolder
from training.small.languages import held_out, normalize
from training.small.shards import ShardWriter


@dataclass(frozen=True)
class Recording:
    """One recording; ``test`` recordings are never trained on."""

    path: Path
    language: str
    text: str
    test: bool


def kathleen(folder: Path) -> Iterator[Recording]:
    """Yield the recordings of Kathleen; the prompts arctic_a0400 to a0593 are the test part."""
    for path in sorted(folder.glob("data/*.wav")):
        prompt = re.fullmatch(r"arctic_([ab])(\d+)_\d+", path.stem)
        if prompt:
            test = prompt[1] == "a" and 400 <= int(prompt[2]) <= 593
            text = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
            yield Recording(path, "en", text, test)


def kerstin(folder: Path) -> Iterator[Recording]:
    """Yield the recordings of Kerstin; ids from 2103 on are the test part."""
    with (folder / "verified" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        for name, text, *_ in csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE):
            path = folder / "verified" / f"{name}.flac"
            if path.exists():
                yield Recording(path, "de", text, int(name.rpartition("-")[2]) >= 2103)


def part_of(text: str, test_texts: set[str | None]) -> str:
    """Return the part of a text: several recordings of one prompt, and sentences in two parts, go together."""
    if text in test_texts:
        return "real-test"
    return "real-dev" if held_out(text, one_of=40) else "real"


def load(path: Path) -> Audio:
    """Return the trimmed recording at 16 kHz and half of full scale."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    resampled = np.asarray(soxr.resample(audio.mean(axis=1), rate, SAMPLE_RATE), dtype=np.float32)
    return trim(resampled * np.float32(0.5 / (np.abs(resampled).max() + 1e-6)))


def main() -> None:
    """Write the shards of both speakers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kathleen", type=Path, required=True)
    parser.add_argument("--kerstin", type=Path, required=True)
    arguments = parser.parse_args()
    recordings = [*kathleen(arguments.kathleen), *kerstin(arguments.kerstin)]
    test_texts = {normalize(recording.text, recording.language) for recording in recordings if recording.test}
    for language in ("en", "de"):
        for part in ("real", "real-dev", "real-test"):
            path = arguments.data / "features" / f"{language}-{part}-00"
            if path.with_suffix(".json").exists():
                continue
            writer, voice = ShardWriter(language), "kathleen" if language == "en" else "kerstin"
            clips = ClipFolder(arguments.data / part, language) if part == "real-test" else None
            for recording in recordings:
                text = normalize(recording.text, recording.language)
                if recording.language == language and text is not None and part_of(text, test_texts) == part:
                    stored = writer.add(load(recording.path), text, voice)
                    if clips:
                        clips.add(stored, recording.text, f"rhasspy/dataset-voice-{voice} (CC0)")
            if clips:
                clips.write()
            writer.write(path)


if __name__ == "__main__":
    main()
