"""Integer weights with the sign that the processor multiplies exactly and fast.

Activations are U8. CPUs with VNNI (or AMX) have their fastest kernels for S8 weights. Older x86 CPUs add pairs of U8 x
S8 products in 16 bits, which saturate silently, and multiply U8 x U8 exactly. Both kinds of weights are the same
integers: `u - 128 = s`, so the top bit of every weight and of its zero point differs, and the results are equal bit by
bit.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from legato.runtime.onnx_messages import Model

_U8, _S8 = 2, 3
_EXTERNAL = 1
_TOP_BIT = np.uint8(128)
#: Positions of the integer weight and of its zero point in the inputs of an operator.
_INPUTS = {
    "MatMulInteger": (1, 3),
    "ConvInteger": (1, 3),
    "MatMulIntegerToFloat": (1, 5),
    "DynamicQuantizeMatMul": (1, 3),
}


def write_with_signs(path: Path, folder: Path, *, signed: bool) -> Path:
    """Write a model whose integer weights have the wanted sign, unless they have it already.

    Args:
        path: an ONNX file; its external weights are in the same folder.
        folder: where the changed model is written, with its external weights.
        signed: S8 instead of U8.

    Returns:
        The file of the changed model, or `path`.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: it is not an ONNX model, or its weights are not where it says.
    """
    model = _parsed(path)
    graph = model.graph
    old, new = (_U8, _S8) if signed else (_S8, _U8)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    products = _products(graph, {name for name, tensor in tensors.items() if tensor.data_type == old})
    if not products:
        return path
    for name in {_location(tensor) for tensor in tensors.values() if tensor.data_location == _EXTERNAL}:
        copyfile(path.parent / name, folder / name)
    changed = {name for _, weight, zero, _ in products for name in (weight, zero) if name}
    for name in changed:
        _flip(tensors[name], folder)
        tensors[name].data_type = new
    absent = "legato_zero_point"
    if any(not zero for _, _, zero, _ in products):
        graph.initializer.add(name=absent, data_type=new, raw_data=_TOP_BIT.tobytes())
    for node, _, zero, position in products:
        if not zero:
            node.input.extend([""] * (position + 1 - len(node.input)))
            node.input[position] = absent
    for value in [value for value in graph.value_info if value.name in changed]:  # they state the old type
        graph.value_info.remove(value)
    (folder / path.name).write_bytes(model.SerializeToString())
    return folder / path.name


@dataclass(frozen=True)
class GraphContent:
    """What a graph consists of.

    Attributes:
        integers: it multiplies integers.
        files: names of the files of its weights.
    """

    integers: bool
    files: frozenset[str]

    @classmethod
    def of(cls, path: Path) -> "GraphContent":
        """Read an ONNX file. Errors as for `write_with_signs`."""
        graph = _parsed(path).graph
        integers = any(node.op_type in _INPUTS or node.op_type == "MatMulNBits" for node in graph.node)
        return cls(integers, frozenset(_location(t) for t in graph.initializer if t.data_location == _EXTERNAL))


def _parsed(path: Path) -> Any:
    try:
        return Model.FromString(path.read_bytes())
    except Exception as error:  # protobuf's error has no class that its versions share
        if isinstance(error, OSError):
            raise
        raise ValueError(f"{path} is not an ONNX model") from error


def _products(graph: Any, integers: set[str]) -> list[tuple[Any, str, str, int]]:
    """Return (node, weight, zero point or "", position of the zero point) of the products that can be changed.

    Weights and zero points that are used elsewhere as well stay as they are.
    """
    found = []
    for node in graph.node:
        if node.op_type in _INPUTS:
            at, zero_at = _INPUTS[node.op_type]
            zero = node.input[zero_at] if len(node.input) > zero_at else ""
            if node.input[at] in integers and (not zero or zero in integers):
                found.append((node, node.input[at], zero, zero_at))
    uses = Counter(_names(graph))
    while True:
        here = Counter(chain.from_iterable((weight, zero) for _, weight, zero, _ in found))
        kept = [p for p in found if all(not name or here[name] == uses[name] for name in p[1:3])]
        if len(kept) == len(found):
            return kept
        found = kept


def _names(graph: Any) -> Iterator[str]:
    """Yield every use of a name in a graph and its subgraphs, and the names that a caller may set or read."""
    yield from (value.name for value in (*graph.input, *graph.output))
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _names(inner)


def _flip(tensor: Any, folder: Path) -> None:
    """Flip the top bit of every value of a tensor, in the files of `folder` if it is external."""
    if tensor.data_location == _EXTERNAL:
        offset = next((int(entry.value) for entry in tensor.external_data if entry.key == "offset"), 0)
        shape = (int(np.prod(tensor.dims, dtype=np.int64)),)
        values = np.memmap(folder / _location(tensor), np.uint8, "r+", offset=offset, shape=shape)
        np.bitwise_xor(values, _TOP_BIT, out=values)
    elif tensor.raw_data:
        tensor.raw_data = (np.frombuffer(tensor.raw_data, np.uint8) ^ _TOP_BIT).tobytes()
    else:
        tensor.raw_data = (np.array(tensor.int32_data, np.int32).astype(np.uint8) ^ _TOP_BIT).tobytes()
        del tensor.int32_data[:]


def _location(tensor: Any) -> str:
    name = next(str(entry.value) for entry in tensor.external_data if entry.key == "location")
    if Path(name).name != name:
        raise ValueError(f"{tensor.name}: its weights are in {name!r}, which is not a file of the same folder")
    return name
