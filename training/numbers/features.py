"""Compose utterances from the banks, augment them, and store log-mel shards.

    python -m training.numbers.features --data DATA --kind KIND --shards N

Kinds:

- ``short``: one or two isolated words, little silence, little augmentation, for the first minutes
- ``words``: the same with silence and full augmentation
- ``joined``: up to six isolated words of one voice
- ``phrases``: one synthesized phrase
- ``compounds``: the same, rich in compounds
- ``chains``: phrases joined without a stop to 5 to 14 s, one tag at the end
- ``long``: phrases joined with stops to 6 to 14 s, at times in several languages, a tag after each
- ``dev``: phrases and joined digits of the dev part

Shards that exist are left alone, so the command can be stopped and started again.

Where isolated words are joined, the boundaries are known: each shard also holds a class for every
80 ms frame (0 silence, 1.. the word, -100 not known) for the helper loss.
"""

import argparse
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from training.common.audio import SAMPLE_RATE, Audio
from training.numbers import augment, words
from training.numbers.bank import Bank, Clip
from training.numbers.frontend import HOP, log_mel

FRAME = 8 * HOP
IGNORE = -100
# One class per (language, word): homographs such as French and English "six" sound different.
WORD_CLASSES: dict[tuple[str, str], int] = {
    (language, word): index
    for index, (language, word) in enumerate(
        ((language, word) for language in words.LANGUAGES for word in words.all_words(language)), start=1
    )
}


