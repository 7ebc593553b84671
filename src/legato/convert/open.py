"""Opens a checkpoint in either of the two formats."""

from pathlib import Path

from legato.convert.checkpoint import Checkpoint
from legato.convert.hf import open_transformers
from legato.convert.nemo import open_nemo
from legato.errors import CheckpointError


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a `.nemo` archive or a transformers folder. The caller calls `Checkpoint.release` when it is done.

    Raises:
        CheckpointError: the path is neither, or it is broken, unsafe, or has another architecture.
    """
    if path.is_dir():
        return open_transformers(path)
    if path.is_file():
        return open_nemo(path)
    raise CheckpointError(
        f"{path}: no such file or folder. Specify a .nemo archive or the folder of a transformers checkpoint."
    )
