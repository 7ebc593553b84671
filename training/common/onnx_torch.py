"""Runs an ONNX graph (:mod:`training.common.graph`) with PyTorch on any device.

Values are of two kinds, known before the first run: tensors on the device, and NumPy arrays on the host, which are the
shapes and what is computed from them. So the device is waited for only where a shape depends on its results
(``Range``).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.common.graph import Array, Graph, Node

DTYPES = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 11: torch.float64}
NUMPY_DTYPES: dict[int, Any] = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}
#: Inputs that are shapes, axes and the like; they stay on the host.
PARAMETERS: dict[str, tuple[int, ...]] = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "Gather": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2),
    "STFT": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
#: Operators for which a constant of one element can be a Python number.
ELEMENTWISE = {"Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "Mul", "Pow", "Sub", "Where"}


def _bounds(rank: int, starts: Array, ends: Array, axes: Array | None, steps: Array | None) -> tuple[slice, ...]:
    bounds = [slice(None)] * rank
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = int(axes[index]) if axes is not None else index
        bounds[axis] = slice(int(start), int(end), int(steps[index]) if steps is not None else 1)
    return tuple(bounds)


def _shape(old: tuple[int, ...], new: Array) -> list[int]:
    return [old[index] if size == 0 else size for index, size in enumerate(new.tolist())]


def _insert(shape: tuple[int, ...], axes: Array) -> list[int]:
    sizes = list(shape)
    rank = len(sizes) + axes.size
    for axis in sorted(axis % rank for axis in axes.reshape(-1).tolist()):
        sizes.insert(axis, 1)
    return sizes


def _remove(shape: tuple[int, ...], axes: Array) -> list[int]:
    gone = {axis % len(shape) for axis in axes.reshape(-1).tolist()}
    return [size for axis, size in enumerate(shape) if axis not in gone]


def _host_div(a: Array, b: Array) -> Array:
    return a // b if a.dtype.kind == "i" else a / b


HOST: dict[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "Cast": lambda x, to, **_: x.astype(NUMPY_DTYPES[to]),
    "Concat": lambda *parts, axis: np.concatenate(parts, axis),
    "ConstantOfShape": lambda shape, value: np.full(shape.tolist(), value.reshape(-1)[0]),
    "Div": _host_div,
    "Equal": lambda a, b: a == b,
    "Expand": lambda x, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist()))),
    "Gather": lambda x, index, axis=0: np.take(x, index, axis),
    "Greater": lambda a, b: a > b,
    "Less": lambda a, b: a < b,
    "Mul": lambda a, b: a * b,
    "Range": lambda start, end, step: np.arange(int(start), int(end), int(step)),
    "Reshape": lambda x, shape, **_: x.reshape(_shape(x.shape, shape)),
    "Slice": lambda x, starts, ends, axes=None, steps=None: x[_bounds(x.ndim, starts, ends, axes, steps)],
    "Sqrt": np.sqrt,
    "Squeeze": lambda x, axes: x.reshape(_remove(x.shape, axes)),
    "Sub": lambda a, b: a - b,
    "Transpose": lambda x, perm: x.transpose(perm),
    "Unsqueeze": lambda x, axes: x.reshape(_insert(x.shape, axes)),
    "Where": np.where,
}


def _gather(x: Tensor, index: Any, axis: int = 0) -> Tensor:
    if isinstance(index, np.ndarray):
        if index.ndim == 0:
            return x.select(axis, int(index))
        index = torch.from_numpy(np.ascontiguousarray(index)).to(x.device, non_blocking=True)
    taken = x.index_select(axis, index.reshape(-1))
    return taken if index.ndim == 1 else taken.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, **of: Any) -> Tensor:
    return functional.conv1d(x, weight, bias, of["strides"][0], of["pads"][0], of["dilations"][0], of["group"])


def _conv_transpose(x: Tensor, weight: Tensor, bias: Tensor | None = None, **of: Any) -> Tensor:
    more = of.get("output_padding", [0])[0]
    return functional.conv_transpose1d(
        x, weight, bias, of["strides"][0], of["pads"][0], more, of["group"], of["dilations"][0]
    )


def _pad(x: Tensor, pads: Array, mode: str) -> Tensor:
    begin, end = int(pads[x.ndim - 1]), int(pads[-1])
    assert int(np.abs(pads).sum()) == begin + end, "only the last axis is padded"
    return functional.pad(x, (begin, end), mode)


def _resize(x: Tensor, _: Any, scales: Array, mode: str, **others: Any) -> Tensor:
    assert others["coordinate_transformation_mode"] == {"nearest": "asymmetric", "linear": "half_pixel"}[mode]
    return functional.interpolate(x, scale_factor=float(scales[-1]), mode=mode)


def _stft(x: Tensor, step: Array, window: Any, length: Array, onesided: int) -> Tensor:
    """Return [1, frames, bins, 2]; in float64, because the phase of weak bins is used.

    The imaginary parts of the first and last bins are 0, and not -0, as a Fourier transform of reals has them.
    """
    assert onesided
    size = int(length)
    frames = x.reshape(1, -1).unfold(1, size, int(step)).double()
    if isinstance(window, np.ndarray):
        angles = -2 * np.pi / size * np.outer(np.arange(size), np.arange(size // 2 + 1))
        sines = np.sin(angles)
        sines[:, 0] = sines[:, size // 2 if size % 2 == 0 else 0] = 0
        basis = np.stack([np.cos(angles), sines], -1) * np.asarray(window, np.float64)[:, None, None]
        product = frames @ torch.from_numpy(basis.reshape(size, -1)).to(x.device, non_blocking=True)
        return (product.float() + 0.0).reshape(1, frames.shape[1], -1, 2)
    raise TypeError("the window is not a constant")


def _divide_start(x: Tensor, divisor: Tensor) -> Tensor:
    count = divisor.shape[-1]
    return torch.cat([x[..., :count] / divisor, x[..., count:]], -1)


def _matmul(a: Tensor, b: Tensor, **of: Any) -> Tensor:
    assert of.get("alpha", 1.0) == 1.0 and not of.get("transB") and not of.get("transBatchA")
    return (a.mT if of.get("transA") else a) @ b


def _linear(x: Tensor, weight: Tensor, bias: Tensor, split: list[int] | None = None) -> Any:
    flat = torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight)
    result = flat.reshape(*x.shape[:-1], -1)
    return result.split(split, -1) if split else result


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float = 1e-5, **_: Any) -> Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias, epsilon)


def _range(device: torch.device) -> Callable[..., Tensor]:
    return lambda start, end, step: torch.arange(int(start), int(end), int(step), device=device)


DEVICE: dict[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "AddMul": torch.addcmul,
    "And": lambda a, b: a & b,
    "Atan": torch.atan,
    "Atan2": torch.atan2,
    "Cast": lambda x, to, **_: x.to(DTYPES[to]),
    "Clip": lambda x, low, high: x.clip(float(low), None if high is None else float(high)),
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Cos": torch.cos,
    "CumSum": lambda x, axis, **_: x.cumsum(int(axis)),
    "Div": lambda a, b: a / b,
    "DivideStart": _divide_start,
    "Equal": lambda a, b: a == b,
    "Exp": torch.exp,
    "Expand": lambda x, shape: x.expand(*np.broadcast_shapes(tuple(x.shape), tuple(shape.tolist()))),
    "FastGelu": lambda x, bias: functional.gelu(x + bias, approximate="tanh"),
    "Floor": torch.floor,
    "FusedMatMul": _matmul,
    "Gather": _gather,
    "Greater": lambda a, b: a > b,
    "GreaterOrEqual": lambda a, b: a >= b,
    "InstanceNorm": lambda x, epsilon: functional.layer_norm(x, x.shape[-1:], None, None, epsilon),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda x, alpha=0.01: functional.leaky_relu(x, alpha),
    "Less": lambda a, b: a < b,
    "Linear": _linear,
    "MatMul": _matmul,
    "Mul": lambda a, b: a * b,
    "Pad": _pad,
    "Pow": lambda x, power: x**power,
    "ReduceMean": lambda x, axes, keepdims, **_: x.mean(axes.tolist(), keepdim=bool(keepdims)),
    "ReduceSum": lambda x, axes, keepdims, **_: x.sum(axes.tolist(), keepdim=bool(keepdims)),
    "Reshape": lambda x, shape, **_: x.reshape(_shape(x.shape, shape)),
    "Resize": _resize,
    "Round": torch.round,
    "STFT": _stft,
    "Shape": lambda x, **_: np.array(x.shape, np.int64),
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "SkipLayerNormalization": lambda x, skip, *rest, **of: _layer_norm(x + skip, *rest, **of),
    "Slice": lambda x, starts, ends, axes=None, steps=None: x[_bounds(x.ndim, starts, ends, axes, steps)],
    "Softmax": lambda x, axis=-1: x.softmax(axis),
    "Split": lambda x, sizes, axis=0: x.split(sizes.tolist(), axis),
    "Sqrt": torch.sqrt,
    "Squeeze": lambda x, axes: x.reshape(_remove(x.shape, axes)),
    "Sub": lambda a, b: a - b,
    "Tanh": torch.tanh,
    "Transpose": lambda x, perm: x.permute(perm),
    "Unsqueeze": lambda x, axes: x.reshape(_insert(x.shape, axes)),
    "Where": torch.where,
}


class Lstm:
    """The ONNX operator, by the library's own kernels; the initial states are zero."""

    def __init__(self, weights: Array, recurrent: Array, biases: Array, device: torch.device) -> None:
        directions, width, hidden = weights.shape[0], weights.shape[2], recurrent.shape[2]
        self.module = torch.nn.LSTM(width, hidden, bidirectional=directions == 2, device=device)
        # The gates are input, output, forget, cell there and input, forget, cell, output here.
        order = np.concatenate([np.arange(hidden) + hidden * gate for gate in (0, 2, 3, 1)])
        with torch.no_grad():
            for direction, suffix in zip(range(directions), ("", "_reverse"), strict=False):
                halves = np.split(biases[direction], 2)
                for name, values in (
                    ("weight_ih", weights[direction]),
                    ("weight_hh", recurrent[direction]),
                    ("bias_ih", halves[0]),
                    ("bias_hh", halves[1]),
                ):
                    getattr(self.module, f"{name}_l0{suffix}").copy_(torch.from_numpy(values[order]))
        self.module.requires_grad_(False).eval()
        self.module.flatten_parameters()
        self._shape = (directions, hidden)

    def __call__(self, x: Tensor, *_: Any) -> tuple[Tensor, None, None]:
        """Return [steps, directions, batch, hidden]."""
        result = self.module(x)[0]
        return result.reshape(*result.shape[:2], *self._shape).permute(0, 2, 1, 3), None, None


