"""What an ONNX file says about itself, read without ONNX Runtime: its interface, and the files that hold its weights.

An ONNX file is a protobuf message (onnx.proto). Only the fields that are needed are read; the others are skipped.
"""

import mmap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath, PureWindowsPath

from legato.errors import BundleError
from legato.model.fields import printable
from legato.model.integrity import REMEDY
from legato.model.interface import Interface, Tensor

#: Element types by their number in onnx.proto, with the names that ONNX Runtime gives them.
_DTYPES = {
    1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double", 16: "bfloat16",
}  # fmt: skip
_MOST_DIMENSIONS = 16
_DEEPEST = 32

#: A message: its bytes, its first byte and the byte after its last.
_Message = tuple[mmap.mmap, int, int]


class _BrokenError(ValueError):
    """Bytes that are no such message."""


def read_interface(path: Path) -> Interface:
    """Read the interface of a graph, and check that its weights are in files of the same folder.

    Raises:
        BundleError: the file is no ONNX graph, or its weights are elsewhere, missing or cut off.
    """
    try:
        with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
            return _read_model(path, (data, 0, len(data)))
    except _BrokenError as error:
        raise BundleError(f"{path}: is not an ONNX graph, or was cut off ({error}). {REMEDY}") from None
    except (OSError, ValueError) as error:  # mmap refuses empty files with a ValueError
        raise BundleError(f"{path}: cannot be read ({error}). {REMEDY}") from None


def _read_model(path: Path, model: _Message) -> Interface:
    outside = _Outside(path)
    graphs = []
    for number, value in _fields(model):
        if number == 7 and isinstance(value, tuple):
            graphs.append(value)
        elif number == 25 and isinstance(value, tuple):  # a function
            outside.check_all(value, 0)
    if len(graphs) != 1:  # the parts of a graph that comes twice would be merged
        raise _BrokenError(f"it has {len(graphs)} graphs")
    return _read_graph(path, graphs[0], outside)


def _read_graph(path: Path, graph: _Message, outside: "_Outside") -> Interface:
    inputs, outputs = [], []
    stored: set[str] = set()
    for number, value in _fields(graph):
        if not isinstance(value, tuple):
            continue
        if number == 5:  # an initializer
            stored.add(outside.check(value))
        elif number == 11:
            inputs.append(_tensor(value))
        elif number == 12:
            outputs.append(_tensor(value))
        elif number in {1, 15}:  # a node or a sparse initializer
            outside.check_all(value, 0)
    # Old graphs list their initializers as inputs too.
    return Interface(path, tuple(tensor for tensor in inputs if tensor.name not in stored), tuple(outputs))


def _tensor(info: _Message) -> Tensor:
    name, dtype = "", "of no type"
    shape: tuple[int | None, ...] | None = None
    for number, value in _fields(info):
        if number == 1 and isinstance(value, tuple):
            name = _text(value)
        elif number == 2 and isinstance(value, tuple):
            kind = _last(_fields(value), 1)
            for inner, part in _fields(kind) if kind else ():
                if inner == 1 and isinstance(part, int):
                    dtype = _DTYPES.get(part, f"of type {part}")
                elif inner == 2 and isinstance(part, tuple):
                    shape = _shape(part)
    return Tensor(name, dtype, shape)


def _shape(message: _Message) -> tuple[int | None, ...]:
    sizes: list[int | None] = []
    for number, value in _fields(message):
        if number == 1 and isinstance(value, tuple):
            known = [part for inner, part in _fields(value) if inner == 1 and isinstance(part, int)]
            sizes.append(known[-1] if known and 0 < known[-1] < 1 << 62 else None)
        if len(sizes) > _MOST_DIMENSIONS:
            raise _BrokenError("a tensor has too many dimensions")
    return tuple(sizes)


