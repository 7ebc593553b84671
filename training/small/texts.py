"""Collect the sentences, and choose the held-out ones before anything is made of them.

    python -m training.small.texts --data DATA --common-voice FOLDER --rohan FILE --ita FILE \
        --kathleen FOLDER --kerstin FOLDER [--test-manifest MANIFEST]

Writes ``texts/<language>.jsonl`` and ``texts/<language>.held-out.jsonl``: one sentence a line, as
it is spoken (``spoken``) and as the model writes it (``text``). A sentence that occurs in the test
parts of Kathleen and Kerstin, or in ``--test-manifest``, is in neither; ``texts/excluded.txt`` lists
them, and the held-out ones, so that no piece of another sentence repeats one.
"""

import argparse
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.small.languages import TAGS, held_out, normalize, plain, write
from training.small.real import Recording, kathleen, kerstin

_READING = re.compile(r"\(.*?\)")


@dataclass(frozen=True)
class Sentence:
    """One sentence: the input of the synthesizer, and the text that the model should write."""

    spoken: str
    text: str


def common_voice(folder: Path, language: str) -> Iterator[str]:
    """Yield the sentences of Common Voice's text collection (CC0) that are stored for a language."""
    for path in sorted((folder / "server" / "data" / language).glob("*.txt")):
        yield from path.read_text(encoding="utf-8", errors="ignore").splitlines()


def transcripts(path: Path) -> Iterator[str]:
    """Yield the sentences of ROHAN4600 or the ITA corpus: ``id:sentence,reading``; readings in brackets are dropped.

    Clauses are taken one by one: the sentences are long.
    """
    for line in path.read_text(encoding="utf-8").splitlines():
        sentence = line.partition(":")[2].partition(",")[0]
        yield from re.split(r"(?<=[、。！？])", _READING.sub("", sentence))


def write_as_spoken(sentence: str) -> str:
    """Return the pronunciation of a Japanese sentence in kana, as Open JTalk speaks it."""
    import pyopenjtalk

    return str(pyopenjtalk.g2p(sentence, kana=True))


def select(sentences: Iterator[str], language: str, forbidden: set[str], settings: dict[str, Any]) -> list[Sentence]:
    """Return the usable sentences, each text once, in the order of their hashes."""
    chosen: dict[str, Sentence] = {}
    for raw in sentences:
        spoken = raw.strip()
        kana = write_as_spoken(spoken) if language == "ja" and spoken else spoken
        text, written = normalize(kana, language), write(kana, language)
        if text is None or written is None or text in forbidden or text in chosen:
            continue
        fits = settings["min_letters"] <= len(text) <= settings["max_letters"]
        if fits and len(text.split()) <= settings["max_words"]:
            chosen[text] = Sentence(spoken, written)
    return [chosen[text] for text in sorted(chosen, key=lambda text: hashlib.sha256(text.encode()).digest()[::-1])]


def test_texts(recordings: list[Recording], manifest: Path | None) -> set[str]:
    """Return the texts that must not be trained on, as :func:`normalize` writes them."""
    texts = [(recording.text, recording.language) for recording in recordings if recording.test]
    if manifest:
        entries = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        texts += [(entry["text"], entry["lang"][:2]) for entry in entries]
    return {normalize(text, language) or "" for text, language in texts}


def store(path: Path, sentences: list[Sentence]) -> None:
    """Write one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(vars(sentence), ensure_ascii=False) + "\n" for sentence in sentences]
    path.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> list[Sentence]:
    """Read back what :func:`store` wrote."""
    return [Sentence(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Write both files of every language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    for source in ("common-voice", "rohan", "ita", "kathleen", "kerstin"):
        parser.add_argument(f"--{source}", type=Path, required=True)
    parser.add_argument("--test-manifest", type=Path)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["texts"]
    recordings = [*kathleen(arguments.kathleen), *kerstin(arguments.kerstin)]
    forbidden = test_texts(recordings, arguments.test_manifest)
    excluded = set(forbidden)
    for language in TAGS:
        sentences = list(common_voice(arguments.common_voice, language))
        if language == "ja":
            sentences += [*transcripts(arguments.rohan), *transcripts(arguments.ita)]
        chosen = select(iter(sentences), language, forbidden, settings)
        kept = [sentence for sentence in chosen if held_out(plain(sentence.text), settings["held_out_of"])]
        training = [sentence for sentence in chosen if not held_out(plain(sentence.text), settings["held_out_of"])]
        store(arguments.data / "texts" / f"{language}.jsonl", training)
        store(arguments.data / "texts" / f"{language}.held-out.jsonl", kept)
        excluded.update(plain(sentence.text) for sentence in kept)
        print(f"{language}: {len(training)} sentences to train on, {len(kept)} held out", flush=True)
    (arguments.data / "texts" / "excluded.txt").write_text("\n".join(sorted(excluded)), encoding="utf-8")


if __name__ == "__main__":
    main()
