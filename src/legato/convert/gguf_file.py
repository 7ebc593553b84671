"""A GGUF file: its metadata, and tensors that are read one at a time as float32."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from legato.convert.checkpoint import Weight
from legato.errors import CheckpointError

T = TypeVar("T")

_Q8_BLOCK = 32
#: Reads that a file's header may need: a vocabulary of 13,087 pieces needs about 60,000.
_MAX_READS = 2_000_000
#: What the reader of the package `gguf` raises on a malformed file.
_MALFORMED = (ValueError, KeyError, IndexError, TypeError, OverflowError, RecursionError, MemoryError, OSError)


class _Reader(GGUFReader):  # type: ignore[misc, unused-ignore]
    """Refuses to read past the end of the file, and headers that claim to be endless."""

    reads = 0

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> NDArray[Any]:
        values: NDArray[Any] = super()._get(offset, dtype, count, override_order)
        self.reads += 1
        if len(values) != int(count):
            raise ValueError("it ends early")
        if self.reads > _MAX_READS:
            raise ValueError("its header is too long")
        return values


class GGUFFile:
    """An open GGUF file, memory-mapped.

    Attributes:
        path: the file.
        tensors: name -> shape as numpy has it, the slowest dimension first.
    """

    def __init__(self, path: Path) -> None:
        """Open `path` and read its header.

        Raises:
            CheckpointError: it is no GGUF file, or it is broken or truncated.
        """
        self.path = path
        try:
            reader = _Reader(path)
        except _MALFORMED as error:
            raise CheckpointError(f"{path}: not a GGUF file, or broken or truncated ({error}).") from error
        if reader.byte_order != "I":
            raise CheckpointError(f"{path}: has the byte order of another machine. Write it again on this one.")
        self._fields = reader.fields
        self._stored = {tensor.name: tensor for tensor in reader.tensors}
        self.tensors = {tensor.name: tuple(map(int, reversed(tensor.shape.tolist()))) for tensor in reader.tensors}

    def value(self, key: str, kind: Callable[[Any], T], default: T | None = None) -> T:
        """Return a value of the metadata.

        Args:
            kind: makes the type of the result: `int`, `str`, or a function.
            default: the value where the file has none.

        Raises:
            CheckpointError: the value is missing and there is no default, or it has another type.
        """
        field = self._fields.get(key)
        if field is None:
            if default is None:
                raise CheckpointError(f"{self.path}: its metadata has no {key}, so the file is incomplete.")
            return default
        try:
            return kind(field.contents())
        except _MALFORMED as error:
            raise CheckpointError(f"{self.path}: its metadata has an unusable {key} ({error}).") from error

    def read(self, name: str, *, planar: bool = False) -> Weight:
        """Read a tensor as float32.

        Args:
            name: its name in the file.
            planar: if it is Q8_0, all its integers stand before all its scales.

        Raises:
            CheckpointError: its type cannot be read.
        """
        tensor = self._stored[name]
        if tensor.tensor_type in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            return np.array(tensor.data, np.float32)
        if planar and tensor.tensor_type == GGMLQuantizationType.Q8_0:
            return _dequantize_planar(np.asarray(tensor.data), self.tensors[name])
        try:
            return np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        except (NotImplementedError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}: {name} has the type {tensor.tensor_type.name}, which cannot be read. Use a file in F32, "
                "F16 or Q8_0."
            ) from error

    def close(self) -> None:
        """Unmap the file; pages that were read count as memory of this process until then."""
        self._stored.clear()
        self._fields.clear()


def _dequantize_planar(data: NDArray[np.uint8], shape: tuple[int, ...]) -> Weight:
    raw = data.reshape(-1)
    count = int(np.prod(shape))
    values = raw[:count].view(np.int8).reshape(-1, _Q8_BLOCK).astype(np.float32)
    scales = raw[count:].view(np.float16).astype(np.float32)
    return np.asarray((values * scales[:, None]).reshape(shape))
