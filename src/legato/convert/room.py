"""The check for free disk space before a conversion."""

import os
import shutil
from pathlib import Path

from legato.convert.architecture import Architecture
from legato.errors import ConversionError

#: Bytes per weight while a conversion runs: the bundle, and an FP32 bundle to compare it with.
_BYTES = {"fp32": 4.0, "fp16": 2.0 + 4.0, "int8": 1.3 + 4.0}


def check_room(folder: Path, architecture: Architecture, precision: str) -> None:
    """Refuse a conversion whose output cannot fit. Create the folder if it does not exist.

    Args:
        folder: the folder in which the bundle is created.
        architecture: sizes of the model.
        precision: `fp32`, `fp16` or `int8`.

    Raises:
        ConversionError: the folder is not writable, or the disk has too little free space.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ConversionError(f"{folder}: not writable ({error}). Choose another output folder.") from error
    if not os.access(folder, os.W_OK):
        raise ConversionError(f"{folder}: not writable. Choose another output folder.")
    needed = architecture.parameters * _BYTES[precision]
    if free < needed * 1.02:
        raise ConversionError(
            f"{folder}: no room: the conversion temporarily needs {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are "
            "free. Free some space, or choose another output folder."
        )
