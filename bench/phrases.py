"""Gain and harm of phrases: the numbers model on spoken numbers in noise.

    python -m bench.phrases [--manifest M] [--weights 1,2,3] [--beams 1,4] [--snr clean,10,5,0] [--json FILE]

Every utterance is recognized with four lists of phrases:

- `none`;
- `spoken`: its own words;
- `mixed`: its own words and ten others of its language;
- `unspoken`: the ten others alone.

"recalled" is the share of spoken words that are in the result (as often as they are spoken), "false" the number of the
ten other words that are in the result although they were not spoken, and WER that of the whole text. The noise is
white, at a signal-to-noise ratio in dB, generated from one seed per utterance.
"""

import argparse
import json
import random
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import jiwer
import numpy as np

import legato
from bench.clips import MANIFEST, MODEL, load_clips
from legato.types import Samples

LISTS = ("none", "spoken", "mixed", "unspoken")


@dataclass(frozen=True)
class Outcome:
    """The figures of a condition over all utterances; `recalled` and `wer` in percent."""

    snr: str
    beam: int
    weight: float
    phrases: str
    recalled: float
    false: int
    wer: float


@dataclass(frozen=True)
class Utterance:
    """Audio without noise, its words, and ten words of its language that are not among them."""

    samples: Samples
    language: str
    words: tuple[str, ...]
    others: tuple[str, ...]

    def phrases(self, kind: str) -> list[str]:
        """Return the phrases of a list."""
        own = list(dict.fromkeys(self.words)) if kind in ("spoken", "mixed") else []
        return own + (list(self.others) if kind in ("mixed", "unspoken") else [])


def read(manifest: Path) -> list[Utterance]:
    """Return the utterances of a manifest; the ten other words are drawn from a seed."""
    clips = load_clips(manifest)
    known: dict[str, set[str]] = {}
    for clip in clips:
        known.setdefault(clip.language, set()).update(clip.words)
    utterances = []
    for number, clip in enumerate(clips):
        others = sorted(known[clip.language] - set(clip.words))
        drawn = random.Random(number).sample(others, min(10, len(others)))
        utterances.append(Utterance(clip.samples, clip.language, clip.words, tuple(drawn)))
    return utterances


def noisy(samples: Samples, snr: str, seed: int) -> Samples:
    """Add white noise at a signal-to-noise ratio in dB; `clean` adds none."""
    if snr == "clean":
        return samples
    noise = np.random.default_rng(seed).normal(size=len(samples)).astype(np.float32)
    level = np.sqrt((samples**2).mean() / 10 ** (float(snr) / 10))
    mixed: Samples = np.clip(samples + noise * level, -1, 1).astype(np.float32)
    return mixed


def measure(
    recognizer: legato.Recognizer, utterances: list[Utterance], snr: str, beam: int, weight: float, kind: str
) -> Outcome:
    """Recognize all utterances in one condition."""
    texts = []
    recalled = false = 0
    for seed, utterance in enumerate(utterances):
        phrases = [(phrase, weight) for phrase in utterance.phrases(kind)]
        samples = noisy(utterance.samples, snr, seed)
        text = recognizer.transcribe(samples, language=utterance.language, phrases=phrases, beam=beam).text
        texts.append(text or "-")  # an empty text counts as a substitution
        found = Counter(text.split())
        recalled += sum((found & Counter(utterance.words)).values())
        false += sum(found[other] for other in utterance.others)
    wer = jiwer.wer([" ".join(utterance.words) for utterance in utterances], texts)
    spoken = sum(len(utterance.words) for utterance in utterances)
    return Outcome(snr, beam, weight, kind, round(100 * recalled / spoken, 1), false, round(100 * wer, 1))


def main() -> None:
    """Print a table of all conditions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--weights", default="1,2,3")
    parser.add_argument("--beams", default="1,4")
    parser.add_argument("--snr", default="clean,10,5,0")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recognizer = legato.load(arguments.model, threads=1)
    utterances = read(arguments.manifest)
    outcomes = []
    for snr in arguments.snr.split(","):
        for beam in map(int, arguments.beams.split(",")):
            for kind in LISTS:
                for weight in map(float, arguments.weights.split(",")) if kind != "none" else [0.0]:
                    outcome = measure(recognizer, utterances, snr, beam, weight, kind)
                    outcomes.append(outcome)
                    print(
                        f"| {snr} | {beam} | {kind} | {weight:g} | {outcome.recalled} | {outcome.false} | "
                        f"{outcome.wer} |", flush=True,
                    )  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1), "utf-8")


if __name__ == "__main__":
    main()
