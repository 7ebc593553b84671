"""Loads the table of tensors from the pickle of a torch archive, without running its code and within limits.

A pickle is a program that can name and call any function of any installed module. This loader executes only the
instructions that torch writes for a dictionary of tensors, and knows only the three names that such a dictionary needs,
whose functions it supplies itself. Anything else is refused before it runs. A small pickle could also ask for gigabytes
of memory or hours of work: its size and the number of its instructions are limited, and nothing that it builds is ever
hashed, compared or printed as a whole.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

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

_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True, slots=True)
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


class _Storage(NamedTuple):
    name: str
    dtype: np.dtype[Any]


def _rebuild_tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> StoredTensor:
    if not isinstance(storage, _Storage) or type(offset) is not int:
        raise ValueError("a tensor has no storage or no offset")
    return StoredTensor(storage.name, storage.dtype, offset, _numbers(shape), _numbers(strides))


def _numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or any(type(number) is not int for number in value):
        raise ValueError("the shape or the strides of a tensor are no whole numbers")
    return value


def _rebuild_parameter(data: object, *_: object) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise ValueError("a parameter is no tensor")
    return data


def _ordered_dict() -> dict[object, object]:
    return {}


_FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


def load_pickle(data: bytes) -> Any:
    """Load a pickle of tensors.

    Raises:
        CheckpointError: it is broken, asks for anything but tensors, or exceeds a limit.
    """
    machine = _Machine()
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(data), 1):
            if number > _MAX_INSTRUCTIONS:
                raise CheckpointError(f"its pickle has more than {_MAX_INSTRUCTIONS:,} instructions. Refused.")
            machine.execute(opcode.name, argument)
        return machine.stack.pop()
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"its pickle cannot be read ({error}). Copy or download the checkpoint again.") from error


class _Machine:
    """Executes the instructions of a pickle that torch writes with the protocols 2 to 4. Errors: as `load_pickle`."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def execute(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self._last(_TUPLES[name])))
        elif name in {"BINPUT", "LONG_BINPUT"}:
            self._memo[argument] = self.stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            self.stack.append(self._memo[argument])
        else:
            self._combine(name, argument)

    def _combine(self, name: str, argument: Any) -> None:
        match name:
            case "MARK":
                self._marks.append(len(self.stack))
            case "MEMOIZE":
                self._memo[len(self._memo)] = self.stack[-1]
            case "TUPLE":
                self.stack.append(tuple(self._marked()))
            case "APPEND" | "APPENDS":
                items = self._last(1) if name == "APPEND" else self._marked()
                self._top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._last(2) if name == "SETITEM" else self._marked()
                self._top(dict).update(zip(map(_key, items[::2]), items[1::2], strict=True))
            case "BUILD":  # torch adds the versions of the layers to the dictionary; they are not needed
                self.stack.pop()
                self._top(dict)
            case "GLOBAL":
                self.stack.append(_find(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                self.stack.append(_find(*self._last(2)))
            case "BINPERSID":
                self.stack.append(_storage(self.stack.pop()))
            case "REDUCE":
                function, arguments = self._last(2)
                if not callable(function) or not isinstance(arguments, tuple):
                    raise ValueError("it calls what is no function")
                self.stack.append(function(*arguments))
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _:
                raise CheckpointError(
                    f"its pickle has the instruction {name}, which torch does not write for weights. Refused. Get the "
                    "checkpoint from a source that you trust, and save only its state_dict, with torch.save."
                )

    def _last(self, count: int) -> list[Any]:
        """Take the last values from the stack, exactly `count`."""
        items = self.stack[-count:]
        if len(items) != count:
            raise ValueError("it needs values that are not there")
        del self.stack[-count:]
        return items

    def _marked(self) -> list[Any]:
        """Take the values after the last mark."""
        mark = self._marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"it fills what is no {kind.__name__}")
        return self.stack[-1]


def _key(value: object) -> str | int:
    # The hash of a nested tuple can need hours, and large numbers can be chosen so that all have the same hash.
    if not isinstance(value, str) and (type(value) is not int or abs(value) >= 1 << 31):
        raise ValueError("a key of a dictionary is neither a text nor a small whole number")
    return value


def _find(module: object, name: object) -> str | Callable[..., Any]:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a name is no text")
    if module == "torch" and name in _STORAGE_DTYPES:
        return name
    if (module, name) in _FUNCTIONS:
        return _FUNCTIONS[module, name]
    raise CheckpointError(
        f"its pickle asks for {f'{module}.{name}':.100}, which a file of weights does not need and which could run "
        "code. Refused. Get the checkpoint from a source that you trust, and save only its state_dict."
    )


def _storage(identity: object) -> _Storage:
    match identity:
        case ("storage", str(kind), str(key), *_) if kind in _STORAGE_DTYPES:
            return _Storage(key, np.dtype(_STORAGE_DTYPES[kind]))
    raise ValueError("it has an unknown kind of storage")
