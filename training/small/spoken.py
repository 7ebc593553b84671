"""Further real speech: recorded words joined to lists, and a Spanish speaker who is only tested with.

    python -m training.small.spoken --data DATA --art4apps FOLDER [--daniel FOLDER] [--audio FOLDER]

``--art4apps``: a clone of godiard/art4apps (CC BY-SA), words by one speaker in each of English, French and Spanish.
Writes ``features/<language>-real-20``: lists of three to six of them, with pauses (``Perro, pavo real, cadena.``).
``--daniel``: a clone of daniel-dona/voice-dataset (GPL-3.0, so not trained on): Spanish sentences, ``es-unheard-10``.
The audio of each shard goes to ``<audio>/<shard>`` as FLAC with a manifest.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.common.audio import SAMPLE_RATE, Audio
from training.small.clips import ClipFolder
from training.small.languages import write
from training.small.real import load
from training.small.shards import ShardWriter

#: How often each word is used, the words of a list, and the seconds between them.
USES, WORDS, PAUSE = 3, (3, 6), (0.05, 0.4)
#: Words that are longer than this were not trimmed well.
MOST_SECONDS = 2.0


def words(folder: Path, language: str) -> list[tuple[str, Audio]]:
    """Return the words of a language that the model can write, and their trimmed recordings."""
    path = folder / "data" / f"words_{language}.json"
    names = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found: list[tuple[str, Audio]] = []
    for recording in sorted((folder / "audio" / language).glob("*.ogg")):
        text = names.get(recording.stem, recording.stem.replace("_", " ") if language == "en" else "")
        if write(text, language) and min(map(len, text.split())) > 1:  # not the names of letters
            audio = load(recording, threshold_db=-32.0)
            if len(audio) < MOST_SECONDS * SAMPLE_RATE:
                found.append((text, audio))
    return found


def lists(known: list[tuple[str, Audio]], rng: random.Random) -> Iterator[tuple[str, Audio]]:
    """Yield lists of words with pauses between them; each word is used ``USES`` times."""
    order = [entry for _ in range(USES) for entry in rng.sample(known, len(known))]
    while len(order) >= WORDS[0]:
        chosen = [order.pop() for _ in range(min(len(order), rng.randint(*WORDS)))]
        pieces: list[Audio] = []
        for _, audio in chosen:
            pieces += [np.zeros(int(rng.uniform(*PAUSE) * SAMPLE_RATE), np.float32), audio]
        yield ", ".join(text for text, _ in chosen), np.concatenate(pieces[1:])


def sentences(folder: Path) -> Iterator[tuple[str, Audio]]:
    """Yield the sentences of Daniel Doña."""
    for line in (folder / "record_log.txt").read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition("|")
        if (folder / name).exists():
            yield text, load(folder / name)


def write_shard(
    data: Path, audio: Path, shard: str, utterances: Iterator[tuple[str, Audio]], voice: str, source: str
) -> None:
    """Write a shard and its audio."""
    language = shard[:2]
    writer, clips = ShardWriter(language), ClipFolder(audio / shard, language)
    for text, samples in utterances:
        written = write(text, language)
        if written:
            clips.add(writer.add(samples, written, voice), written, source)
    clips.write()
    writer.write(data / "features" / shard)


def main() -> None:
    """Write the shards."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("data", "art4apps"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--daniel", type=Path)
    parser.add_argument("--audio", type=Path)
    arguments = parser.parse_args()
    audio = arguments.audio or arguments.data / "real-audio"
    for language in ("en", "es", "fr"):
        made = lists(words(arguments.art4apps, language), random.Random(20))
        voice, source = f"Art4Apps {language}", "godiard/art4apps (CC BY-SA)"
        write_shard(arguments.data, audio, f"{language}-real-20", made, voice, source)
    if arguments.daniel:
        said = sentences(arguments.daniel)
        source = "daniel-dona/voice-dataset (GPL-3.0)"
        write_shard(arguments.data, audio, "es-unheard-10", said, "Daniel Doña", source)


if __name__ == "__main__":
    main()
