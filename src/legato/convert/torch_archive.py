"""Reads the tensors of a file saved by `torch.save` without torch and without running the code of its pickle.

A pickle is a program that can name and call any function of any installed module. This reader knows only the three
names that a dictionary of tensors needs and supplies their functions itself. Any other name is refused before it runs.
"""

import mmap
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from legato.errors import CheckpointError

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


def _unpickle(archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError("contains no data.pkl, so it was not saved by torch.save.")
    try:
        with archive.open(pickles[0]) as stream:
            return _TensorUnpickler(stream).load()
    except (pickle.UnpicklingError, EOFError, IndexError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(f"its pickle cannot be read ({error}).") from error


def _tensors(loaded: Any) -> dict[str, StoredTensor]:
    """Return the tensors of a dictionary, or of the dictionary under its key `state_dict`."""
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict):
        raise CheckpointError(f"contains a {type(loaded).__name__}, not a dictionary of tensors.")
    return {str(name): value for name, value in loaded.items() if isinstance(value, StoredTensor)}


class TorchArchive:
    """An open `torch.save` file (zip format, little-endian, uncompressed as torch writes it), memory-mapped."""

    def __init__(self, path: Path) -> None:
        """Open `path` and read its table of tensors.

        Raises:
            CheckpointError: it is not such a file, or its pickle asks for anything but tensors.
        """
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                entries = {Path(info.filename).name: info for info in archive.infolist() if "/data/" in info.filename}
                self.tensors = _tensors(_unpickle(archive))
        except zipfile.BadZipFile as error:
            raise CheckpointError(
                f"{path.name}: not in the zip format of torch (broken, or saved by torch before 1.6). Save it again "
                "with a current version of torch."
            ) from error
        except CheckpointError as error:
            raise CheckpointError(f"{path.name}: {error}") from error
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise CheckpointError(f"{path.name}: its tensors are compressed, which torch.save never does.")
        self._offsets = {name: info.header_offset for name, info in entries.items()}
        self._sizes = {name: info.file_size for name, info in entries.items()}
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self, name: str) -> NDArray[Any]:
        """Read one tensor as a copy in its own dtype.

        Raises:
            CheckpointError: the storage of the tensor is missing or too short.
        """
        tensor = self.tensors[name]
        if tensor.storage not in self._offsets:
            raise CheckpointError(f"{self.path.name}: the storage of {name} is missing; the file is incomplete.")
        header = self._offsets[tensor.storage]
        # A local zip header is 30 bytes, a name and an extra field, whose lengths are at offsets 26 and 28. Torch pads
        # the extra field for alignment, which the central directory does not show.
        lengths = np.frombuffer(self._map, "<u2", count=2, offset=header + 26)
        start = header + 30 + int(lengths.sum())
        count = self._sizes[tensor.storage] // tensor.dtype.itemsize
        last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        if (0 in tensor.shape) or not 0 <= tensor.offset <= last < count:
            raise CheckpointError(f"{self.path.name}: {name} extends beyond its storage; the file is broken.")
        storage = np.frombuffer(self._map, tensor.dtype, count=count, offset=start)
        strides = tuple(s * tensor.dtype.itemsize for s in tensor.strides)
        view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
        return view.copy()

    def close(self) -> None:
        """Close the memory map. No tensor can be read afterwards."""
        self._map.close()
