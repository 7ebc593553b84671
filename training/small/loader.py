"""Batches that other processes draw and change, for a training on a GPU that one process cannot feed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.small.batches import Batch, Sampler, Stage, current


class Batches(IterableDataset[Batch]):
    """An endless stream of batches of the stage that a shared step count is in."""

    def __init__(
        self, data: Path, weights: dict[str, float], stages: Sequence[Stage], steps: Tensor, seed: Sequence[int]
    ) -> None:
        self._data = data
        self._weights = weights
        self._stages = stages
        self._steps = steps
        self._seed = seed

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; each process draws its own."""
        worker = get_worker_info()
        if worker:
            os.nice(5)  # the process that trains comes first
        rng = np.random.default_rng([*self._seed, worker.id if worker else 0])
        tokenizer = Tokenizer.from_file(str(self._data / "tokenizer" / "tokenizer.json"))
        sampler = Sampler(self._data / "features", self._weights, tokenizer, rng)
        while True:
            yield sampler.next(current(self._stages, int(self._steps)))


def load(batches: Batches, processes: int, device: torch.device) -> Iterator[Batch]:
    """Yield the batches that ``processes`` processes make."""
    loader: Any = DataLoader(
        batches,
        batch_size=None,
        num_workers=processes,
        prefetch_factor=4,
        multiprocessing_context="spawn",
        pin_memory=device.type == "cuda",
    )
    return iter(loader)
