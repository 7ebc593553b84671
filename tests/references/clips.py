"""Reading the short test clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

SAMPLE_RATE = 16000
JOINED = "joined"


def read_audio(path: Path) -> NDArray[np.float32]:
    """Read a mono 16 kHz file as float32 [N] in -1..1."""
    samples, rate = sf.read(path, dtype="float32")
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise ValueError(f"{path} is not mono at {SAMPLE_RATE} Hz")
    return np.asarray(samples, dtype=np.float32)


def read_clips(paths: list[Path]) -> dict[str, NDArray[np.float32]]:
    """The clips by name, and `joined`: all of them in a row, longer than any left context."""
    clips = {path.stem: read_audio(path) for path in paths}
    return {**clips, JOINED: np.concatenate(list(clips.values()))}
