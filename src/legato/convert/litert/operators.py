"""What ONNX operators become: elementwise ones, and those that move values without computing."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from legato.convert.litert.model import TYPES, Tensor
from legato.convert.litert.products import conv, layer_norm, matmul
from legato.convert.litert.translation import Translation, values_of

#: Adds the operators of one node. Returns the tensors of its outputs.
Translate = Callable[[Translation, ir.Node, Sequence[Tensor]], Sequence[Tensor]]


def translate_node(translation: Translation, node: ir.Node) -> None:
    """Add what a node becomes.

    Raises:
        KeyError: no graph of the published layout contains the node's operator.
    """
    translation.scope = node.name or node.op_type
    inputs = [translation[value] for value in node.inputs if value is not None]
    outputs = TRANSLATIONS[node.op_type](translation, node, inputs)
    for value, tensor in zip(node.outputs, outputs, strict=True):
        translation[value] = tensor


def _elementwise(kind: str, *, compares: bool = False) -> Translate:
    def translate(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        shape = np.broadcast_shapes(*(x.shape for x in inputs))
        return [t.op(kind, *inputs, shape=shape, dtype=np.bool_ if compares else inputs[-1].dtype)]

    return translate


def _cast(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    [x] = inputs
    if x.read:  # FP16 weights stay as they are until an operator takes them
        return [x]
    dtype = ir.DataType(node.attributes["to"].as_int()).numpy()
    return [cast(t, x, dtype)]


def cast(t: Translation, x: Tensor, dtype: np.dtype[np.generic]) -> Tensor:
    """Add a conversion to another type."""
    types = {"inDataType": TYPES[x.dtype.name], "outDataType": TYPES[dtype.name]}
    return t.op("CAST", x, shape=x.shape, dtype=dtype, **types)


def _dequantize(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Keep an int8 weight as it is, with its scales; `matmul` multiplies by it."""
    weight, scales = inputs
    return [Tensor(weight.name, weight.dtype, weight.shape, weight.read, scales.read)]


def _reshape(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    x = inputs[0]
    shape = [x.shape[axis] if size == 0 else int(size) for axis, size in enumerate(values_of(node.inputs[1]))]
    if -1 in shape:
        shape[shape.index(-1)] = -int(np.prod(x.shape)) // int(np.prod(shape))
    return [t.reshape(x, shape)]


def _unsqueeze(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    shape = list(inputs[0].shape)
    for axis in sorted(values_of(node.inputs[1])):
        shape.insert(axis, 1)
    return [t.reshape(inputs[0], shape)]


def _squeeze(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    axes = set(values_of(node.inputs[1]).tolist())
    return [t.reshape(inputs[0], [size for axis, size in enumerate(inputs[0].shape) if axis not in axes])]


def _transpose(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    return [t.transpose(inputs[0], node.attributes["perm"].as_ints())]


def _concat(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    axis = node.attributes["axis"].as_int() % len(inputs[0].shape)
    shape = list(inputs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in inputs)
    return [t.op("CONCATENATION", *inputs, shape=shape, dtype=inputs[0].dtype, axis=axis)]


def _pad(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    x = inputs[0]
    padding = values_of(node.inputs[1]).reshape(2, -1).T
    shape = [size + sum(more) for size, more in zip(x.shape, padding.tolist(), strict=True)]
    return [t.op("PAD", x, t.constant(padding), shape=shape, dtype=x.dtype)]


def _shape(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    return [t.constant(inputs[0].shape, np.int64)]


def _expand(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Write the repetition as a product with ones, which XNNPACK computes."""
    x, wanted = inputs
    assert wanted.read
    shape = np.broadcast_shapes(x.shape, tuple(wanted.read().tolist()))
    return [t.op("MUL", x, t.constant(np.ones(shape), np.float32), shape=shape)]


def _slice(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    x = inputs[0]
    ranges = [range(size) for size in x.shape]
    for start, end, axis in zip(*(values_of(value).tolist() for value in node.inputs[1:4]), strict=True):
        ranges[axis] = ranges[axis][start:end]
    begin, shape = [part.start for part in ranges], [len(part) for part in ranges]
    return [t.op("SLICE", x, t.constant(begin), t.constant(shape), shape=shape, dtype=x.dtype)]


def _split(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    [x] = inputs
    count = node.attributes["num_outputs"].as_int()
    axis = node.attributes["axis"].as_int() % len(x.shape)
    shape = tuple(size // count if number == axis else size for number, size in enumerate(x.shape))
    return t.ops("SPLIT", t.constant(axis), x, shape=shape, dtype=x.dtype, outputs=count, numSplits=count)


def _gather(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    x, index = inputs
    axis = node.attributes["axis"].as_int()
    if index.read and not index.shape:  # one entry, which a delegate takes as a slice
        begin, shape = [0] * len(x.shape), list(x.shape)
        begin[axis], shape[axis] = int(values_of(node.inputs[1])), 1
        entry = t.op("SLICE", x, t.constant(begin), t.constant(shape), shape=shape, dtype=x.dtype)
        return [t.reshape(entry, [size for number, size in enumerate(shape) if number != axis])]
    if index.read:
        index = t.constant(values_of(node.inputs[1]))
    shape = [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]]
    return [t.op("GATHER", x, index, shape=shape, axis=axis)]


def _softmax(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    assert node.attributes["axis"].as_int() == -1
    return [t.op("SOFTMAX", *inputs, shape=inputs[0].shape, beta=1.0)]


def _identity(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    return [t.op("RESHAPE", inputs[0], t.constant(inputs[0].shape), shape=inputs[0].shape, dtype=inputs[0].dtype)]


#: Operators that compute each element by itself.
_ELEMENTWISE = {
    "Add": "ADD", "And": "LOGICAL_AND", "Div": "DIV", "Max": "MAXIMUM", "Min": "MINIMUM", "Mul": "MUL",
    "Relu": "RELU", "Sigmoid": "LOGISTIC", "Sub": "SUB", "Tanh": "TANH", "Where": "SELECT_V2",
}  # fmt: skip
#: The operators of the published layout's graphs.
TRANSLATIONS: dict[str, Translate] = {
    **{name: _elementwise(kind) for name, kind in _ELEMENTWISE.items()},
    "Cast": _cast,
    "Concat": _concat,
    "Conv": conv,
    "DequantizeLinear": _dequantize,
    "Expand": _expand,
    "Gather": _gather,
    "GreaterOrEqual": _elementwise("GREATER_EQUAL", compares=True),
    "Identity": _identity,
    "LayerNormalization": layer_norm,
    "Less": _elementwise("LESS", compares=True),
    "MatMul": matmul,
    "Pad": _pad,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
