"""Clips of speech with known texts and known bounds of the speech."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from legato.audio import SAMPLE_RATE, read_audio
from legato.audio.manifest import read_entries
from legato.types import Samples

MANIFEST = Path("tests/data/numbers/manifest.jsonl")
#: The model that was trained for these clips.
MODEL = Path("tests/data/numbers-model/bundle")
QUIET_DB = -35.0
_FRAME = SAMPLE_RATE // 100


@dataclass(frozen=True)
class Clip:
    """A clip: float32[n] at 16 kHz.

    Attributes:
        name: name of the file.
        language: the spoken language.
        words: the spoken words.
        samples: the audio.
        begin, end: bounds of the speech in seconds, judged by its energy.
    """

    name: str
    language: str
    words: tuple[str, ...]
    samples: Samples
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.samples) / SAMPLE_RATE


def load_clips(manifest: Path, language: str = "auto") -> list[Clip]:
    """Read a manifest's clips in a language; `auto` stands for all languages."""
    clips = []
    for entry in read_entries(manifest):
        if language in {"auto", entry.language}:
            samples = read_audio(entry.audio)
            words = tuple((entry.text or "").split())
            clips.append(Clip(entry.name, entry.language or "auto", words, samples, *speech_span(samples)))
    if not clips:
        raise SystemExit(f"{manifest}: no clips in {language}. Give another --language or --manifest.")
    return clips


def speech_span(samples: Samples) -> tuple[float, float]:
    """Return the bounds of the speech in a clean clip, in seconds: frames of 10 ms at most 35 dB below the loudest."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level > level.max() * 10 ** (QUIET_DB / 20))
    return float(loud[0]) / 100, float(loud[-1] + 1) / 100
