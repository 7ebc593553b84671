"""Make recordings on which INT8 models are known to lose speech, from clips of single sentences.

    python -m bench.kept_set --clips MANIFEST... --output DIR [--minutes 20] [--languages LANG,LANG]

Writes 16-bit WAV files and `manifest.jsonl` with a key `kind`, for `legato evaluate --split-by kind` and for
`bench.words_kept`:

- quiet: for each language and each of -20, -30, -40 dB, about 20 s whose first and last clip have that level relative
  to what is between them;
- long: for each of two languages, `--minutes` of clips in a row, with pauses of 0.3 to 1 s;
- turns: `--minutes` in which the two languages take turns of about 20 s.

Clips repeat once all of a language have been used. Their levels are made equal first.
"""

import argparse
import json
import wave
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from legato.audio import SAMPLE_RATE, read_audio
from legato.audio.manifest import read_entries
from legato.types import Samples

LEVELS_DB = (-20, -30, -40)
#: Root mean square of every clip.
_LEVEL = 0.05
_MIDDLE_SECONDS = 16
_TURN_SECONDS = 20

Clip = tuple[Samples, str]


def load(manifests: Sequence[Path]) -> dict[str, list[Clip]]:
    """Read the clips of every language at the same level."""
    clips: dict[str, list[Clip]] = defaultdict(list)
    for entry in (entry for manifest in manifests for entry in read_entries(manifest)):
        if entry.language and entry.text:
            samples = read_audio(entry.audio)
            level = float(np.sqrt(np.mean(samples**2))) or 1.0
            clips[entry.language].append((np.clip(samples * (_LEVEL / level), -1, 1), entry.text))
    return clips


def endless(clips: Sequence[Clip], generator: np.random.Generator) -> Iterator[Clip]:
    """Yield all clips in a random order, again and again, each followed by a pause."""
    while True:
        for number in generator.permutation(len(clips)):
            samples, text = clips[number]
            pause = np.zeros(int(generator.uniform(0.3, 1.0) * SAMPLE_RATE), np.float32)
            yield np.concatenate([samples, pause]), text


def take(clips: Iterator[Clip], seconds: float) -> Clip:
    """Return clips of at least this length in a row."""
    rows: list[Clip] = []
    while sum(len(samples) for samples, _ in rows) < seconds * SAMPLE_RATE:
        rows.append(next(clips))
    return joined(rows)


def joined(rows: Sequence[Clip]) -> Clip:
    """Return several clips as one."""
    return np.concatenate([samples for samples, _ in rows]), " ".join(text for _, text in rows)


def recordings(
    clips: dict[str, list[Clip]], languages: Sequence[str], minutes: float
) -> Iterator[tuple[str, str, Clip]]:
    """Yield kind, language and recording; the language of turns is the first one."""
    sources = {
        name: endless(found, np.random.default_rng(number)) for number, (name, found) in enumerate(clips.items())
    }
    for language, source in sources.items():
        for level in LEVELS_DB:
            head, middle, tail = next(source), take(source, _MIDDLE_SECONDS), next(source)
            quieter = [(samples * 10 ** (level / 20), text) for samples, text in (head, tail)]
            yield f"quiet{level}", language, joined([quieter[0], middle, quieter[1]])
    for language in languages:
        yield "long", language, take(sources[language], 60 * minutes)
    turns: list[Clip] = []
    while sum(len(samples) for samples, _ in turns) < 60 * minutes * SAMPLE_RATE:
        turns += [take(sources[language], _TURN_SECONDS) for language in languages]
    yield "turns", languages[0], joined(turns)


def write(file: Path, samples: Samples) -> None:
    """Write a WAV file of 16 bits."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def main() -> None:
    """Write the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="manifests of clips with text and lang")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--minutes", type=float, default=20, help="length of the long recordings")
    parser.add_argument("--languages", help="two of them for the long ones (default: those with the most clips)")
    arguments = parser.parse_args()
    clips = load(arguments.clips)
    most = sorted(clips, key=lambda name: -len(clips[name]))[:2]
    languages = arguments.languages.split(",") if arguments.languages else most
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number, (kind, language, (samples, text)) in enumerate(recordings(clips, languages, arguments.minutes)):
            name = f"{number:02}-{kind}-{language}.wav"
            write(arguments.output / name, samples)
            seconds = round(len(samples) / SAMPLE_RATE, 2)
            row = {"audio_filepath": name, "duration": seconds, "text": text, "lang": language, "kind": kind}
            manifest.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
