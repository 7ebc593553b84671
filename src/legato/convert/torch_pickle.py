"""Loads the table of tensors from the pickle of a torch archive, without running its code and within limits.

A pickle is a program that can name and call any function of any installed module. This loader knows only the three
names that a dictionary of tensors needs and supplies their functions itself. Any other name is refused before it runs.
A small pickle can also ask for gigabytes of memory: its size, the number of its instructions and the indices of its
memo are limited before it is loaded.
"""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from legato.errors import CheckpointError

#: Bytes and instructions of a pickle. The model's own, of 700 tensors, has 0.1 MB and 25,000 instructions.
MAX_BYTES = 16 << 20
_MAX_INSTRUCTIONS = 1_000_000

_STORAGE_DTYPES: dict[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@dataclass(frozen=True)
class StoredTensor:
    """The location of a tensor in the archive. `TorchArchive.read` reads its values.

    Attributes:
        storage: name of the entry that contains it.
        dtype: type of its elements.
        offset: index of its first element in the storage.
        shape: its shape.
        strides: its strides, in elements.
    """

    storage: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _TensorUnpickler(pickle.Unpickler):
    """Unpickler that accepts tensors, their storages and ordered dictionaries, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGE_DTYPES:
            return name
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) in known:
            return known[module, name]
        raise CheckpointError(
            f"its pickle asks for {module}.{name}, which a file of weights does not need and which could run code. "
            "Refused. Get the checkpoint from a source that you trust, and save only its state_dict."
        )

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        kind, storage, key = pid[0], pid[1], pid[2]
        if kind != "storage" or storage not in _STORAGE_DTYPES:
            raise CheckpointError(f"its pickle contains an unknown kind of storage ({kind}, {storage}).")
        return storage, str(key)


def _rebuild_tensor(storage: tuple[str, str], offset: int, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    dtype = np.dtype(_STORAGE_DTYPES[storage[0]])
    return StoredTensor(storage[1], dtype, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _rebuild_parameter(data: StoredTensor, *_: Any) -> StoredTensor:
    return data


def load_pickle(data: bytes) -> Any:
    """Load a pickle of tensors.

    Raises:
        CheckpointError: it is broken, asks for anything but tensors, or exceeds a limit.
    """
    try:
        _check_limits(data)
        return _TensorUnpickler(io.BytesIO(data)).load()
    except (
        pickle.UnpicklingError, EOFError, IndexError, TypeError, ValueError, AttributeError, KeyError, OverflowError,
        RecursionError, MemoryError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"its pickle cannot be read ({error}).") from error


def _check_limits(data: bytes) -> None:
    """Raise CheckpointError if a pickle would need more memory than the table of a model's tensors does."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data), 1):
        if number > _MAX_INSTRUCTIONS:
            raise CheckpointError(f"its pickle has more than {_MAX_INSTRUCTIONS:,} instructions. Refused.")
        # The memo is an array: a large index makes it large at once.
        if "PUT" in opcode.name and isinstance(argument, int) and argument > _MAX_INSTRUCTIONS:
            raise CheckpointError(f"its pickle uses the memo index {argument:,}. Refused.")
