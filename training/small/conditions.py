"""The lines and backgrounds that test clips are also heard through."""

from collections.abc import Callable

import numpy as np

from training.common.audio import Audio
from training.small.lines import through

#: Decibels of speech over noise.
RATIO = 10.0
VOICES = 4

Generator = np.random.Generator
#: Changes a clip; the list holds clips of other people.
Condition = Callable[[Audio, list[Audio], Generator], Audio]


def clean(audio: Audio, others: list[Audio], rng: Generator) -> Audio:
    """Change nothing: the rate that those of the other conditions compare with, over the same clips."""
    return audio


def mulaw(audio: Audio, others: list[Audio], rng: Generator) -> Audio:
    """Resample to 8 kHz and quantize with mu-law, as on a telephone."""
    return through(audio, "mulaw", rng)


def white(audio: Audio, others: list[Audio], rng: Generator) -> Audio:
    """Add white noise."""
    return mixed(audio, rng.normal(size=len(audio)).astype(np.float32))


def babble(audio: Audio, others: list[Audio], rng: Generator) -> Audio:
    """Add people who speak at the same time."""
    noise = np.zeros(len(audio), np.float32)
    for index in rng.choice(len(others), VOICES, replace=False):
        other = others[index] / np.sqrt((others[index] ** 2).mean() + 1e-12)
        noise += np.resize(np.roll(other, int(rng.integers(len(other)))), len(audio))
    return mixed(audio, noise)


def mixed(audio: Audio, noise: Audio) -> Audio:
    """Return the sum at ``RATIO``, not over full scale."""
    factor = np.sqrt((audio**2).mean() / (noise**2).mean()) * 10 ** (-RATIO / 20)
    total = audio + np.float32(factor) * noise
    return np.asarray(total / max(1.0, float(np.abs(total).max())), dtype=np.float32)


CONDITIONS: dict[str, Condition] = {"clean": clean, "mu-law": mulaw, "babble 10 dB": babble, "white 10 dB": white}
