"""The recipe that adapts to the model: every linear layer is quantized by the error of its output on speech."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.precision import Float32, Precision, Smoothing
from legato.convert.graph.sites import Group, Linear, Site, Source
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.blocks import BLOCK, block_product
from legato.convert.quantize.calibration import Calibration
from legato.convert.quantize.candidates import Scaling
from legato.convert.quantize.integer import (
    REDUCED_STEPS,
    STEPS,
    ZERO,
    IntegerWeight,
    integer_weight,
    one_sided,
    symmetric,
    two_term,
)
from legato.convert.quantize.per_token import SILU_DEPTH, PerToken
from legato.convert.quantize.search import Search, Solution

Floats = NDArray[np.float32]

#: Groups with few weights that much depends on: the last layers of the encoder, prediction net and joint. A second INT8
#: term costs them less time than what it saves in accuracy is worth; their weights have 8 bits in every recipe.
_FINE = (Group.PROMPT, Group.PREDICTION, Group.JOINT)


class Auto(Float32):
    """Weights and activations as a search found them (`Solution`); other linear layers as in `PerToken`.

    Args:
        encoder: weight name -> how the layers of the encoder are quantized.
        transducer: the same for prediction net and joint. Their weights always have 8 bits.
        reduce_range: whether the weights of the encoder have 7 bits.
    """

    name = "int8"

    def __init__(
        self, encoder: Mapping[str, Solution], transducer: Mapping[str, Solution], *, reduce_range: bool = False
    ) -> None:
        self.recipe = "auto-7bit" if reduce_range else "auto"
        self.reduce_range = reduce_range
        self._solutions, self._transducer = encoder, transducer
        self._rest = PerToken()
        self._rest.reduce_range = reduce_range

    @property
    def transducer(self) -> Precision:
        """Prediction net and joint, quantized in the same way with 8 bits."""
        return Auto(self._transducer, {})

    def smoothing(self, layer: Linear) -> Smoothing | None:
        """See `Precision.smoothing`."""
        solution = self._solutions.get(layer.name)
        if solution is None or not absorbed(layer.site) or (solution.factors is None and solution.shift is None):
            return None
        return Smoothing(lambda: _or(solution.factors, 1, layer), lambda: _or(solution.shift, 0, layer))

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        solution = self._solutions.get(layer.name)
        if solution is None:
            return self._rest.linear(graph, x, layer)
        if solution.factors is not None and divided(layer.site):
            x = graph.op("Mul", x, _vector(graph, f"{layer.name}.smoothing", np.float32(1) / solution.factors))
        return graph.op(
            "Add", self._product(graph, x, layer, solution), _vector(graph, f"{layer.name}.offset", solution.offset)
        )

    def _product(self, graph: GraphWriter, x: ir.Value, layer: Linear, solution: Solution) -> ir.Value:
        if solution.scaling is Scaling.BLOCKS:
            values = solution.integers.T.reshape(layer.outputs, -1, BLOCK).astype(np.int16) + ZERO
            return block_product(graph, x, layer, 8, lambda: (values.astype(np.uint8), solution.scales.T))
        weight = _weight(graph, layer, solution)
        if solution.terms == 2:
            y = two_term(graph, x, weight)
        elif solution.scaling is Scaling.SYMMETRIC:
            y = symmetric(graph, x, weight)
        else:
            if solution.scaling is Scaling.LIFTED:
                lift = SILU_DEPTH / _or(solution.factors, 1, layer)
                x = graph.op("Add", x, _vector(graph, f"{layer.name}.lift", lift))
            y = one_sided(graph, x, weight)
        if solution.residual is None:
            return y
        return graph.op("Add", *graph.ops("Split", y, outputs=2, axis=-1, num_outputs=2))


def _weight(graph: GraphWriter, layer: Linear, solution: Solution) -> IntegerWeight:
    """Add the integers. A second term of the weight is as many additional output channels.

    Two terms have 7 bits each, which is more than enough: products with 7 bits take half of the time of those with 8
    where ONNX Runtime multiplies unsigned weights slowly, so two of them take no longer than one.
    """
    if solution.residual is None:
        reduce_range = solution.steps == REDUCED_STEPS
        rounded = solution.integers, solution.scales[0]
        return integer_weight(graph, layer, reduce_range=reduce_range, rounded=lambda: rounded)

    def read() -> tuple[NDArray[np.generic], Floats]:
        assert solution.residual is not None
        exact = (solution.integers + solution.residual / (2 * np.float32(STEPS))) * np.float32(REDUCED_STEPS / STEPS)
        first = np.rint(exact)
        second = np.rint((exact - first) * (2 * REDUCED_STEPS))
        scales = solution.scales[0] * np.float32(STEPS / REDUCED_STEPS)
        return np.concatenate([first, second], axis=1), np.concatenate([scales, scales / (2 * REDUCED_STEPS)])

    return integer_weight(graph, replace(layer, outputs=2 * layer.outputs), reduce_range=True, rounded=read)


def absorbed(site: Site) -> bool:
    """Return whether the LayerNorm before a layer can shift and divide its inputs."""
    return site.source is Source.NORM or (site.group is Group.PROMPT and site.source is Source.OTHER)


def divided(site: Site) -> bool:
    """Return whether the inputs of a layer are divided by an operator of their own, because nothing can absorb it."""
    return site.source in (Source.SILU, Source.RELU)


def solve(calibration: Calibration, *, reduce_range: bool = False) -> Auto:
    """Quantize every linear layer of a model.

    The inputs of one layer are in memory at a time, and the integers of all layers: at full size 0.6 GB.

    Raises:
        ConversionError: the recordings cannot be used.
    """
    encoder: dict[str, Solution] = {}
    transducer: dict[str, Solution] = {}
    search, fine = Search(REDUCED_STEPS if reduce_range else STEPS), Search(STEPS)
    with calibration.recordings() as recordings:
        bias = recordings.architecture.attention_bias
        for layer, inputs, clips in recordings.encoder():
            site = layer.site
            context = (site.group, site.source) == (Group.ATTENTION, Source.OTHER) and not bias
            small = site.group in _FINE
            encoder[layer.name] = (fine if small else search).solve(
                layer,
                inputs,
                clips,
                shiftable=absorbed(site),
                smoothable=absorbed(site) or divided(site) or context,
                fine=small,
            )
            if context:
                before = layer.name.replace("linear_out", "linear_qkv")
                encoder[before] = _divide_values(encoder[before], encoder[layer.name])
        for layer, inputs, clips in recordings.transducer():
            transducer[layer.name] = fine.solve(
                layer, inputs, clips, shiftable=False, smoothable=divided(layer.site), fine=True
            )
    return Auto(encoder, transducer, reduce_range=reduce_range)


def _divide_values(projection: Solution, output: Solution) -> Solution:
    """Divide the attention's values by the smoothing of its output projection.

    The context is a mean of values, so it is divided too. Only the scales of the projection change.
    """
    if output.factors is None:
        return projection
    ones = np.ones(2 * len(output.factors), np.float32)
    factors = np.concatenate([ones, output.factors])
    return replace(projection, scales=projection.scales / factors, offset=projection.offset / factors)


def _or(values: Floats | None, default: float, layer: Linear) -> Floats:
    return np.full(layer.inputs, default, np.float32) if values is None else values


def _vector(graph: GraphWriter, name: str, values: Floats) -> ir.Value:
    return graph.weight(name, ir.DataType.FLOAT, values.shape, lambda: np.asarray(values, np.float32))
