"""Clips of speech with known texts, and where the speech in them is."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from legato.audio.source import SAMPLE_RATE, read_audio
from legato.types import Samples

MANIFEST = Path("tests/data/numbers/manifest.jsonl")
#: The model that knows what is said in them.
MODEL = Path("tests/data/numbers-model/bundle")
QUIET_DB = -35.0
_FRAME = SAMPLE_RATE // 100


@dataclass(frozen=True)
class Clip:
    """A clip: float32[n] at 16 kHz.

    Attributes:
        name: of its file.
        language: that is spoken.
        words: that are spoken.
        samples: the audio.
        begin, end: seconds between which there is speech, by its energy.
    """

    name: str
    language: str
    words: tuple[str, ...]
    samples: Samples
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / SAMPLE_RATE


def load_clips(manifest: Path, language: str = "auto") -> list[Clip]:
    """Read a manifest's clips, with `auto` those of all languages."""
    clips = []
    for line in manifest.read_text("utf-8").splitlines():
        entry = json.loads(line)
        if language in {"auto", entry["lang"]}:
            samples = read_audio(manifest.parent / entry["audio_filepath"])
            words = tuple(entry["text"].split())
            clips.append(Clip(entry["audio_filepath"], entry["lang"], words, samples, *speech_span(samples)))
    if not clips:
        raise SystemExit(f"{manifest}: no clips in {language}.")
    return clips


def speech_span(samples: Samples) -> tuple[float, float]:
    """Seconds where the speech of a clean clip begins and ends: frames of 10 ms less than 35 dB below the loudest."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level > level.max() * 10 ** (QUIET_DB / 20))
    return float(loud[0]) / 100, float(loud[-1] + 1) / 100
