"""A checkpoint as the converter sees it: sizes, vocabulary, prompts, and weights that are read one at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from legato.convert.architecture import Architecture

Weight = NDArray[np.float32]


@dataclass(frozen=True)
class Checkpoint:
    """A model that can be converted.

    Attributes:
        path: the file or folder that it is read from.
        architecture: its sizes.
        pieces: SentencePiece pieces by token id, without blank.
        prompt_dictionary: locale or bare language code -> prompt slot.
        weights: name (as NeMo names it) -> function that reads the weight as float32.
        nbytes: size of the stored weights in bytes.
        license: its license, by the fields of a model card; empty if it is not stated.
        release: closes the files that `weights` reads. No weight can be read afterwards.
    """

    path: Path
    architecture: Architecture
    pieces: list[str]
    prompt_dictionary: dict[str, int]
    weights: Mapping[str, Callable[[], Weight]]
    nbytes: int
    license: Mapping[str, str]
    release: Callable[[], None]

    def read(self, name: str) -> Weight:
        """Read one weight as float32 in the shape of `Architecture.weight_shapes`."""
        return self.weights[name]()
