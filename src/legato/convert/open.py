"""Opens a checkpoint in any of the three formats."""

from pathlib import Path

from legato.convert.checkpoint import Checkpoint
from legato.convert.gguf import MAGIC, open_gguf
from legato.convert.hf import open_transformers
from legato.convert.nemo import open_nemo
from legato.errors import CheckpointError
from legato.model.fields import FieldError


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a `.nemo` archive, a GGUF file or a transformers folder. The caller calls `Checkpoint.release` at the end.

    Raises:
        CheckpointError: the path is none of them, or it is broken, unsafe, or has another architecture.
    """
    try:
        return _open(path)
    except FieldError as error:
        raise CheckpointError(str(error)) from error


def _open(path: Path) -> Checkpoint:
    if path.is_dir():
        return open_transformers(path)
    if path.is_file():
        with path.open("rb") as file:
            gguf = file.read(len(MAGIC)) == MAGIC or path.suffix == ".gguf"
        return open_gguf(path) if gguf else open_nemo(path)
    raise CheckpointError(
        f"{path}: no such file or folder. Specify a .nemo archive, a .gguf file, or the folder of a transformers "
        "checkpoint."
    )
