"""A bank of clips: one flat int16 file of 16 kHz audio, and one JSON line per clip."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from training.common.audio import Audio


@dataclass(frozen=True)
class Clip:
    """Where a clip lies in the flat file, and what is known about it."""

    start: int
    samples: int
    language: str
    text: str
    source: str
    voice: str
    isolated: bool
    dev: bool


class BankWriter:
    """Appends clips to ``<folder>/audio.i16`` and ``<folder>/clips.jsonl``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._audio = (folder / "audio.i16").open("wb")
        self._clips = (folder / "clips.jsonl").open("w", encoding="utf-8")
        self._position = 0

    def __enter__(self) -> "BankWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._audio.close()
        self._clips.close()

    def add(
        self, audio: Audio, *, language: str, text: str, source: str, voice: str, isolated: bool, dev: bool
    ) -> None:
        """Append one clip; ``audio`` is float32 [samples] in -1..1 at 16 kHz."""
        clip = Clip(self._position, len(audio), language, text, source, voice, isolated, dev)
        self._audio.write((np.clip(audio, -1.0, 1.0) * 32767).astype("<i2").tobytes())
        self._clips.write(json.dumps(asdict(clip), ensure_ascii=False) + "\n")
        self._position += len(audio)


class Bank:
    """Reads a bank back; the audio stays on disk until a clip is asked for."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "clips.jsonl").read_text(encoding="utf-8").splitlines()
        self.clips = [Clip(**json.loads(line)) for line in lines]
        self._audio = np.memmap(folder / "audio.i16", dtype="<i2", mode="r")

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def audio(self, clip: Clip) -> Audio:
        """Return float32 [samples] in -1..1."""
        part = self._audio[clip.start : clip.start + clip.samples]
        return np.asarray(part, dtype=np.float32) / 32768.0
