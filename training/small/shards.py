"""Shards: log-mel features of many utterances in one file, written once and read at random.

``<name>.npy`` holds all frames (float16 [frames, 128]) and ``<name>.json`` one record an utterance.
Names are ``<language>-<kind>-<number>``. ``<name>.phones.json`` (:mod:`training.small.phones`) says how each
utterance is pronounced.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from legato.runtime.features import LogMel, MelState
from training.common.audio import SAMPLE_RATE, Audio

Mel = npt.NDArray[np.float16]

#: Silence before and after the speech of a stored utterance, in seconds.
MARGIN_BEFORE, MARGIN_AFTER = 0.1, 0.25


@dataclass(frozen=True)
class Record:
    """One utterance of a shard; ``onset`` and ``end`` are the mel frames between which there is speech."""

    start: int
    frames: int
    onset: int
    end: int
    language: str
    text: str
    voice: str
    phones: tuple[str, ...] = ()  # from the file beside


class ShardWriter:
    """Collects utterances of one language and writes them as one shard."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._front_end = LogMel()
        self._mels: list[Mel] = []
        self._records: list[Record] = []
        self._frames = 0

    def add(self, audio: Audio, text: str, voice: str) -> Audio:
        """Add trimmed speech, silence around it; return the audio that was stored."""
        before, after = (np.zeros(int(s * SAMPLE_RATE), np.float32) for s in (MARGIN_BEFORE, MARGIN_AFTER))
        whole = np.concatenate([before, audio, after])
        mel = self._front_end.accept(whole, MelState(), last=True)[0].astype(np.float16)
        hop = self._front_end.config.hop_length
        onset, end = len(before) // hop, (len(before) + len(audio)) // hop
        self._records.append(Record(self._frames, len(mel), onset, end, self.language, text, voice))
        self._mels.append(mel)
        self._frames += len(mel)
        return whole

    def write(self, path: Path) -> None:
        """Write both files, the records last: a shard with records is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path.with_suffix(".npy"), np.concatenate(self._mels))
        part = path.with_suffix(".part")
        records = [asdict(record) for record in self._records]
        for record in records:
            del record["phones"]
        part.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
        part.rename(path.with_suffix(".json"))
        print(f"{path.name}: {len(records)} utterances, {self._frames / 360000:.2f} h", flush=True)


class Shards:
    """All utterances of one language and kind; new shards, once they have phones, are picked up by :meth:`refresh`."""

    def __init__(self, folder: Path, language: str, kind: str) -> None:
        self._folder = folder
        self._pattern = f"{language}-{kind}-[0-9]*.phones.json"
        self._mels: list[Mel] = []
        self._seen: set[str] = set()
        self.records: list[tuple[int, Record]] = []
        self.refresh()

    def refresh(self) -> None:
        """Open shards that have appeared since."""
        for path in sorted(self._folder.glob(self._pattern)):
            name = path.name.removesuffix(".phones.json")
            if name not in self._seen:
                self._seen.add(name)
                self._mels.append(np.load(path.with_name(f"{name}.npy"), mmap_mode="r"))
                entries = json.loads(path.with_name(f"{name}.json").read_text(encoding="utf-8"))
                spoken = json.loads(path.read_text(encoding="utf-8"))
                for entry, phones in zip(entries, spoken, strict=True):
                    if phones:
                        record = Record(**entry, phones=tuple(phones.split("|")))
                        self.records.append((len(self._mels) - 1, record))

    def hours(self) -> float:
        """Return how much speech there is."""
        return sum(len(mel) for mel in self._mels) / 360000

    def mel(self, shard: int, record: Record) -> npt.NDArray[np.float32]:
        """Return the features of one utterance, float32 [frames, 128]."""
        return self._mels[shard][record.start : record.start + record.frames].astype(np.float32)