def _upload(x: Any, device: torch.device) -> Any:
    if not isinstance(x, np.ndarray):
        return x
    return x.item() if x.size == 1 else torch.from_numpy(np.ascontiguousarray(x)).to(device, non_blocking=True)


class Program:
    """A graph that is ready to run on ``device``; ``host`` names the inputs that are given as NumPy arrays."""

    def __init__(self, graph: Graph, device: torch.device, host: tuple[str, ...] = ()) -> None:
        self.graph, self.device = graph, device
        self._constants: dict[str, Any] = {}
        folded = dict(graph.constants)
        on_host = set(host)
        zeros = {name for name, array in folded.items() if not array.any()}
        zeros.update(
            node.outputs[0]
            for node in graph.nodes
            if node.op == "ConstantOfShape" and not node.attributes["value"].any()
        )
        last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
        #: Operator, function, names of inputs and outputs, and the values that nothing needs afterwards.
        self._steps: list[tuple[Callable[..., Any], list[Any], list[str], list[str]]] = []
        for index, node in enumerate(graph.nodes):
            inputs = [name for name in node.inputs if name]
            if node.op in HOST and all(name in folded for name in inputs):
                folded[node.outputs[0]] = HOST[node.op](*[folded[name] for name in inputs], **node.attributes)
                continue
            if node.op == "LSTM":
                states = {name for name in node.inputs[4:] if name}
                assert states <= zeros, "an LSTM with initial states or lengths"
                weights, recurrent, biases = (folded[name] for name in node.inputs[1:4])
                step: Callable[..., Any] = Lstm(weights, recurrent, biases, device)
                names: list[str | None] = [node.inputs[0]]
            else:
                step = self._function(node, on_host, folded)
                names = [self._place(node, position, on_host, folded) for position in range(len(node.inputs))]
            dead = [name for name in dict.fromkeys(inputs) if last[name] == index and name not in folded]
            outputs = [*node.outputs, "", ""][:3] if node.op == "LSTM" else node.outputs
            self._steps.append((step, names, outputs, dead))

    def _function(self, node: Node, on_host: set[str], folded: dict[str, Array]) -> Callable[..., Any]:
        """Return the function of a node, and note whether its result is on the host."""
        attributes = node.attributes
        known = [name in on_host or name in folded for name in node.inputs if name]
        if node.op == "Shape" or (all(known) and node.op in HOST):
            on_host.add(node.outputs[0])
            function = DEVICE["Shape"] if node.op == "Shape" else HOST[node.op]
            return (lambda *inputs: function(*inputs, **attributes)) if attributes else function
        function = _range(self.device) if node.op == "Range" else DEVICE[node.op]
        data = [
            position
            for position, name in enumerate(node.inputs)
            if name in on_host and position not in PARAMETERS.get(node.op, ())
        ]
        if not data:
            return (lambda *inputs: function(*inputs, **attributes)) if attributes else function

        def with_upload(*inputs: Any) -> Any:
            placed = [_upload(x, self.device) if position in data else x for position, x in enumerate(inputs)]
            return function(*placed, **attributes)

        return with_upload

    def _place(self, node: Node, position: int, on_host: set[str], folded: dict[str, Array]) -> str | None:
        """Return the name under which a run finds an input; put constants onto the device if they are needed there."""
        name = node.inputs[position]
        if not name:
            return None
        if name not in folded:
            return name
        array = folded[name]
        stays = position in PARAMETERS.get(node.op, ()) or node.outputs[0] in on_host
        key = f"{name} on the host" if stays else name
        if stays:
            self._constants[key] = array
        elif array.size == 1 and node.op in ELEMENTWISE:
            key = f"{name} as a number"
            self._constants[key] = array.item()
        elif key not in self._constants:
            self._constants[key] = torch.from_numpy(np.array(array)).to(self.device)
        return key

    @torch.inference_mode()
    def __call__(self, inputs: dict[str, Any], adjust: dict[str, Callable[[Any], Any]] | None = None) -> list[Any]:
        """Return the outputs; ``adjust`` changes values on the way, by name."""
        values: dict[str | None, Any] = {None: None}
        values.update(self._constants)
        values.update(inputs)
        for function, names, outputs, dead in self._steps:
            result = function(*[values[name] for name in names])
            if len(outputs) == 1:
                values[outputs[0]] = result
            else:
                values.update(zip(outputs, result, strict=False))
            if adjust and outputs[0] in adjust:
                values[outputs[0]] = adjust[outputs[0]](values[outputs[0]])
            for name in dead:
                del values[name]
        return [values[name] for name in self.graph.outputs]