@dataclass
class Utterance:
    """Audio in parts; ``spans`` holds (start, end, class) in samples, or is None when unknown."""

    parts: list[Audio] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    languages: set[str] = field(default_factory=set)
    spans: list[tuple[int, int, int]] | None = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Length so far."""
        return sum(len(part) for part in self.parts)

    def pause(self, seconds: float) -> None:
        """Append digital silence."""
        self.parts.append(np.zeros(int(seconds * SAMPLE_RATE), dtype=np.float32))


class Composer:
    """Draws utterances of every kind from the banks."""

    def __init__(self, banks: list[Bank], tokenizer: Tokenizer, seed: str, dev: bool) -> None:
        self.rng = np.random.default_rng(np.frombuffer(seed.encode(), dtype=np.uint8))
        self.tokenizer = tokenizer
        self.dev = dev
        self.isolated: dict[str, dict[tuple[str, str], list[tuple[Bank, Clip]]]] = {}
        self.phrases: dict[str, dict[str, list[tuple[Bank, Clip]]]] = {}
        for bank in banks:
            for clip in bank:
                if clip.dev != dev:
                    continue
                if clip.isolated:
                    speakers = self.isolated.setdefault(clip.language, {})
                    speakers.setdefault((clip.source, clip.voice), []).append((bank, clip))
                else:
                    sources = self.phrases.setdefault(clip.language, {})
                    sources.setdefault(clip.source, []).append((bank, clip))

    def language(self) -> str:
        """Draw a language; English weighs more, as it has the most voices."""
        names = list(words.LANGUAGES)
        return str(self.rng.choice(names, p=[0.25 if name == "en" else 0.15 for name in names]))

    def _voiced(self, bank: Bank, clip: Clip, factor: float, telephone: bool) -> Audio:
        audio = bank.audio(clip)
        if abs(factor - 1) > 0.005:
            audio = augment.change_speed(audio, factor)
        if telephone and clip.source != "fsdd":
            audio = augment.telephone(audio)
        return audio * np.float32(0.5 / (np.abs(audio).max() + 1e-6))

    def _factor(self, source: str) -> float:
        spread = 0.2 if source == "fsdd" else 0.13
        if self.dev or self.rng.random() < 0.3:
            return 1.0
        return float(np.exp(self.rng.uniform(-spread, spread)))

    def _add_text(self, utterance: Utterance, text: str, language: str) -> None:
        utterance.tokens.extend(self.tokenizer.encode(text).ids)
        utterance.text.append(text)
        utterance.languages.add(language)
        utterance.tokens.extend(self.tokenizer.encode(f"<{words.LANGUAGES[language]}>").ids)

    def add_isolated(self, utterance: Utterance, language: str, count: int, digits: bool = False) -> None:
        """Append ``count`` isolated words of one voice with short pauses, labelled frame by frame."""
        rng = self.rng
        speakers = list(self.isolated[language])
        real = [speaker for speaker in speakers if speaker[0] == "fsdd"]
        if digits or (real and rng.random() < 0.55):
            speakers = real
        speaker = speakers[rng.integers(len(speakers))]
        clips = self.isolated[language][speaker]
        factor, telephone = self._factor(speaker[0]), rng.random() < 0.25
        texts = []
        for index in range(count):
            bank, clip = clips[rng.integers(len(clips))]
            audio = self._voiced(bank, clip, factor, telephone) * np.float32(rng.uniform(0.6, 1.0))
            if index:
                utterance.pause(rng.choice([rng.uniform(0.0, 0.1), rng.uniform(0.05, 0.45)]))
            start = utterance.samples
            utterance.parts.append(audio)
            if utterance.spans is not None:
                utterance.spans.append((start, utterance.samples, WORD_CLASSES[(language, clip.text)]))
            texts.append(clip.text)
        self._add_text(utterance, " ".join(texts), language)

    def add_phrase(self, utterance: Utterance, language: str, compounds: bool = False) -> None:
        """Append one synthesized phrase; the positions of its words are not known."""
        banks = self.phrases[language].items()
        sources = [clips for source, clips in banks if source.endswith("-compounds") == compounds]
        # By the square root of their size: a small bank of many voices is not lost among large ones.
        weights = np.sqrt([len(clips) for clips in sources])
        clips = sources[self.rng.choice(len(sources), p=weights / weights.sum())]
        bank, clip = clips[self.rng.integers(len(clips))]
        telephone = not self.dev and self.rng.random() < 0.2
        utterance.parts.append(self._voiced(bank, clip, self._factor(clip.source), telephone))
        utterance.spans = None
        self._add_text(utterance, clip.text, language)

    def compose(self, kind: str) -> Utterance:
        """Return one utterance of ``kind``, with silence around it."""
        rng = self.rng
        utterance = Utterance()
        language = self.language()
        if kind == "short":
            utterance.pause(rng.uniform(0.02, 0.15))
            self.add_isolated(utterance, language, int(rng.integers(1, 3)))
            utterance.pause(rng.uniform(0.1, 0.25))
            return utterance
        utterance.pause(float(rng.choice([rng.uniform(0.0, 0.2), rng.uniform(0.1, 0.8)])))
        if kind != "dev" and rng.random() < 0.03:
            utterance.pause(rng.uniform(0.5, 5.0))
            return utterance
        if kind == "words":
            self.add_isolated(utterance, language, int(rng.integers(1, 3)))
        elif kind == "joined":
            self.add_isolated(utterance, language, int(rng.integers(1, 7)))
        elif kind == "phrases":
            self.add_phrase(utterance, language)
        elif kind == "compounds":
            self.add_phrase(utterance, language, compounds=True)
        elif kind == "dev":
            if rng.random() < 0.2:
                self.add_isolated(utterance, "en", int(rng.integers(1, 7)), digits=True)
            else:
                self.add_phrase(utterance, language)
        elif kind == "chains":
            seconds = rng.uniform(5, 14)
            while utterance.samples < seconds * SAMPLE_RATE:
                # One text without a stop: drop the tag of what came before, and pause shortly.
                if utterance.tokens:
                    utterance.tokens.pop()
                    utterance.pause(rng.uniform(0.0, 0.5))
                if rng.random() < 0.4:
                    self.add_isolated(utterance, language, int(rng.integers(1, 7)))
                else:
                    self.add_phrase(utterance, language)
        else:
            mixed = rng.random() < 0.3
            seconds = rng.uniform(6, 14)
            while utterance.samples < seconds * SAMPLE_RATE:
                language = self.language() if mixed else language
                if rng.random() < 0.4:
                    self.add_isolated(utterance, language, int(rng.integers(1, 6)))
                else:
                    self.add_phrase(utterance, language)
                utterance.pause(rng.uniform(0.6, 2.0))
        utterance.pause(float(rng.choice([rng.uniform(0.1, 0.5), rng.uniform(0.3, 1.2)])))
        return utterance

    def features(self, utterance: Utterance, light: bool) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int16]]:
        """Return log-mel [frames, 128] and the class of each encoder frame [ceil(frames / 8)]."""
        audio = np.concatenate(utterance.parts)
        if light:
            audio = augment.finish_lightly(audio, self.rng)
        elif utterance.tokens:
            audio = augment.finish(audio, self.rng)
        elif self.rng.random() < 0.8:
            audio = augment.noise(len(audio), self.rng) * np.float32(10 ** (-self.rng.uniform(20, 80) / 20))
        mel = log_mel(audio.astype(np.float32)).numpy().astype(np.float16)
        frames = (len(mel) + 7) // 8
        if utterance.spans is None:
            return mel, np.full(frames, IGNORE, dtype=np.int16)
        classes = np.zeros(frames, dtype=np.int16)
        # Encoder frame q has seen the audio up to about 8q mel frames. A word cannot be named at its
        # onset: its first 40 % carry no label, and the label lasts one frame past its end.
        ends = np.arange(frames) * FRAME
        for start, end, word in utterance.spans:
            classes[(ends > start) & (ends < start + 0.4 * (end - start))] = IGNORE
            classes[(ends >= start + 0.4 * (end - start)) & (ends < end + FRAME)] = word
        return mel, classes


def write_shard(path: Path, composer: Composer, kind: str, count: int) -> None:
    """Write ``<path>.npy`` (all frames, float16) and ``<path>.json`` (one record an utterance)."""
    mels, records, position = [], [], 0
    for _ in range(count):
        utterance = composer.compose(kind)
        mel, classes = composer.features(utterance, light=kind == "short")
        languages = sorted(utterance.languages)
        records.append(
            {
                "start": position,
                "frames": len(mel),
                # "" stands for several languages (or none): only the `auto` prompt is right.
                "language": languages[0] if len(languages) == 1 else "",
                "text": " ".join(utterance.text),
                "tokens": utterance.tokens,
                "classes": classes.tolist(),
            }
        )
        mels.append(mel)
        position += len(mel)
    np.save(path.with_suffix(".part.npy"), np.concatenate(mels))
    path.with_suffix(".part.npy").rename(path.with_suffix(".npy"))
    path.with_suffix(".json").write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    print(f"{path.name}: {count} utterances, {position / 360000:.2f} h", flush=True)


def main() -> None:
    """Write the missing shards of one kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--kind", choices=["short", "words", "joined", "phrases", "compounds", "chains", "long", "dev"], required=True
    )
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["features"]
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(arguments.data / "tokenizer" / "tokenizer.json"))
    banks = [Bank(folder) for folder in sorted((arguments.data / "bank").iterdir())]
    folder = arguments.data / "features"
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(arguments.shards):
        path = folder / f"{arguments.kind}-{index:02d}"
        if path.with_suffix(".json").exists():
            continue
        seed = f"{settings['seed']} {arguments.kind} {index}"
        composer = Composer(banks, tokenizer, seed, dev=arguments.kind == "dev")
        count = settings["utterances"][arguments.kind]
        write_shard(path, composer, arguments.kind, count)


if __name__ == "__main__":
    main()
