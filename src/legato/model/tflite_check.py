"""Whether a LiteRT model is sound. LiteRT believes what a file says: a wrong index or size ends or blocks the process.

Numbers of fields are those of LiteRT's schema.fbs.
"""

import math

from legato.model.flatbuffer import FlatBuffer

#: Bits of an element by the number of its type.
_BITS = {
    0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64, 15: 32, 16: 16, 17: 4, 18: 16,
}  # fmt: skip
#: Options of SPLIT, UNPACK and SPLIT_V: their first field is the number of outputs.
_COUNT_OUTPUTS = {35, 64, 79}
_LARGEST = 1 << 32
_MOST_DIMENSIONS = 8


def check_model(buffer: FlatBuffer, size: int) -> None:
    """Check the operators and tensors of every subgraph: indices, sizes, and that an operator reads what is there.

    Args:
        size: bytes of the file.

    Raises:
        ValueError, struct.error: what is wrong.
    """
    model = buffer.root()
    operators = len(buffer.tables(model, 1))
    buffers = [_bytes(buffer, each, size) for each in buffer.tables(model, 4)]
    subgraphs = buffer.tables(model, 2)
    if not subgraphs:
        raise ValueError("it has no graph")
    for subgraph in subgraphs:
        _check_subgraph(buffer, subgraph, operators, buffers)


def _bytes(buffer: FlatBuffer, table: int, size: int) -> int:
    """Return the size of a buffer, which may lie after the tables."""
    start, count = buffer.whole(table, 1, "Q"), buffer.whole(table, 2, "Q")
    if start <= 1:  # 1 stands for an empty buffer whose place was not set
        return buffer.length(table, 0, 1)
    if start + count > size:
        raise ValueError("weights beyond the end")
    return count


def _check_subgraph(buffer: FlatBuffer, subgraph: int, operators: int, buffers: list[int]) -> None:
    tensors = buffer.tables(subgraph, 0)
    held = [_check_tensor(buffer, tensor, buffers) for tensor in tensors]
    inputs, outputs = buffer.numbers(subgraph, 1), buffer.numbers(subgraph, 2)
    _check_indices(inputs, len(tensors))
    _check_indices(outputs, len(tensors))
    there = {*inputs, *(index for index, each in enumerate(held) if each)}
    for operator in buffer.tables(subgraph, 3):
        _check_indices([buffer.whole(operator, 0, "I")], operators)
        read, written = buffer.numbers(operator, 1), buffer.numbers(operator, 2)
        _check_indices(read, len(tensors), absent=-1)
        _check_indices(written, len(tensors))
        _check_indices(buffer.numbers(operator, 8), len(tensors))
        if any(index not in there for index in read if index != -1) or read[:1] == (-1,):
            raise ValueError("an operator reads what no other has written")
        if buffer.whole(operator, 3, "B") in _COUNT_OUTPUTS:
            count = buffer.whole(buffer.table(operator, 4), 0, "i")
            if count != len(written):
                raise ValueError(f"an operator with {len(written)} outputs that writes {count}")
        there.update(written)
    if any(index not in there for index in outputs):
        raise ValueError("an output that no operator writes")


def _check_indices(indices: tuple[int, ...] | list[int], count: int, absent: int = 0) -> None:
    if any(not absent <= index < count for index in indices):
        raise ValueError("an index beyond the end of a list")


def _check_tensor(buffer: FlatBuffer, tensor: int, buffers: list[int]) -> bool:
    """Return whether the tensor has a value before any operator runs: a constant, a variable, or no elements."""
    shape, place = buffer.numbers(tensor, 0), buffer.whole(tensor, 2, "I")
    _check_indices([place], len(buffers))
    if len(shape) > _MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise ValueError(f"a tensor of the shape {list(shape)[:20]}")
    constant, sparse = bool(buffers[place]), buffer.table(tensor, 6)
    bits = 0 if sparse and constant else _BITS.get(buffer.whole(tensor, 1, "b"), 0)  # 0 if the size is not known
    needed = (math.prod(shape) * bits + 7) // 8
    if needed > (buffers[place] if constant else _LARGEST):
        raise ValueError(f"a tensor of the shape {list(shape)} with {buffers[place]} bytes")
    if quantization := buffer.table(tensor, 4):
        scales, axis = buffer.length(quantization, 2, 4), buffer.whole(quantization, 6, "i")
        points = buffer.length(quantization, 3, 8)
        if scales > 1 and not (0 <= axis < len(shape) and scales == shape[axis] and points in {scales, 1, 0}):
            raise ValueError(f"{scales} scales for a tensor of the shape {list(shape)}")
    return constant or 0 in shape or bool(buffer.whole(tensor, 5, "b"))
