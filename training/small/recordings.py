"""Real speech of other collections, each told about in a manifest.

    python -m training.small.recordings --data DATA --manifest FILE...

A manifest has one JSON object a line: ``audio`` (a file beside it), ``text``, ``language``, ``speaker``, ``licence``,
``use`` (``train`` or ``test``). Writes the shards ``features/<language>-real-<40 on>`` (a quarter of the utterances in
a room, a quarter on a line) and, of the speakers that are only tested with, ``<language>-speakers-00`` with their clips
in ``speakers/``. Texts that are kept out of training or nearly those of a test clip, utterances that are too long, and
what the model cannot write are left out. Texts in one case get the capitals that Common Voice's sentences have.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rapidfuzz import fuzz, process

from training.common.audio import SAMPLE_RATE
from training.small.clips import ClipFolder, read_clips
from training.small.languages import CASED, held_out, normalize, plain, write
from training.small.lines import changed
from training.small.parts import READERS, SPEAKERS, TEST_PARTS, UNHEARD_PARTS, excluded_texts
from training.small.real import load
from training.small.shards import ShardWriter
from training.small.verse import Spelling

FIRST = 40
PER_SHARD = 300
#: Seconds of an utterance.
SECONDS = (0.8, 17.0)
#: The likeness, in percent, from which a text is nearly another one.
NEARLY = 80
#: Test clips of a language, spread evenly over the speakers.
MOST_TESTED = 200


@dataclass(frozen=True)
class Said:
    """An utterance of a manifest, its text as the model writes it."""

    path: Path
    language: str
    text: str
    speaker: str
    source: str
    test: bool


def in_one_case(text: str) -> bool:
    """Tell whether a text says nothing about capitals."""
    return text in (text.upper(), text.lower())


def with_capitals(text: str, spelling: Spelling) -> str:
    """Return a text in one case with capitals where words usually have one; the pronoun ``I`` is one."""
    words = text.lower().split()
    return " ".join(
        word.capitalize() if word == "i" or word.startswith("i'") or spelling.surely_name(word) else word
        for word in words
    )


def test_texts(data: Path, language: str) -> list[str]:
    """Return the texts of the test clips of a language, in lower case and without marks."""
    folders = [kind for kind, name, *_ in [*TEST_PARTS, *UNHEARD_PARTS] if name == language]
    folders += [f"real-audio/{language}-unheard-10"] * (language in READERS)
    return [plain(clip["text"]) for folder in folders for clip in read_clips(data / folder, language)]


def read(manifest: Path, data: Path) -> Iterator[Said]:
    """Yield the usable utterances of a manifest."""
    excluded = excluded_texts(data)
    spellings: dict[str, Spelling] = {}
    kept_out: dict[str, list[str]] = {}
    for line in manifest.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        language, text, test = entry["language"][:2], entry["text"], entry["use"] == "test"
        if language in CASED and in_one_case(text):
            if language not in spellings:
                spellings[language] = Spelling.read(data / "texts" / f"{language}.jsonl")
            text = with_capitals(text, spellings[language])
        bare, written = normalize(text, language), write(text, language)
        if bare is None or written is None or not (manifest.parent / entry["audio"]).exists():
            continue
        if not test:
            if language not in kept_out:
                kept_out[language] = test_texts(data, language)
            near = process.extractOne(bare, kept_out[language], scorer=fuzz.ratio, score_cutoff=NEARLY)
            if near or bare in excluded or held_out(bare, one_of=40):
                continue
        source = f"{manifest.parent.name} ({entry['licence']})"
        yield Said(manifest.parent / entry["audio"], language, written, entry["speaker"], source, test)


def tested(members: list[Said]) -> list[Said]:
    """Return at most ``MOST_TESTED`` utterances, as many of each speaker as there are."""
    by_speaker: dict[str, list[Said]] = defaultdict(list)
    for member in members:
        by_speaker[member.speaker].append(member)
    turns = ((turn, speaker, said) for speaker, own in by_speaker.items() for turn, said in enumerate(own))
    return [said for _, _, said in sorted(turns, key=lambda each: each[:2])][:MOST_TESTED]


def write_test(data: Path, language: str, members: list[Said]) -> None:
    """Write the shard and the clips of the speakers who are only tested with."""
    path = data / "features" / f"{language}-{SPEAKERS}-00"
    if path.with_suffix(".json").exists() or not members:
        return
    writer, clips = ShardWriter(language), ClipFolder(data / SPEAKERS, language)
    for said in tested(members):
        audio = load(said.path)
        if SECONDS[0] <= len(audio) / SAMPLE_RATE <= SECONDS[1]:
            clips.add(writer.add(audio, said.text, said.speaker), said.text, said.source)
    clips.write()
    writer.write(path)


def write_shard(path: Path, members: list[Said], rng: np.random.Generator) -> None:
    """Write a shard of utterances to train on."""
    if path.with_suffix(".json").exists():
        return
    writer = ShardWriter(path.name[:2])
    for said in members:
        audio = load(said.path)
        if SECONDS[0] <= len(audio) / SAMPLE_RATE <= SECONDS[1]:
            writer.add(changed(audio, rng), said.text, said.speaker)
    writer.write(path)


def main() -> None:
    """Write all shards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    said: dict[tuple[str, bool], list[Said]] = defaultdict(list)
    for manifest in arguments.manifest:
        for each in read(manifest, arguments.data):
            said[each.language, each.test].append(each)
    for (language, test), members in sorted(said.items()):
        if test:
            write_test(arguments.data, language, members)
            continue
        kept_out = {plain(each.text) for each in said.get((language, True), [])}
        kept = [each for each in members if plain(each.text) not in kept_out]
        for number, start in enumerate(range(0, len(kept), PER_SHARD), start=FIRST):
            path = arguments.data / "features" / f"{language}-real-{number}"
            write_shard(path, kept[start : start + PER_SHARD], np.random.default_rng([FIRST, number]))


if __name__ == "__main__":
    main()
