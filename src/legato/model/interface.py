"""The interface of a graph: names, element types and shapes of its inputs and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from legato.errors import BundleError

FLOATS = frozenset({"float", "float16", "double"})
INTEGERS = frozenset({"int32", "int64"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a graph.

    Attributes:
        name: its name in the graph.
        dtype: element type, as ONNX Runtime names it: `float`, `float16`, `int32`, ...
        shape: one number per dimension, None for a dynamic one; None if the number of dimensions is not known.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Interface:
    """The interface of one graph.

    Attributes:
        path: its file, for messages.
        inputs, outputs: in their order.
    """

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """What a contract expects of an input or output.

    Attributes:
        name: its name in the contract.
        dtypes: the element types that Legato can feed or read.
        shape: per dimension a number, the name of a size, or None for any number.
        optional: whether a graph may lack it.
    """

    name: str
    dtypes: frozenset[str]
    shape: tuple[int | str | None, ...]
    optional: bool = False


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def positions(names: Sequence[str], tensors: Sequence[_Named]) -> list[int | None]:
    """Return for each name of a contract the index of its tensor: by its name, else by its position.

    A tensor whose name is another name of the contract is not taken by its position. None means that there is none.
    """
    there = {tensor.name: index for index, tensor in enumerate(tensors)}
    found: list[int | None] = []
    for index, name in enumerate(names):
        free = index < len(tensors) and tensors[index].name not in names
        found.append(there.get(name, index if free else None))
    return found


def check_roles(
    interface: Interface,
    kind: str,
    roles: Sequence[Role],
    sizes: dict[str, int],
    *,
    by_name: bool = False,
    more: bool = False,
) -> None:
    """Compare the inputs or outputs of a graph with those that a contract expects.

    Args:
        interface: of the graph.
        kind: `input` or `output`.
        roles: what the contract expects.
        sizes: numbers by their names. A name that is missing is added with the number that the graph has.
        by_name: whether the tensors must have the names of the contract; otherwise positions count too.
        more: whether a graph may have other inputs; it may always have other outputs.

    Raises:
        BundleError: the graph, what was expected, and what was found.
    """
    tensors = interface.inputs if kind == "input" else interface.outputs
    where = [next((i for i, t in enumerate(tensors) if t.name == role.name), None) for role in roles]
    if not by_name:
        where = positions([role.name for role in roles], tensors)
    for role, index in zip(roles, where, strict=True):
        if index is None:
            if role.optional:
                continue
            names = ", ".join(tensor.name for tensor in tensors[:20]) or "none"
            raise BundleError(f"{interface.path}: has no {kind} {role.name}. Its {kind}s are: {names}. {_OTHER}")
        _check(interface, kind, role, tensors[index], sizes)
    if kind == "input" and not more:
        unknown = [tensor.name for index, tensor in enumerate(tensors) if index not in where]
        if unknown:
            raise BundleError(f"{interface.path}: has an input that Legato does not know: {unknown[0]}. {_OTHER}")


def _check(interface: Interface, kind: str, role: Role, tensor: Tensor, sizes: dict[str, int]) -> None:
    place = f"{interface.path}: the {kind} {tensor.name}"
    if tensor.dtype not in role.dtypes:
        raise BundleError(f"{place} is {tensor.dtype}; expected {' or '.join(sorted(role.dtypes))}. {_OTHER}")
    if tensor.shape is None:
        return
    expected = [sizes.get(size) if isinstance(size, str) else size for size in role.shape]
    if len(expected) != len(tensor.shape) or any(
        a is not None and b is not None and a != b for a, b in zip(expected, tensor.shape, strict=True)
    ):
        raise BundleError(
            f"{place} has the shape {_shape(tensor.shape)}; expected {_shape(expected)} "
            f"({', '.join('any' if size is None else str(size) for size in role.shape)}). "
            f"The graph and config.json belong to different models. {_OTHER}"
        )
    for size, number in zip(role.shape, tensor.shape, strict=True):
        if isinstance(size, str) and number is not None:
            sizes.setdefault(size, number)


_OTHER = "Choose another model."


def _shape(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
