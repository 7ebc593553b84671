"""Reads feature shards and packs utterances of like length into batches."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

IGNORE = -100


@dataclass
class Batch:
    """One training batch; B utterances, T mel frames, U labels, T' encoder frames."""

    mel: Tensor  # [B, T, 128] float32, zeros past the end
    frames: Tensor  # [B]
    labels: Tensor  # [B, U]
    label_lengths: Tensor  # [B]
    classes: Tensor  # [B, T'] word class per encoder frame, IGNORE where unknown
    languages: list[str]
    texts: list[str]


class Shards:
    """All shards of one kind; new ones are picked up at the start of each epoch."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self._mels: list[npt.NDArray[np.float16]] = []
        self._records: list[tuple[int, dict[str, Any]]] = []
        self._seen: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Open shards that have appeared since."""
        for path in sorted(self.folder.glob(f"{self.kind}-*.json")):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            self._mels.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
            records = json.loads(path.read_text(encoding="utf-8"))
            self._records.extend((len(self._mels) - 1, record) for record in records)

    def batches(self, max_frames: int, rng: np.random.Generator, pool: int = 600) -> Iterator[Batch]:
        """Yield one epoch in random order; lengths are sorted within pools of ``pool`` utterances."""
        self.refresh()
        order = rng.permutation(len(self._records))
        for first in range(0, len(order), pool):
            members = sorted(order[first : first + pool], key=lambda index: int(self._records[index][1]["frames"]))
            groups: list[list[int]] = [[]]
            for index in members:
                # Sorted by length, so the newest member is the longest.
                if (len(groups[-1]) + 1) * self._records[index][1]["frames"] > max_frames and groups[-1]:
                    groups.append([])
                groups[-1].append(int(index))
            for position in rng.permutation(len(groups)):
                yield self.collate(groups[position])

    def endless(self, max_frames: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield batches for ever."""
        while True:
            yield from self.batches(max_frames, rng)

    def collate(self, members: list[int]) -> Batch:
        """Pad the utterances of one batch."""
        chosen = [self._records[index] for index in members]
        records = [record for _, record in chosen]
        frames = torch.tensor([record["frames"] for record in records])
        label_lengths = torch.tensor([len(record["tokens"]) for record in records])
        longest = int(frames.max())
        mel = torch.zeros(len(records), longest, 128)
        labels = torch.zeros(len(records), int(label_lengths.max()), dtype=torch.long)
        classes = torch.full((len(records), longest // 8 + 2), IGNORE, dtype=torch.long)
        for row, (shard, record) in enumerate(chosen):
            part = self._mels[shard][record["start"] : record["start"] + record["frames"]]
            mel[row, : len(part)] = torch.from_numpy(part.astype(np.float32))
            labels[row, : len(record["tokens"])] = torch.tensor(record["tokens"], dtype=torch.long)
            classes[row, : len(record["classes"])] = torch.tensor(record["classes"], dtype=torch.long)
        return Batch(
            mel,
            frames,
            labels,
            label_lengths,
            classes,
            [record["language"] for record in records],
            [record["text"] for record in records],
        )


def mask_bands(batch: Batch, rng: np.random.Generator, floor: float) -> None:
    """SpecAugment in place: up to two bands of mel channels and one short span of time."""
    for row in range(len(batch.mel)):
        frames = int(batch.frames[row])
        for _ in range(int(rng.integers(0, 3))):
            width = int(rng.integers(1, 14))
            low = int(rng.integers(0, 128 - width))
            batch.mel[row, :frames, low : low + width] = floor
        if frames > 60 and rng.random() < 0.3:
            width = int(rng.integers(1, 7))
            start = int(rng.integers(0, frames - width))
            batch.mel[row, start : start + width] = floor
