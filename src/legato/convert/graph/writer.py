"""A small writer of ONNX graphs on top of ONNX IR: a call writes a node, and saving a graph reads its weights."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

OPSET = 21
MICROSOFT = "com.microsoft"

Attribute = int | float | str | Sequence[int] | Sequence[float]


class GraphWriter:
    """Collects the nodes, inputs, outputs and initializers of one graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[ir.Node] = []
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._initializers: dict[str, ir.Value] = {}
        self._scope: list[str] = []
        self._counts: dict[str, int] = {}

    def scoped(self, name: str) -> "_Scope":
        """Prefix the names of all nodes that are written inside `with graph.scoped(name)` with `name/`."""
        return _Scope(self._scope, name)

    def input(self, name: str, dtype: ir.DataType, shape: Sequence[int | str]) -> ir.Value:
        """Declare an input. A string in `shape` is a dynamic dimension of that name."""
        value = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
        self._inputs.append(value)
        return value

    def output(self, value: ir.Value, name: str, dtype: ir.DataType, shape: Sequence[int | str | None]) -> None:
        """Declare `value` as an output called `name`. None in `shape` is a dynamic dimension without a name."""
        named = self.op("Identity", value) if value in self._inputs or value in self._outputs else value
        named.name, named.type, named.shape = name, ir.TensorType(dtype), ir.Shape(shape)
        self._outputs.append(named)

    def op(self, kind: str, *inputs: ir.Value | None, domain: str = "", **attributes: Attribute) -> ir.Value:
        """Write a node with one output and return it."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: ir.Value | None, outputs: int, domain: str = "", **attributes: Attribute
    ) -> Sequence[ir.Value]:
        """Write a node with several outputs and return them. None as an input omits an optional input."""
        while inputs and inputs[-1] is None:  # ONNX Runtime's optimizer does not support an empty last input
            inputs = inputs[:-1]
        name = self._unique(kind)
        values = [ir.Value(name=name if i == 0 else f"{name}.{i}") for i in range(outputs)]
        self._nodes.append(ir.node(kind, inputs, attributes, domain=domain, outputs=values, name=name))
        return values

    def weight(self, name: str, dtype: ir.DataType, shape: Sequence[int], read: Callable[[], NDArray[Any]]) -> ir.Value:
        """Add an initializer that is computed by `read` only when the model is saved.

        A second call with the same name returns the same value.
        """
        if name not in self._initializers:
            tensor = ir.LazyTensor(
                lambda: ir.Tensor(np.ascontiguousarray(read()), dtype=dtype, name=name),
                dtype=dtype,
                shape=ir.Shape(shape),
                name=name,
            )
            self._initializers[name] = ir.Value(
                name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape), const_value=tensor
            )
        return self._initializers[name]

    def constant(self, value: NDArray[Any] | int | float | Sequence[int]) -> ir.Value:
        """Add a small constant: Python integers become int64, floats float32; an array keeps its type."""
        array = value if isinstance(value, np.ndarray) else np.array(value)
        if not isinstance(value, np.ndarray):
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = self._unique("constant")
        tensor = ir.Tensor(array, name=name)
        self._initializers[name] = ir.Value(
            name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
        )
        return self._initializers[name]

    def model(self, description: str) -> ir.Model:
        """Return the finished model. `description` becomes its documentation string."""
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._nodes,
            initializers=list(self._initializers.values()),
            opset_imports={"": OPSET, MICROSOFT: 1},
            name=self.name,
        )
        return ir.Model(graph, ir_version=10, producer_name="legato", doc_string=description)

    def _unique(self, kind: str) -> str:
        base = "/".join([*self._scope, kind])
        number = self._counts[base] = self._counts.get(base, -1) + 1
        return f"{base}_{number}" if number else base


class _Scope:
    def __init__(self, stack: list[str], name: str) -> None:
        self._stack, self._name = stack, name

    def __enter__(self) -> None:
        self._stack.append(self._name)

    def __exit__(self, *_: object) -> None:
        self._stack.pop()
