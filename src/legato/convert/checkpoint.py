"""A checkpoint as the converter sees it: sizes, vocabulary, prompts, and weights that are read one at a time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from legato.convert.architecture import Architecture
from legato.errors import CheckpointError

Weight = NDArray[np.float32]

#: Weights that inference does not use: the front end's constants (checked apart) and training-time heads.
UNUSED_PREFIXES = ("preprocessor.", "ctc_decoder.", "aux_ctc.", "ctc_head.", "loss.", "wer.", "spec_augmentation.")


@dataclass(frozen=True)
class Checkpoint:
    """A model that can be converted.

    Attributes:
        path: where it was read from.
        architecture: its sizes.
        pieces: SentencePiece pieces by token id, blank not included.
        prompt_dictionary: locale or bare language code -> prompt slot.
        weights: name (as NeMo names it) -> function that reads it as float32.
        nbytes: size of the weights as stored.
        release: closes the files behind `weights`; after it no weight can be read.
    """

    path: Path
    architecture: Architecture
    pieces: list[str]
    prompt_dictionary: dict[str, int]
    weights: Mapping[str, Callable[[], Weight]]
    nbytes: int
    release: Callable[[], None]

    def read(self, name: str) -> Weight:
        """Read one weight as float32."""
        return self.weights[name]()


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a `.nemo` archive or a transformers folder.

    Raises:
        CheckpointError: it is neither, it is broken or unsafe, or it holds another architecture.
    """
    from legato.convert.hf import open_transformers  # noqa: PLC0415
    from legato.convert.nemo import open_nemo  # noqa: PLC0415  each reader needs its own libraries

    if path.is_dir():
        return open_transformers(path)
    if path.is_file():
        return open_nemo(path)
    raise CheckpointError(f"{path}: no such file or folder. Give a .nemo archive or a transformers checkpoint folder.")


def check_shapes(path: Path, architecture: Architecture, found: dict[str, tuple[int, ...]]) -> None:
    """Compare the weights of a checkpoint with what its configuration promises.

    Raises:
        CheckpointError: names the first weights that are missing, of another shape, or unknown.
    """
    expected = architecture.weight_shapes()
    missing = [name for name in expected if name not in found]
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} weights are missing, {_some(missing)}. "
            "The checkpoint is incomplete or holds another architecture."
        )
    wrong = [f"{n} is {list(found[n])}, not {list(s)}" for n, s in expected.items() if found[n] != s]
    if wrong:
        raise CheckpointError(f"{path}: weights and configuration disagree: {_some(wrong)}.")
    unknown = [name for name in found if name not in expected and not name.startswith(UNUSED_PREFIXES)]
    if unknown:
        raise CheckpointError(
            f"{path}: this architecture has no place for {len(unknown)} of its weights, {_some(unknown)}. "
            "Only the cache-aware FastConformer RNN-T with a language prompt can be converted."
        )


def require(path: Path, part: str, values: Iterable[tuple[str, object, object]]) -> None:
    """Check configuration values that decide the architecture.

    Args:
        path: the checkpoint, for the message.
        part: the part of the model that the values belong to, for the message.
        values: (name, value found, value needed); each must be equal.

    Raises:
        CheckpointError: says which value of which part differs.
    """
    for name, found, needed in values:
        if found != needed:
            raise CheckpointError(
                f"{path}: another architecture: the {part} has {name} = {found!r}, Legato runs {needed!r} only."
            )


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
