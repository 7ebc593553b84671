"""The recipe `auto`: what its search chooses, and the products that it writes."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from legato.convert import convert
from legato.convert.graph.sites import Group, Linear, Site, Source
from legato.convert.graph.writer import GraphWriter
from legato.convert.open import open_checkpoint
from legato.convert.quantize.activations import Recordings
from legato.convert.quantize.auto import Auto
from legato.convert.quantize.candidates import Scaling
from legato.convert.quantize.clips import sample_clips
from legato.convert.quantize.per_token import PerToken
from legato.convert.quantize.search import Search, Solution
from tests.conftest import checkpoint_path

Floats = NDArray[np.float32]
NORM = Site(Group.FEED_FORWARD, Source.NORM, 0)


def inputs_of(source: Source, rows: int = 900, *, outliers: bool = False, seed: int = 0) -> Floats:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((rows, 64))
    if outliers:
        x[:, [3, 40]] *= 40
    if source is Source.RELU:
        x = np.maximum(x, 0)
    elif source is Source.SILU:
        x = x / (1 + np.exp(-x))
    return x.astype(np.float32)


def layer_of(site: Site = NORM, outputs: int = 48) -> Linear:
    matrix = np.random.default_rng(9).standard_normal((64, outputs)).astype(np.float32)
    return Linear("layer.weight", site, 64, outputs, lambda: matrix)


def solved(layer: Linear, inputs: Floats, *, steps: int = 127, shiftable: bool = True, fine: bool = False) -> Solution:
    clips = np.arange(len(inputs)) // 100
    return Search(steps).solve(layer, inputs, clips, shiftable=shiftable, smoothable=True, fine=fine)


def run(tmp_path: Path, auto: Auto | PerToken, layer: Linear, x: Floats) -> Floats:
    """The layer as a graph, after what a LayerNorm would absorb."""
    smoothing = auto.smoothing(layer)
    if smoothing is not None:
        x = ((x - (0 if smoothing.shift is None else smoothing.shift())) / smoothing.factors()).astype(np.float32)
    graph = GraphWriter("layer")
    value = graph.input("x", ir.DataType.FLOAT, ["batch", "frames", layer.inputs])
    graph.output(auto.linear(graph, value, layer), "y", ir.DataType.FLOAT, ["batch", "frames", layer.outputs])
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx"
    ir.save(graph.model("one layer"), file)
    y: Floats = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"x": x[None]})[0]
    return np.asarray(y[0])


def represented(solution: Solution, x: Floats) -> NDArray[np.float64]:
    """The output of a solution with symmetric or one-sided scales, in 64-bit integers."""
    weight = solution.integers.astype(np.int64)
    if solution.residual is not None:
        weight = 254 * weight + solution.residual
    scales = solution.scales[0].astype(np.float64) / (1 if solution.residual is None else 254)
    steps = 127 if solution.scaling is Scaling.SYMMETRIC else 255
    largest = np.abs(x).max(axis=1, keepdims=True)
    integers = np.rint((x / largest) / np.float32(1 / steps)).astype(np.int64)
    return np.asarray((integers @ weight) * scales * (largest / steps) + solution.offset, np.float64)


def test_without_outliers_there_is_no_smoothing() -> None:
    for source in (Source.NORM, Source.SILU, Source.RELU):
        solution = solved(layer_of(Site(Group.FEED_FORWARD, source, 0)), inputs_of(source))
        assert (solution.strength, solution.factors, solution.shift) == (0, None, None)


@pytest.mark.parametrize("source", [Source.NORM, Source.SILU])
def test_outliers_are_smoothed(tmp_path: Path, source: Source) -> None:
    layer = layer_of(Site(Group.FEED_FORWARD, source, 0))
    solution = solved(layer, inputs_of(source, outliers=True))
    assert solution.strength > 0
    assert solution.factors is not None
    assert solution.factors[[3, 40]].min() > np.delete(solution.factors, [3, 40]).max()
    x = inputs_of(source, 50, outliers=True, seed=1)
    exact = x @ layer.read()
    errors = [
        np.abs(run(tmp_path, precision, layer, x) - exact).mean()
        for precision in (Auto({layer.name: solution}, {}), PerToken())
    ]
    assert errors[0] < 0.7 * errors[1]


def test_means_are_shifted_away(tmp_path: Path) -> None:
    layer = layer_of()
    means = 5 * np.random.default_rng(2).standard_normal(64).astype(np.float32)
    solution = solved(layer, inputs_of(Source.NORM) + means)
    assert solution.shift is not None
    np.testing.assert_allclose(solution.shift, means, atol=0.2)
    x = inputs_of(Source.NORM, 50, seed=1) + means
    assert np.abs(run(tmp_path, Auto({layer.name: solution}, {}), layer, x) - x @ layer.read()).max() < 0.6


@pytest.mark.parametrize("steps", [127, 64])
@pytest.mark.parametrize("source", [Source.NORM, Source.RELU])
def test_products_are_exact(tmp_path: Path, steps: int, source: Source) -> None:
    layer = layer_of(Site(Group.FEED_FORWARD, source, 0))
    solution = solved(layer, inputs_of(source), steps=steps, shiftable=False)
    assert np.abs(solution.integers).max() <= steps
    x = inputs_of(source, 30, seed=1)
    got = run(tmp_path, Auto({layer.name: solution}, {}, reduce_range=steps == 64), layer, x)
    np.testing.assert_allclose(got, represented(solution, x), rtol=1e-5, atol=1e-5)


def test_a_second_term_of_the_weight(tmp_path: Path) -> None:
    layer = layer_of(Site(Group.JOINT, Source.RELU))
    solution = solved(layer, inputs_of(Source.RELU), shiftable=False, fine=True)
    assert solution.residual is not None
    assert solution.terms == 1
    x = inputs_of(Source.RELU, 30, seed=1)
    got, wanted = run(tmp_path, Auto({layer.name: solution}, {}), layer, x), represented(solution, x)
    assert np.abs(got - wanted).max() < 3e-4 * np.abs(wanted).max()  # the graph has two terms of 7 bits


def test_two_terms_of_everything(tmp_path: Path) -> None:
    layer = layer_of(Site(Group.PREDICTION, Source.OTHER))
    solution = solved(layer, inputs_of(Source.OTHER), shiftable=False, fine=True)
    assert (solution.terms, solution.residual is not None) == (2, True)
    x = inputs_of(Source.OTHER, 30, seed=1)
    exact = x @ layer.read()
    assert np.abs(run(tmp_path, Auto({layer.name: solution}, {}), layer, x) - exact).max() < 1e-3 * np.abs(exact).max()


def test_recordings_have_the_inputs_of_every_layer(tmp_path: Path) -> None:
    path, folder = checkpoint_path("nemo-r3"), tmp_path / "calibration"
    steps: list[tuple[int, int]] = []
    recordings = Recordings(
        lambda: open_checkpoint(path), sample_clips(), folder, lambda _, done, total: steps.append((done, total))
    )
    a = recordings.architecture
    names = set()
    for layer, inputs, clips in recordings.encoder():
        assert inputs.shape == (len(clips), layer.inputs)
        assert np.isfinite(inputs).all()
        assert len(np.unique(clips)) == len(sample_clips())
        assert len(clips) < 3500
        assert layer.read().shape == (layer.inputs, layer.outputs)
        names.add(layer.name)
    assert len(names) == 1 + a.layers * 8 + 2
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))
    assert not list(folder.iterdir())  # what was read is removed
    transducer = list(recordings.transducer())
    assert len(transducer) == 2 * a.prediction_layers + 3
    for layer, inputs, clips in transducer:
        assert inputs.shape == (len(clips), layer.inputs)


def test_a_conversion_is_reproducible(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        convert(checkpoint_path("nemo-r3"), tmp_path / name / "model", recipe="auto")
        files.append({file.name: file.read_bytes() for file in (tmp_path / name / "model").iterdir()})
    assert files[0] == files[1]
