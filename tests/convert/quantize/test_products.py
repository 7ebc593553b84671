"""Products in INT8: exact integers, blocks of weights, the LSTM."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

import legato
from legato.convert import convert
from legato.convert.bundle_writer import save_graph
from legato.convert.graph.decoder import write_decoder
from legato.convert.graph.precision import Precision
from legato.convert.graph.sites import Group, Linear, Site, Source
from legato.convert.graph.writer import GraphWriter
from legato.convert.open import open_checkpoint
from legato.convert.quantize.integer import column_scales, quantize_columns
from legato.convert.quantize.per_tensor import DynamicPerTensor
from legato.convert.quantize.per_token import SILU_DEPTH, PerToken
from legato.convert.quantize.smooth import smoothing_factors
from legato.convert.quantize.two_term import TwoTerm
from legato.convert.quantize.weight_only import WeightOnly
from legato.runtime.session import open_session
from tests.conftest import checkpoint_path
from tests.support.graphs import sign_weights

Floats = NDArray[np.float32]


def layer(
    tmp_path: Path,
    precision: Precision,
    source: Source,
    matrix: Floats,
    *,
    exact: bool = False,
    signed: bool = False,
) -> Callable[[Floats], Floats]:
    """One linear layer as a function; `exact` sets the option that makes kernels exact for signed weights.

    With `signed`, its weights are the same integers signed.
    """
    inputs, outputs = matrix.shape
    graph = GraphWriter("layer")
    x = graph.input("x", ir.DataType.FLOAT, ["batch", "frames", inputs])
    site = Site(Group.FEED_FORWARD, source, 0)
    y = precision.linear(graph, x, Linear("layer.weight", site, inputs, outputs, lambda: matrix))
    graph.output(y, "y", ir.DataType.FLOAT, ["batch", "frames", outputs])
    file = tmp_path / f"{precision.recipe}-{len(list(tmp_path.iterdir()))}.onnx"
    ir.save(graph.model("one layer"), file)
    if signed:
        sign_weights(file)
    onnx.checker.check_model(str(file))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run_layer(x: Floats) -> Floats:
        y: Floats = session.run(None, {"x": x})[0]
        return y

    return run_layer


def saturating(inputs: int = 256, outputs: int = 40) -> tuple[Floats, Floats]:
    """Activations and weights whose products of neighbours exceed 16 bits: 2 * 255 * 127 = 64770."""
    generator = np.random.default_rng(3)
    x = generator.uniform(0.8, 1, (2, 3, inputs)).astype(np.float32)
    x[:, :, 0] = 0  # the scale of an asymmetric row then starts at zero, and the other values are near 255
    signs = np.where(np.arange(outputs) % 2, 1, -1)
    return x, (generator.uniform(0.9, 1, (inputs, outputs)) * signs).astype(np.float32)


def integer_sums(rows: NDArray[np.float64], matrix: Floats) -> NDArray[np.float64]:
    """`rows @ round(W / scale)` in 64-bit integers."""
    weights = quantize_columns(matrix, 0).astype(np.int64)
    return (rows.astype(np.int64) @ weights).astype(np.float64)


@pytest.mark.parametrize("spread", ["saturating", "normal"])
def test_integer_products_are_exact(tmp_path: Path, spread: str) -> None:
    """Against integer arithmetic; U8 x S8 kernels without VNNI fail this by far."""
    x, matrix = saturating()
    if spread == "normal":
        generator = np.random.default_rng(4)
        x = (generator.standard_normal(x.shape) ** 3).astype(np.float32)
        matrix = generator.standard_normal(matrix.shape).astype(np.float32)
    scales = column_scales(matrix).astype(np.float64)
    largest = np.abs(x).max(axis=-1, keepdims=True)
    even = x / largest
    step = np.float32(1 / 127)
    first = np.rint(even / step)
    expected = integer_sums(first, matrix) * scales * largest / 127
    np.testing.assert_allclose(layer(tmp_path, PerToken(), Source.NORM, matrix)(x), expected, rtol=2e-6, atol=1e-6)

    rest = np.rint((even - first * step) / np.float32(1 / 127 / 254))
    expected = expected + integer_sums(rest, matrix) * scales * largest / 127 / 254
    # Steps of the second term are near the rounding of float32 divisions, so a few may fall to the other side.
    unit = float(largest.max() * np.abs(matrix).max()) / 127 / 254
    np.testing.assert_allclose(layer(tmp_path, TwoTerm(), Source.NORM, matrix)(x), expected, rtol=2e-6, atol=3 * unit)

    largest = x.max(axis=-1, keepdims=True)
    positive = np.maximum(x, 0)
    expected = integer_sums(np.rint((positive / largest) / np.float32(1 / 255)), matrix) * scales * largest / 255
    np.testing.assert_allclose(
        layer(tmp_path, PerToken(), Source.RELU, matrix)(positive), expected, rtol=2e-6, atol=1e-6
    )

    above_depth = np.maximum(x, -SILU_DEPTH)
    lifted = above_depth + SILU_DEPTH
    largest = lifted.max(axis=-1, keepdims=True)
    above = integer_sums(np.rint((lifted / largest) / np.float32(1 / 255)), matrix) * scales * largest / 255
    expected = above - SILU_DEPTH * integer_sums(np.ones(x.shape), matrix) * scales
    rounding = 1e-6 * float(np.abs(above).max())  # of the float32 difference, whose parts may cancel
    np.testing.assert_allclose(layer(tmp_path, PerToken(), Source.SILU, matrix)(above_depth), expected, atol=rounding)


def test_signed_weights_saturate_by_default(tmp_path: Path) -> None:
    """Why weights are unsigned. Needs a CPU without VNNI, or an ONNX Runtime that thinks so (bench/without_vnni.py)."""
    x, matrix = saturating()
    true = x.astype(np.float64) @ matrix
    scale = np.abs(true).max()

    def error(y: Floats) -> float:
        return float(np.abs(y - true).max() / scale)

    assert error(layer(tmp_path, DynamicPerTensor(), Source.NORM, matrix, exact=True, signed=True)(x)) < 0.01
    assert error(layer(tmp_path, DynamicPerTensor(), Source.NORM, matrix)(x)) < 0.01
    by_default = error(layer(tmp_path, DynamicPerTensor(), Source.NORM, matrix, signed=True)(x))
    if by_default < 0.01:
        pytest.skip("this CPU has VNNI (or is not x86), where U8 x S8 kernels do not saturate")
    assert by_default > 0.2


@pytest.mark.parametrize("source", [Source.NORM, Source.SILU, Source.RELU])
def test_rows_of_zeros_and_of_one_value(tmp_path: Path, source: Source) -> None:
    """Silence must not divide by zero, and must yield its exact product."""
    matrix = np.random.default_rng(5).standard_normal((64, 24)).astype(np.float32)
    x = np.zeros((1, 3, 64), np.float32)
    x[0, 1], x[0, 2] = 0.5, 1e-30
    for precision in (PerToken(), TwoTerm()):
        y = layer(tmp_path, precision, source, matrix)(x)
        assert np.abs(y[0, 0]).max() < (1e-5 if source is Source.SILU else 1e-30)
        expected = 0.5 * matrix.sum(axis=0)
        assert np.abs(y[0, 1] - expected).max() < 0.01 * np.abs(expected).max()
        assert np.abs(y[0, 2]).max() < 1e-5


def test_the_lstm_in_int8(tmp_path: Path) -> None:
    """Against the same arithmetic in numpy: a scale per row of the activations and per gate and unit of the weights."""
    checkpoint = open_checkpoint(checkpoint_path("nemo-r3"))
    save_graph(write_decoder(checkpoint, PerToken(), "batch"), tmp_path, "decoder", lambda *_: None)
    onnx.checker.check_model(str(tmp_path / "decoder.onnx"))
    session = open_session(tmp_path / "decoder.onnx", 1)
    hidden, layers = checkpoint.architecture.prediction_hidden, checkpoint.architecture.prediction_layers
    generator = np.random.default_rng(0)
    h, c = (generator.uniform(-1, 1, (layers, 1, hidden)).astype(np.float32) for _ in range(2))
    output, new_h, new_c = session.run(None, {"token": np.array([[7]]), "h": h, "c": c})

    def rounded(x: NDArray[np.float64]) -> NDArray[np.float64]:
        step = np.abs(x).max() / 127
        return np.asarray(np.rint(x / step) * step)

    def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + np.exp(-x)))

    x = checkpoint.read("decoder.prediction.embed.weight")[7].astype(np.float64)
    for layer in range(layers):
        lstm = "decoder.prediction.dec_rnn.lstm"
        gates = sum(checkpoint.read(f"{lstm}.bias_{side}_l{layer}").astype(np.float64) for side in ("ih", "hh"))
        for side, vector in (("ih", x), ("hh", h[layer, 0].astype(np.float64))):
            weight = checkpoint.read(f"{lstm}.weight_{side}_l{layer}").astype(np.float64)
            scale = np.abs(weight).max(axis=1, keepdims=True) / 127
            gates = gates + (np.rint(weight / scale) * scale) @ rounded(vector)
        i, f, g, o = np.split(np.asarray(gates), 4)
        cell = sigmoid(f) * c[layer, 0] + sigmoid(i) * np.tanh(g)
        x = sigmoid(o) * np.tanh(cell)
        np.testing.assert_allclose(new_c[layer, 0], cell, atol=2e-6)
        np.testing.assert_allclose(new_h[layer, 0], x, atol=2e-6)
    np.testing.assert_allclose(output[0, 0], x, atol=2e-6)


@pytest.mark.parametrize(("bits", "limit"), [(8, 0.02), (4, 0.2)])
def test_blocks_of_weights(tmp_path: Path, bits: int, limit: float) -> None:
    generator = np.random.default_rng(6)
    matrix = generator.standard_normal((96, 40)).astype(np.float32)
    x = generator.standard_normal((2, 3, 96)).astype(np.float32)
    y = layer(tmp_path, WeightOnly(bits), Source.NORM, matrix)(x)
    assert np.sqrt(np.mean((y - x @ matrix) ** 2) / np.mean((x @ matrix) ** 2)) < limit


def test_block_recipes_refuse_other_widths(tmp_path: Path) -> None:
    with pytest.raises(legato.ConversionError, match=r"multiple of 32.*408"):
        convert(checkpoint_path("transformers-a"), tmp_path / "out", recipe="weight-only")
    assert list(tmp_path.iterdir()) == []


def test_smoothing_leaves_dead_channels_alone() -> None:
    factors = smoothing_factors(np.array([16, 0, 4], np.float32), np.array([1, 2, 0], np.float32), 0.5)
    np.testing.assert_array_equal(factors, np.array([4, 1, 1], np.float32))
