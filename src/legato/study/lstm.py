"""The prediction net in INT8: its LSTM with per-channel weights and activations quantized a step at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph import MICROSOFT

#: U8 with zero point 128: exact on every CPU (see `legato.convert.recipes.integer`).
_ZERO = 128


def quantize_lstm(model: ir.Model) -> ir.Model:
    """Put ONNX Runtime's `DynamicQuantizeLSTM` in the place of every LSTM of a graph.

    Weights get one symmetric scale a gate and unit; biases, states and the embedding stay in FP32.

    Args:
        model: a graph whose LSTMs have FP32 initializers as weights; it is changed.

    Returns:
        The same graph.
    """
    graph = model.graph
    for node in [node for node in graph if node.op_type == "LSTM"]:
        x, input_weight, recurrent_weight, bias, lengths, h, c, *_ = [*node.inputs, None, None]
        weights = [_quantized(graph, weight) for weight in (input_weight, recurrent_weight)]
        (values_w, scales_w, zeros_w), (values_r, scales_r, zeros_r) = weights
        inputs = [x, values_w, values_r, bias, lengths, h, c, None, scales_w, zeros_w, scales_r, zeros_r]
        attributes = {"hidden_size": node.attributes["hidden_size"].as_int()}
        outputs = [ir.Value(name=f"{value.name}.int8") for value in node.outputs]
        new = ir.node("DynamicQuantizeLSTM", inputs, attributes, domain=MICROSOFT, outputs=outputs, name=node.name)
        graph.insert_before(node, new)
        ir.convenience.replace_all_uses_with(node.outputs, outputs)
        graph.remove(node, safe=True)
    return model


def _quantized(graph: ir.Graph, weight: ir.Value | None) -> Sequence[ir.Value]:
    """Values uint8[1, inputs, 4 * hidden], scales float32[1, 4 * hidden], zero points uint8[1, 4 * hidden]."""
    assert weight is not None
    tensor = weight.const_value
    assert tensor is not None
    assert weight.name is not None

    def read() -> NDArray[np.float32]:
        matrix: NDArray[np.float32] = tensor.numpy().transpose(0, 2, 1)
        return matrix

    def scales() -> NDArray[np.float32]:
        largest = np.abs(read()).max(axis=1)
        return np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)

    directions, gates, inputs = tensor.shape.numpy()
    flat = (directions, gates)
    name = weight.name
    values = _lazy(
        f"{name}.quantized",
        ir.DataType.UINT8,
        (directions, inputs, gates),
        lambda: (np.rint(read() / scales()[:, None]) + _ZERO).astype(np.uint8),
    )
    scale = _lazy(f"{name}.scale", ir.DataType.FLOAT, flat, scales)
    zero = _lazy(f"{name}.zero_point", ir.DataType.UINT8, flat, lambda: np.full(flat, _ZERO, np.uint8))
    for value in (values, scale, zero):
        graph.register_initializer(value)
    graph.initializers.pop(name)
    return values, scale, zero


def _lazy(name: str, dtype: ir.DataType, shape: Sequence[int], read: Callable[[], NDArray[Any]]) -> ir.Value:
    tensor = ir.LazyTensor(
        lambda: ir.Tensor(np.ascontiguousarray(read()), dtype=dtype, name=name),
        dtype=dtype,
        shape=ir.Shape(shape),
        name=name,
    )
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape), const_value=tensor)