class _Outside:
    """Checks where the weights of a graph are, if not in the graph."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sizes: dict[str, int] = {}

    def check_all(self, message: _Message, depth: int) -> None:
        """Check the tensors in a node, in its attributes, in their graphs, or in a sparse tensor."""
        if message[0].find(b"location", message[1], message[2]) < 0:  # the key of a file's name
            return
        if depth > _DEEPEST:
            raise _BrokenError("its graphs are nested too deeply")
        self.check(message, strict=False)
        for _, value in _fields_or_none(message):
            if isinstance(value, tuple):
                self.check_all(value, depth + 1)

    def check(self, tensor: _Message, *, strict: bool = True) -> str:
        """Check one tensor and return its name."""
        name, entries = "", {}
        for number, value in _fields(tensor) if strict else _fields_or_none(tensor):
            if not isinstance(value, tuple):
                continue
            if number == 8 and strict:
                name = _text(value)
            elif number == 13:
                pair = [_last(_fields_or_none(value), part) for part in (1, 2)]
                entries[_text(pair[0]) if pair[0] else ""] = _text(pair[1]) if pair[1] else ""
        if "location" in entries:
            self._check_place(entries)
        return name

    def _check_place(self, entries: dict[str, str]) -> None:
        location = entries["location"]
        if location not in self._sizes:
            self._sizes[location] = self._size(location)
        try:
            end = int(entries.get("offset") or 0) + int(entries.get("length") or 0)
        except ValueError:
            raise _BrokenError("the place of a weight is no number") from None
        if end > self._sizes[location]:
            raise BundleError(
                f"{self._path.with_name(location)}: has {self._sizes[location]} bytes, and {self._path.name} needs "
                f"{end}: it was cut off, or belongs to another model. {REMEDY}"
            )

    def _size(self, location: str) -> int:
        inside = PurePosixPath(location)
        if inside.is_absolute() or PureWindowsPath(location).is_absolute() or ".." in PureWindowsPath(location).parts:
            raise BundleError(f"{self._path}: wants to read {location!r}, outside of its folder. Choose another model.")
        file = self._path.parent / inside
        if not file.is_file():
            raise BundleError(f"{self._path.parent}: {location} is missing. {REMEDY}")
        # The hub's cache has links to files that lie in one folder, graphs and weights together.
        folders = (self._path.parent.resolve(), self._path.resolve().parent)
        if not any(file.resolve().is_relative_to(folder) for folder in folders):
            raise BundleError(f"{file}: is a link to another folder. Copy the file itself into the model's folder.")
        return file.stat().st_size


def _fields(message: _Message) -> Iterator[tuple[int, int | _Message]]:
    """Yield number and value of the fields of a message: a number, or the place of bytes."""
    data, position, end = message
    while position < end:
        key = data[position]
        position += 1
        if key >= 0x80:
            key, position = _varint(data, position - 1, end)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, position = _varint(data, position, end)
            yield number, value
            continue
        if kind == 2:
            size = data[position] if position < end else 0x80
            position += 1
            if size >= 0x80:
                size, position = _varint(data, position - 1, end)
        elif kind in {1, 5}:
            size = 8 if kind == 1 else 4
        else:
            raise _BrokenError(f"byte {position} begins no field")
        if position + size > end:
            raise _BrokenError(f"the field at byte {position} goes beyond the end")
        yield number, (data, position, position + size)
        position += size


def _fields_or_none(message: _Message) -> Iterator[tuple[int, int | _Message]]:
    """Yield the fields of bytes that may be no message, as far as they are one."""
    try:
        yield from _fields(message)
    except _BrokenError:
        return


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _BrokenError(f"byte {position} begins no number")


def _last(fields: Iterator[tuple[int, int | _Message]], wanted: int) -> _Message | None:
    """Return the last field of a number that holds bytes."""
    last = None
    for number, value in fields:
        if number == wanted and isinstance(value, tuple):
            last = value
    return last


def _text(message: _Message) -> str:
    data, start, end = message
    return printable(data[start : min(end, start + 1000)].decode("utf-8", "replace"))
