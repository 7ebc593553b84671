"""Reads the tensors of a file saved by `torch.save` without torch."""

import math
import mmap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.convert.torch_pickle import MAX_BYTES, StoredTensor, load_pickle
from legato.errors import CheckpointError

#: Bytes of a local zip header before the name.
_HEADER = 30


def _unpickle(archive: zipfile.ZipFile) -> Any:
    pickles = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError("contains no data.pkl, so it was not saved by torch.save.")
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise CheckpointError("is compressed, which torch.save never does. Save it again with torch.save.")
    with archive.open(pickles[0]) as stream:
        data = stream.read(MAX_BYTES + 1)  # the directory may lie about the size
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"its data.pkl has more than {MAX_BYTES >> 20} MB. Refused.")
    return load_pickle(data)


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
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
            raise CheckpointError(
                f"{path.name}: not in the zip format of torch (broken, or saved by torch before 1.6). Save it again "
                "with a current version of torch."
            ) from error
        except CheckpointError as error:
            raise CheckpointError(f"{path.name}: {error}") from error
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
        start = self._start(tensor.storage, name)
        count = self._sizes[tensor.storage] // tensor.dtype.itemsize
        if start + count * tensor.dtype.itemsize > len(self._map) or not _fits(tensor, count):
            raise CheckpointError(f"{self.path.name}: {name} extends beyond its storage; the file is broken.")
        storage = np.frombuffer(self._map, tensor.dtype, count=count, offset=start)
        strides = tuple(s * tensor.dtype.itemsize for s in tensor.strides)
        view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
        return view.copy()

    def _start(self, storage: str, name: str) -> int:
        """Return where the data of an entry begins.

        A local zip header is 30 bytes, a name and an extra field, whose lengths are at offsets 26 and 28. Torch pads
        the extra field for alignment, which the central directory does not show.
        """
        header = self._offsets[storage]
        if not 0 <= header <= len(self._map) - _HEADER:
            raise CheckpointError(f"{self.path.name}: the storage of {name} lies outside of the file; it is broken.")
        lengths = np.frombuffer(self._map, "<u2", count=2, offset=header + 26)
        return header + _HEADER + int(lengths.sum())

    def close(self) -> None:
        """Close the memory map. No tensor can be read afterwards."""
        self._map.close()


def _fits(tensor: StoredTensor, count: int) -> bool:
    """Return whether every element of a tensor lies in its storage of `count` elements, and no more than these.

    Python's integers do not overflow, so forged numbers are compared as they are.
    """
    if len(tensor.shape) != len(tensor.strides) or any(n < 1 for n in tensor.shape):
        return False
    if any(n > 1 and stride < 1 for n, stride in zip(tensor.shape, tensor.strides, strict=True)):
        return False
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    return 0 <= tensor.offset <= last < count and math.prod(tensor.shape) <= count
