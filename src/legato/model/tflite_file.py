"""The interface of a LiteRT model, read from its file without LiteRT.

The file is a FlatBuffer (schema.fbs of LiteRT): tables whose fields are found through a table of offsets.
"""

import mmap
import re
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from legato.errors import BundleError
from legato.model.fields import printable
from legato.model.integrity import REMEDY
from legato.model.interface import Interface, Tensor

_DTYPES = {0: "float", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 9: "int8", 10: "double"}
INPUT, OUTPUT = re.compile(r"args_(\d+)"), re.compile(r"StatefulPartitionedCall:(\d+)")
_MOST = 1000


def read_interface(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Interface:
    """Read the interface of the first subgraph.

    Args:
        inputs, outputs: names of a contract. Tensors receive them by the number in their own name, else by position.

    Raises:
        BundleError: the file is no LiteRT model.
    """
    try:
        with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
            if data[4:8] != b"TFL3":
                raise ValueError("it has no mark of one")
            buffer = _Buffer(data)
            [subgraph, *_] = buffer.tables(buffer.offset(0), 2)
            tensors = buffer.tables(subgraph, 0)
            read = [[_tensor(buffer, tensors[i]) for i in buffer.numbers(subgraph, field)] for field in (1, 2)]
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise BundleError(f"{path}: is not a LiteRT model, or was cut off ({error}). {REMEDY}") from None
    return Interface(path, _named(read[0], INPUT, inputs), _named(read[1], OUTPUT, outputs))


def role_numbers(names: Sequence[str], pattern: re.Pattern[str], roles: int) -> list[int] | None:
    """Return the role of every tensor: the number in its name, else its position.

    Args:
        names: of the inputs or outputs, in their order.
        pattern: `INPUT` or `OUTPUT`.
        roles: number of the roles; None is returned if there are fewer or more tensors.
    """
    if len(names) != roles:
        return None
    numbers = [int(match[1]) if (match := pattern.search(name)) else -1 for name in names]
    return numbers if sorted(numbers) == list(range(roles)) else list(range(roles))


def _named(tensors: list[Tensor], pattern: re.Pattern[str], names: Sequence[str]) -> tuple[Tensor, ...]:
    """Name the tensors after their roles, if there are as many as roles."""
    numbers = role_numbers([tensor.name for tensor in tensors], pattern, len(names))
    if numbers is None:
        return tuple(tensors)
    return tuple(Tensor(names[n], each.dtype, each.shape) for n, each in sorted(zip(numbers, tensors, strict=True)))


def _tensor(buffer: "_Buffer", table: int) -> Tensor:
    name = buffer.text(table, 3)
    place = buffer.field(table, 1)
    kind = buffer.byte(place) if place else 0
    shape = buffer.numbers(table, 7) or buffer.numbers(table, 0)
    return Tensor(name, _DTYPES.get(kind, f"of type {kind}"), tuple(size if size > 0 else None for size in shape))


class _Buffer:
    """Reads the tables of a FlatBuffer. A place outside of it is a struct.error or a ValueError."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    def byte(self, place: int) -> int:
        return self._read("<B", place)

    def offset(self, place: int) -> int:
        """Follow the offset at a place."""
        return place + self._read("<I", place)

    def field(self, table: int, number: int) -> int:
        """Return the place of a field of a table, or 0 if the table lacks it."""
        directory = table - self._read("<i", table)
        if 4 + 2 * number >= self._read("<H", directory):
            return 0
        inside = self._read("<H", directory + 4 + 2 * number)
        return table + inside if inside else 0

    def numbers(self, table: int, number: int) -> list[int]:
        """Return a field that is a vector of int32; an absent one is empty."""
        start, count = self._vector(table, number)
        return [self._read("<i", start + 4 * index) for index in range(count)]

    def tables(self, table: int, number: int) -> list[int]:
        """Return the places of the tables in a field that is a vector of them."""
        start, count = self._vector(table, number, 1 << 20)
        return [self.offset(start + 4 * index) for index in range(count)]

    def text(self, table: int, number: int) -> str:
        """Return a field that is a text."""
        start, count = self._vector(table, number)
        return printable(self._data[start : start + count].decode("utf-8", "replace"))

    def _vector(self, table: int, number: int, most: int = _MOST) -> tuple[int, int]:
        place = self.field(table, number)
        if not place:
            return 0, 0
        start = self.offset(place)
        count = self._read("<I", start)
        if count > most:
            raise ValueError(f"a vector of {count} elements")
        return start + 4, count

    def _read(self, kind: str, place: int) -> int:
        if place < 0:
            raise ValueError("an offset before the beginning")
        return int(struct.unpack_from(kind, self._data, place)[0])
