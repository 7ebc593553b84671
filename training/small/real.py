"""Real speech: Kathleen (English) and Kerstin (German), spoken digits, and speakers who are only tested with.

    python -m training.small.real --data DATA --kathleen FOLDER --kerstin FOLDER [--digits FOLDER] [--asterisk FOLDER]

Writes the shards ``features/<language>-real-00`` (training), ``-real-dev-00`` (sentences kept out of
training by their hash, to watch the training with) and ``-real-test-00``, whose audio and texts as they are go
to ``real-test/`` with a manifest a language. The folders are clones of rhasspy/dataset-voice-kathleen and
rhasspy/dataset-voice-kerstin (CC0).

``--digits``: the recordings of Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0), joined to phrases of one speaker
each, ``features/en-numbers-90``; one speaker is left out. ``--asterisk``: where the Debian packages
``asterisk-core-sounds-<language>`` and ``asterisk-core-sounds-<language>-g722`` are unpacked (CC BY-SA 3.0); three
speakers, none of whom is ever trained on: ``unheard/`` and the shards ``features/<language>-unheard-00``.
"""

import argparse
import csv
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from training.common.audio import SAMPLE_RATE, Audio, trim
from training.numbers.words import core_words
from training.small.clips import ClipFolder
from training.small.languages import held_out, normalize, write
from training.small.parts import excluded_texts
from training.small.shards import ShardWriter

ASTERISK_VOICES = {"en": "en_US_f_Allison", "fr": "fr_CA_f_June", "es": "es_MX_f_Allison", "it": "it_IT_m_Carlo"}
#: The speaker of the digits who is never trained on.
TEST_SPEAKER = "theo"
DIGIT_PHRASES = 1500
#: Seconds of a prompt: single words are left out, and so are the long explanations.
PROMPT_SECONDS = (1.2, 10.0)
#: The parts that are also kept as audio.
CLIP_PARTS = ("real-test", "unheard")


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


def asterisk(folder: Path) -> Iterator[Recording]:
    """Yield the prompts that are whole sentences: the texts say ``[...]`` for sounds and ``...`` for parts."""
    for language, voice in ASTERISK_VOICES.items():
        texts = folder / f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt"
        for line in texts.read_text(encoding="utf-8", errors="ignore").splitlines():
            name, _, text = line.partition(":")
            path = folder / f"usr/share/asterisk/sounds/{voice}/{name}.g722"
            if not text.strip() or re.search(r"[\[(0-9@*#]|\.\.\.", text) or not path.exists():
                continue
            yield Recording(path, language, text.strip(), True)


def part_of(text: str, test_texts: set[str | None]) -> str:
    """Return the part of a text: several recordings of one prompt, and sentences in two parts, go together."""
    if text in test_texts:
        return "real-test"
    return "real-dev" if held_out(text, one_of=40) else "real"


def load(path: Path, threshold_db: float = -38.0) -> Audio:
    """Return the trimmed recording at 16 kHz and half of full scale."""
    if path.suffix == ".g722":
        with av.open(path, format="g722") as source:
            audio = np.concatenate([frame.to_ndarray()[0] for frame in source.decode(audio=0)]) / np.float32(32768)
        resampled = audio.astype(np.float32)
    else:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        resampled = np.asarray(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE), dtype=np.float32)
    return trim(resampled * np.float32(0.5 / (np.abs(resampled).max() + 1e-6)), threshold_db)


def write_part(data: Path, language: str, part: str, recordings: Iterable[Recording], source: str, voice: str) -> None:
    """Write a shard of the recordings, and clips of a test part; what cannot be written by the model is left out."""
    path = data / "features" / f"{language}-{part}-00"
    if path.with_suffix(".json").exists():
        return
    writer, clips = ShardWriter(language), ClipFolder(data / part, language) if part in CLIP_PARTS else None
    for recording in recordings:
        text = write(recording.text, language)
        if text is None:
            continue
        audio = load(recording.path)
        if part == "unheard" and not PROMPT_SECONDS[0] <= len(audio) / SAMPLE_RATE <= PROMPT_SECONDS[1]:
            continue
        stored = writer.add(audio, text, voice)
        if clips:
            clips.add(stored, recording.text, source)
    if clips:
        clips.write()
    writer.write(path)


def write_digits(data: Path, recordings: Path) -> None:
    """Write phrases of digits, each of one speaker, with pauses between the digits."""
    path = data / "features" / "en-numbers-90"
    excluded = excluded_texts(data)
    if path.with_suffix(".json").exists():
        return
    speakers: dict[str, list[tuple[str, Audio]]] = defaultdict(list)
    for recording in sorted(recordings.glob("*.wav")):
        digit, speaker, _ = recording.stem.split("_")
        if speaker != TEST_SPEAKER:
            speakers[speaker].append((core_words("en")[int(digit)], load(recording, threshold_db=-32.0)))
    rng, writer = random.Random(90), ShardWriter("en")
    for _ in range(DIGIT_PHRASES):
        speaker = rng.choice(sorted(speakers))
        chosen = rng.choices(speakers[speaker], k=rng.randint(1, 7))
        text = " ".join(word for word, _ in chosen)
        if text in excluded:
            continue
        pieces: list[Audio] = []
        for _, audio in chosen:
            pieces += [np.zeros(int(rng.uniform(0.02, 0.3) * SAMPLE_RATE), np.float32), audio]
        writer.add(np.concatenate(pieces[1:]), write(text, "en") or "", f"digits {speaker}")
    writer.write(path)


def main() -> None:
    """Write the shards of all speakers."""
    parser = argparse.ArgumentParser(description=__doc__)
    for source in ("data", "kathleen", "kerstin"):
        parser.add_argument(f"--{source}", type=Path, required=True)
    parser.add_argument("--digits", type=Path)
    parser.add_argument("--asterisk", type=Path)
    arguments = parser.parse_args()
    recordings = [*kathleen(arguments.kathleen), *kerstin(arguments.kerstin)]
    test_texts = {normalize(recording.text, recording.language) for recording in recordings if recording.test}
    for language, voice in (("en", "kathleen"), ("de", "kerstin")):
        parts = defaultdict(list)
        for recording in recordings:
            text = normalize(recording.text, language)
            if recording.language == language and text is not None:
                parts[part_of(text, test_texts)].append(recording)
        for part, members in sorted(parts.items()):
            write_part(arguments.data, language, part, members, f"rhasspy/dataset-voice-{voice} (CC0)", voice)
    if arguments.digits:
        write_digits(arguments.data, arguments.digits)
    if arguments.asterisk:
        for language, voice in ASTERISK_VOICES.items():
            prompts = [recording for recording in asterisk(arguments.asterisk) if recording.language == language]
            source = f"asterisk-core-sounds-{language}, {voice} (CC BY-SA 3.0)"
            write_part(arguments.data, language, "unheard", prompts, source, voice)


if __name__ == "__main__":
    main()
