"""The check for free disk space before a conversion."""

import os
import shutil
from pathlib import Path

from legato.convert.architecture import Architecture
from legato.errors import ConversionError
from legato.files import describe_size

#: Bytes per weight of a bundle.
_BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.3}


def check_room(folder: Path, architecture: Architecture, precision: str, *, compared: bool, recorded_rows: int) -> None:
    """Refuse a conversion whose output cannot fit. Create the folder if it does not exist.

    Args:
        folder: the folder in which the bundle is created.
        architecture: sizes of the model.
        precision: `fp32`, `fp16` or `int8`.
        compared: whether an FP32 bundle to compare it with is there for a while.
        recorded_rows: encoder frames for which the recipe records the inputs of all linear layers of the encoder.

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
    needed = architecture.parameters * (_BYTES[precision] + (_BYTES["fp32"] if compared else 0))
    if recorded_rows:  # next to the encoder in FP32, before anything else is written
        a = architecture
        inputs = a.layers * (6 * a.width + 2 * a.feed_forward) + a.subsampling_channels * a.subsampled_bins
        needed = max(needed, 4.0 * (a.parameters + recorded_rows * inputs))
    if free < needed * 1.02:
        raise ConversionError(
            f"{folder}: no room: the conversion temporarily needs {describe_size(needed)}, and "
            f"{describe_size(free)} are free. Free some space, or choose another output folder."
        )
