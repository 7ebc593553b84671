"""Reads the tables of a FlatBuffer: tables whose fields are found through a table of offsets."""

import mmap
import struct

from legato.model.fields import printable

_MOST = 1000


class FlatBuffer:
    """A mapped file. A place outside of it is a struct.error or a ValueError."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    def root(self) -> int:
        """Return the place of the first table."""
        return self._offset(0)

    def whole(self, table: int, number: int, kind: str, default: int = 0) -> int:
        """Return a field that is a number; `kind` is its format in the module `struct`."""
        place = self._field(table, number)
        return self._read(f"<{kind}", place) if place else default

    def numbers(self, table: int, number: int) -> tuple[int, ...]:
        """Return a field that is a vector of int32; an absent one is empty."""
        start, count = self._vector(table, number)
        return struct.unpack_from(f"<{count}i", self._data, start)

    def table(self, table: int, number: int) -> int:
        """Return the place of a table in a field, or 0 if the field is absent."""
        place = self._field(table, number)
        return self._offset(place) if place else 0

    def tables(self, table: int, number: int) -> list[int]:
        """Return the places of the tables in a field that is a vector of them."""
        start, count = self._vector(table, number, 1 << 20)
        offsets = struct.unpack_from(f"<{count}I", self._data, start)
        return [start + 4 * index + offset for index, offset in enumerate(offsets)]

    def text(self, table: int, number: int) -> str:
        """Return a field that is a text."""
        start, count = self._vector(table, number)
        return printable(self._data[start : start + count].decode("utf-8", "replace"))

    def length(self, table: int, number: int, size: int) -> int:
        """Return the number of elements of a field that is a vector, of any length that fits into the file.

        Args:
            size: bytes of an element.
        """
        start, count = self._vector(table, number, len(self._data))
        if start + size * count > len(self._data):
            raise ValueError("a vector beyond the end")
        return count

    def _offset(self, place: int) -> int:
        return place + self._read("<I", place)

    def _field(self, table: int, number: int) -> int:
        """Return the place of a field of a table, or 0 if the table lacks it."""
        directory = table - self._read("<i", table)
        if 4 + 2 * number >= self._read("<H", directory):
            return 0
        inside = self._read("<H", directory + 4 + 2 * number)
        return table + inside if inside else 0

    def _vector(self, table: int, number: int, most: int = _MOST) -> tuple[int, int]:
        place = self._field(table, number)
        if not place:
            return 0, 0
        start = self._offset(place)
        count = self._read("<I", start)
        if count > most:
            raise ValueError(f"a vector of {count} elements")
        return start + 4, count

    def _read(self, kind: str, place: int) -> int:
        if place < 0:
            raise ValueError("an offset before the beginning")
        return int(struct.unpack_from(kind, self._data, place)[0])
