"""The translation of an ONNX graph with static shapes, node by node.

Every translated value has a known shape, because TFLite stores one with every tensor. `operators` and `products` say
what each ONNX operator becomes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, DTypeLike, NDArray

from legato.convert.litert.model import Model, Tensor


class Translation:
    """The model that is written, and the tensors of the ONNX graph's values in it.

    Attributes:
        model: the model.
        scope: prefix of the names of new tensors, the name of the current ONNX node.
    """

    def __init__(self) -> None:
        self.model = Model()
        self._tensors: dict[ir.Value, Tensor] = {}
        self._dequantized: dict[Tensor, Tensor] = {}
        self._transposed: dict[Tensor, tuple[Tensor, tuple[int, ...]]] = {}
        self._count = 0
        self.scope = ""

    def __getitem__(self, value: ir.Value) -> Tensor:
        """Return the tensor of a value. A weight is a tensor with `read`, in the type in which it is stored."""
        if value not in self._tensors and value.const_value is not None:
            constant = value.const_value
            self._tensors[value] = Tensor(
                constant.name or "", constant.dtype.numpy(), tuple(constant.shape.numpy()), constant.numpy
            )
        return self._tensors[value]

    def __setitem__(self, value: ir.Value, tensor: Tensor) -> None:
        self._tensors[value] = tensor

    def constant(self, values: ArrayLike, dtype: DTypeLike = np.int32) -> Tensor:
        """Add a small constant."""
        array = np.asarray(values, dtype)
        return Tensor(self._name("constant"), array.dtype, array.shape, lambda: array)

    def op(
        self, kind: str, *inputs: Tensor, shape: Sequence[int], dtype: DTypeLike = np.float32, **options: Any
    ) -> Tensor:
        """Add an operator with one output. Inputs that are stored in FP16 are dequantized first."""
        [output] = self.ops(kind, *inputs, shape=shape, dtype=dtype, outputs=1, **options)
        return output

    def ops(
        self, kind: str, *inputs: Tensor, shape: Sequence[int], dtype: DTypeLike, outputs: int, **options: Any
    ) -> list[Tensor]:
        """Add an operator with several outputs of one shape and type."""
        sizes = tuple(map(int, shape))
        results = [Tensor(self._name(kind.lower()), np.dtype(dtype), sizes) for _ in range(outputs)]
        self.model.add(kind, [self._operand(tensor) for tensor in inputs], results, **options)
        return results

    def transpose(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """Add a transpose. One that follows another is joined with it, and nothing is added where both cancel."""
        source, before = self._transposed.get(x, (x, tuple(range(len(x.shape)))))
        joined = tuple(before[axis] for axis in order)
        if joined == tuple(range(len(joined))):
            return source
        shape = [source.shape[axis] for axis in joined]
        y = self.op("TRANSPOSE", source, self.constant(joined), shape=shape, dtype=x.dtype)
        self._transposed[y] = source, joined
        return y

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """Add a reshape; `shape` is without -1. A weight is stored in the new shape instead."""
        shape = tuple(map(int, shape))
        if shape == x.shape:
            return x
        if x.read:
            return changed(x, "reshaped", shape, lambda values: values.reshape(shape))
        return self.op("RESHAPE", x, self.constant(shape), shape=shape, dtype=x.dtype, newShape=list(shape))

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{self.scope}/{kind}_{self._count}"

    def _operand(self, x: Tensor) -> Tensor:
        if not x.read or x.dtype != np.float16:
            return x
        if x not in self._dequantized:
            self._dequantized[x] = Tensor(f"{x.name}.dequantized", np.dtype(np.float32), x.shape)
            self.model.add("DEQUANTIZE", [x], [self._dequantized[x]])
        return self._dequantized[x]


def changed(weight: Tensor, label: str, shape: Sequence[int], change: Callable[[NDArray[Any]], NDArray[Any]]) -> Tensor:
    """Return a weight that is changed when it is written; its name is extended by `label`."""
    read = weight.read
    assert read
    return Tensor(f"{weight.name}.{label}", weight.dtype, tuple(shape), lambda: change(read()), weight.scales)


def values_of(value: ir.Value | None) -> NDArray[Any]:
    """Read a constant that determines an operator, such as the axes of a slice."""
    assert value is not None and value.const_value is not None
    return value.const_value.numpy()
