"""The interface of a LiteRT model, read from its file without LiteRT.

The file is a FlatBuffer whose tables are those of LiteRT's schema.fbs.
"""

import mmap
import re
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from legato.errors import BundleError
from legato.model.flatbuffer import FlatBuffer
from legato.model.integrity import REMEDY
from legato.model.interface import Interface, Role, Tensor
from legato.model.tflite_check import check_model

_DTYPES = {0: "float", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 9: "int8", 10: "double"}
INPUT, OUTPUT = re.compile(r"args_(\d+)"), re.compile(r"StatefulPartitionedCall:(\d+)")


def read_interface(path: Path, inputs: Sequence[Role], outputs: Sequence[Role]) -> Interface:
    """Read the interface of the first subgraph, and check that the file is sound.

    Args:
        inputs, outputs: of a contract. Tensors receive the names of their roles, see `role_names`.

    Raises:
        BundleError: the file is no LiteRT model, or is damaged.
    """
    try:
        with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
            if data[4:8] != b"TFL3":
                raise ValueError("it has no mark of one")
            buffer = FlatBuffer(data)
            check_model(buffer, len(data))
            subgraph = buffer.tables(buffer.root(), 2)[0]
            tensors = buffer.tables(subgraph, 0)
            read = [[_tensor(buffer, tensors[i]) for i in buffer.numbers(subgraph, field)] for field in (1, 2)]
    except (OSError, ValueError, struct.error) as error:
        raise BundleError(f"{path}: is not a LiteRT model, or is damaged ({error}). {REMEDY}") from None
    return Interface(path, _named(read[0], INPUT, inputs), _named(read[1], OUTPUT, outputs))


def role_names(names: Sequence[str], pattern: re.Pattern[str], roles: Sequence[Role]) -> list[str]:
    """Return a name for each input or output: that of its role, or its own if it has none.

    A tensor's role is its name, or the number in its name. Positions count where these are not clear; if there are
    fewer tensors than roles, the optional roles are then those that are absent.

    Args:
        names: of the inputs or outputs, in their order.
        pattern: `INPUT` or `OUTPUT`.
        roles: those of the contract, in their order.
    """
    contract = [role.name for role in roles]
    numbers = [_number(name, pattern, contract) for name in names]
    known = {number for number in numbers if number is not None}
    distinct = len(known) == len(numbers) - numbers.count(None)
    required = {place for place, role in enumerate(roles) if not role.optional}
    all_numbered = 0 < len(known) == len(names)
    gap = all_numbered and max(known) < len(roles) and known != set(range(len(names)))  # it tells what is absent
    if not distinct or not (required <= known or gap):
        order = list(range(len(names)))
        if all_numbered:
            order.sort(key=lambda place: numbers[place] or 0)
        numbers = [None] * len(names)
        expected = range(len(roles)) if len(names) >= len(roles) else sorted(required)
        for place, number in zip(order, expected, strict=False):
            numbers[place] = number
    return [
        name if number is None or number >= len(roles) else contract[number]
        for name, number in zip(names, numbers, strict=True)
    ]


def _number(name: str, pattern: re.Pattern[str], contract: list[str]) -> int | None:
    bare = name.removeprefix("serving_default_").removesuffix(":0")
    if bare in contract:
        return contract.index(bare)
    return int(match[1]) if (match := pattern.search(name)) else None


def _named(tensors: list[Tensor], pattern: re.Pattern[str], roles: Sequence[Role]) -> tuple[Tensor, ...]:
    names = role_names([tensor.name for tensor in tensors], pattern, roles)
    return tuple(Tensor(name, each.dtype, each.shape) for name, each in zip(names, tensors, strict=True))


def _tensor(buffer: FlatBuffer, table: int) -> Tensor:
    kind = buffer.whole(table, 1, "b")
    shape = buffer.numbers(table, 7) or buffer.numbers(table, 0)
    return Tensor(
        buffer.text(table, 3),
        _DTYPES.get(kind, f"of type {kind}"),
        tuple(size if size > 0 else None for size in shape),
    )
