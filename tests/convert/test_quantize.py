"""INT8 recipes: exact integers, frames that do not depend on their neighbours, calibration."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

import legato
from legato.convert import DEFAULT_RECIPE, RECIPES, convert
from legato.convert.bundle_writer import save_graph
from legato.convert.checkpoint import open_checkpoint
from legato.convert.graph.decoder import write_decoder
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.calibration import input_ranges, sample_clips
from legato.convert.quantize.per_token import SILU_DEPTH, PerRow
from legato.convert.quantize.precision import DynamicInt8, Precision, column_scales, quantize_columns
from legato.convert.quantize.sites import GROUPS, place_of
from legato.convert.quantize.smooth import smoothing_factors
from legato.convert.quantize.two_term import TwoTerm
from legato.convert.quantize.weight_only import WeightOnly
from legato.model.bundle import open_bundle
from legato.runtime.encoder import EncoderState
from legato.runtime.features import MelState
from legato.runtime.session import open_session
from tests.conftest import MakeBundle, checkpoint_path
from tests.support.command import failed
from tests.support.command import legato as command
from tests.support.paths import REFERENCES

Floats = NDArray[np.float32]

#: Recipes whose rows are independent; 4-bit blocks take the way of 8-bit ones.
BY_ROW = [name for name in RECIPES if name not in ("reference", "weight-only-4bit")]
#: Steps that a batch is followed for.
STEPS = 6

SYMMETRIC, SILU = "encoder.layers.0.feed_forward1.linear1.weight", "encoder.layers.0.feed_forward1.linear2.weight"
RELU = "joint.joint_net.out.weight"


def started(recognizer: legato.Recognizer, samples: Floats, chunk_ms: int, language: str = "auto") -> EncoderState:
    """State with audio accepted that goes on."""
    mel, _ = recognizer.pipeline.front_end.accept(samples, MelState())
    return recognizer.start(language=language, chunk_ms=chunk_ms).audio.encoder.accept(mel)


def alone(recognizer: legato.Recognizer, state: EncoderState, frames: int) -> Floats:
    collected = []
    while ready := recognizer.pipeline.encoder.ready(state):
        [(encoded, state)] = recognizer.pipeline.encoder.step([state], min(ready, frames))
        collected.append(encoded)
    return np.concatenate(collected)


def among_others(recognizer: legato.Recognizer, speech: Floats, chunk_ms: int, rows: int, row: int) -> Floats:
    """Frames of `speech` as one row of a batch whose other rows are louder, older and of other languages."""
    chunk = chunk_ms // 80
    generator = np.random.default_rng(rows)
    languages = recognizer.languages
    states = []
    for number in range(rows):
        other = np.clip(np.roll(speech, 5000 * number) * generator.uniform(0.01, 9), -1, 1).astype(np.float32)
        state = started(recognizer, np.concatenate([other, other]), chunk_ms, languages[number % len(languages)])
        for _ in range(number % 5):
            [(_, state)] = recognizer.pipeline.encoder.step([state], chunk)
        states.append(state)
    states[row] = started(recognizer, speech, chunk_ms)
    collected = []
    for _ in range(STEPS):
        results = recognizer.pipeline.encoder.step(states, chunk)
        collected.append(results[row][0])
        states = [state for _, state in results]
    return np.concatenate(collected)


@pytest.mark.parametrize("recipe", BY_ROW)
@pytest.mark.parametrize("chunk_ms", [80, 320, 1120])
def test_a_stream_is_bit_equal_alone_and_in_any_batch(
    make_bundle: MakeBundle, speech: Floats, recipe: str, chunk_ms: int
) -> None:
    recognizer = legato.load(make_bundle("nemo-r3", "int8", recipe=recipe), threads=1)
    chunk = chunk_ms // 80
    expected = alone(recognizer, started(recognizer, speech, chunk_ms), chunk)
    for rows, row in ((2, 1), (16, 11)):
        got = among_others(recognizer, speech, chunk_ms, rows, row)
        np.testing.assert_array_equal(got, expected[: STEPS * chunk])


@pytest.mark.parametrize("recipe", BY_ROW)
@pytest.mark.parametrize("chunk_ms", [80, 160, 320, 560, 1120])
def test_a_stream_is_bit_equal_in_calls_of_many_chunks(
    make_bundle: MakeBundle, speech: Floats, recipe: str, chunk_ms: int
) -> None:
    recognizer = legato.load(make_bundle("nemo-r3", "int8", recipe=recipe), threads=1)
    chunk = chunk_ms // 80
    expected = alone(recognizer, started(recognizer, speech, chunk_ms), chunk)
    for chunks in {3, 56 // chunk}:
        got = alone(recognizer, started(recognizer, speech, chunk_ms), chunks * chunk)
        np.testing.assert_array_equal(got, expected)


def test_a_stream_is_bit_equal_with_any_number_of_threads(make_bundle: MakeBundle, speech: Floats) -> None:
    bundle = make_bundle("nemo-r3", "int8")
    one, two = (legato.load(bundle, threads=threads) for threads in (1, 2))
    expected = alone(one, started(one, speech, 320), 4)
    np.testing.assert_array_equal(alone(two, started(two, speech, 320), 4), expected)
    np.testing.assert_array_equal(alone(two, started(two, speech, 320), 56), expected)
    np.testing.assert_array_equal(among_others(two, speech, 320, 16, 11), expected[: STEPS * 4])


def test_the_reference_recipe_depends_on_neighbours(make_bundle: MakeBundle, speech: Floats) -> None:
    """What the recipes above repair: one scale for the whole tensor."""
    recognizer = legato.load(make_bundle("nemo-r3", "int8", recipe="reference"), threads=1)
    expected = alone(recognizer, started(recognizer, speech, 320), 4)
    assert np.abs(among_others(recognizer, speech, 320, 16, 0) - expected[: STEPS * 4]).max() > 1e-3
    assert np.abs(alone(recognizer, started(recognizer, speech, 320), 12) - expected).max() > 1e-3


def test_text_does_not_depend_on_how_audio_arrives(make_bundle: MakeBundle, speech: Floats) -> None:
    """The joint in INT8 too: a file (many frames a call) and a stream (4 frames a call) give the same."""
    recognizer = legato.load(make_bundle("nemo-r3", "int8"), threads=1)
    stream = recognizer.stream(language="de-DE")
    for start in range(0, len(speech), 3000):
        stream.accept(speech[start : start + 3000])
    final = stream.finish()[-1]
    assert isinstance(final, legato.Final)
    assert final.transcript.tokens
    assert final.transcript == recognizer.transcribe(speech, language="de-DE")


def layer(
    tmp_path: Path, precision: Precision, name: str, matrix: Floats, *, exact: bool = False
) -> Callable[[Floats], Floats]:
    """One linear layer as a function; `exact` sets what makes kernels exact for signed weights."""
    inputs, outputs = matrix.shape
    graph = GraphWriter("layer")
    x = graph.input("x", ir.DataType.FLOAT, ["batch", "frames", inputs])
    y = precision.linear(graph, x, name, inputs, outputs, lambda: matrix)
    graph.output(y, "y", ir.DataType.FLOAT, ["batch", "frames", outputs])
    file = tmp_path / f"{precision.recipe}-{len(list(tmp_path.iterdir()))}.onnx"
    ir.save(graph.model("one layer"), file)
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
    np.testing.assert_allclose(layer(tmp_path, PerRow(), SYMMETRIC, matrix)(x), expected, rtol=2e-6, atol=1e-6)

    rest = np.rint((even - first * step) / np.float32(1 / 127 / 254))
    expected = expected + integer_sums(rest, matrix) * scales * largest / 127 / 254
    # Steps of the second term are near the rounding of float32 divisions, so a few may fall to the other side.
    unit = float(largest.max() * np.abs(matrix).max()) / 127 / 254
    np.testing.assert_allclose(layer(tmp_path, TwoTerm(), SYMMETRIC, matrix)(x), expected, rtol=2e-6, atol=3 * unit)

    largest = x.max(axis=-1, keepdims=True)
    positive = np.maximum(x, 0)
    expected = integer_sums(np.rint((positive / largest) / np.float32(1 / 255)), matrix) * scales * largest / 255
    np.testing.assert_allclose(layer(tmp_path, PerRow(), RELU, matrix)(positive), expected, rtol=2e-6, atol=1e-6)

    above_depth = np.maximum(x, -SILU_DEPTH)
    lifted = above_depth + SILU_DEPTH
    largest = lifted.max(axis=-1, keepdims=True)
    above = integer_sums(np.rint((lifted / largest) / np.float32(1 / 255)), matrix) * scales * largest / 255
    expected = above - SILU_DEPTH * integer_sums(np.ones(x.shape), matrix) * scales
    rounding = 1e-6 * float(np.abs(above).max())  # of the float32 difference, whose parts may cancel
    np.testing.assert_allclose(layer(tmp_path, PerRow(), SILU, matrix)(above_depth), expected, atol=rounding)


def test_signed_weights_saturate_by_default(tmp_path: Path) -> None:
    """Why weights are unsigned. Needs a CPU without VNNI, or an ONNX Runtime that thinks so (bench/without_vnni.py)."""
    x, matrix = saturating()
    true = x.astype(np.float64) @ matrix
    signed, unsigned = DynamicInt8(unsigned=False), DynamicInt8(unsigned=True)
    scale = np.abs(true).max()

    def error(y: Floats) -> float:
        return float(np.abs(y - true).max() / scale)

    assert error(layer(tmp_path, signed, SYMMETRIC, matrix, exact=True)(x)) < 0.01
    assert error(layer(tmp_path, unsigned, SYMMETRIC, matrix)(x)) < 0.01
    by_default = error(layer(tmp_path, signed, SYMMETRIC, matrix)(x))
    if by_default < 0.01:
        pytest.skip("this CPU has VNNI (or is not x86), where U8 x S8 kernels do not saturate")
    assert by_default > 0.2


@pytest.mark.parametrize("name", [SYMMETRIC, SILU, RELU])
def test_rows_of_zeros_and_of_one_value(tmp_path: Path, name: str) -> None:
    """Silence must not divide by zero, nor give anything but its exact product."""
    matrix = np.random.default_rng(5).standard_normal((64, 24)).astype(np.float32)
    x = np.zeros((1, 3, 64), np.float32)
    x[0, 1], x[0, 2] = 0.5, 1e-30
    for precision in (PerRow(), TwoTerm()):
        y = layer(tmp_path, precision, name, matrix)(x)
        assert np.abs(y[0, 0]).max() < (1e-5 if name == SILU else 1e-30)
        expected = 0.5 * matrix.sum(axis=0)
        assert np.abs(y[0, 1] - expected).max() < 0.01 * np.abs(expected).max()
        assert np.abs(y[0, 2]).max() < 1e-5


def test_the_lstm_in_int8(tmp_path: Path) -> None:
    """Against the same arithmetic in numpy: activations by row, weights by gate and unit."""
    checkpoint = open_checkpoint(checkpoint_path("nemo-r3"))
    save_graph(write_decoder(checkpoint, PerRow(), "batch"), tmp_path, "decoder", lambda *_: None)
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
    y = layer(tmp_path, WeightOnly(bits), SYMMETRIC, matrix)(x)
    assert np.sqrt(np.mean((y - x @ matrix) ** 2) / np.mean((x @ matrix) ** 2)) < limit


def test_block_recipes_refuse_other_widths(tmp_path: Path) -> None:
    with pytest.raises(legato.ConversionError, match=r"multiple of 32.*408"):
        convert(checkpoint_path("transformers-a"), tmp_path / "out", recipe="weight-only")
    assert list(tmp_path.iterdir()) == []


def test_every_linear_layer_has_a_place() -> None:
    checkpoint = open_checkpoint(checkpoint_path("nemo-r3"))
    linear = [
        name for name, shape in checkpoint.architecture.weight_shapes().items()
        if re.search(r"weight(_[ih]h_l\d)?$", name) and len(shape) in (2, 3) and not re.search("depthwise|embed", name)
    ]  # fmt: skip
    assert {place_of(name).group for name in linear} == set(GROUPS)
    with pytest.raises(ValueError, match="no known linear layer"):
        place_of("something.else.weight")


def test_smoothing_leaves_dead_channels_alone() -> None:
    factors = smoothing_factors(np.array([16, 0, 4], np.float32), np.array([1, 2, 0], np.float32), 0.5)
    np.testing.assert_array_equal(factors, np.array([4, 1, 1], np.float32))


def test_calibration_sees_every_encoder_layer(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoint_path("nemo-r3"))
    ranges = input_ranges(checkpoint, sample_clips(), tmp_path / "calibration")
    a = checkpoint.architecture
    assert len(ranges) == 1 + a.layers * 8 + 2
    assert ranges[SILU].shape == (a.feed_forward,)
    assert all(np.isfinite(values).all() and values.max() > 0 for values in ranges.values())


def manifest(folder: Path, *entries: object) -> Path:
    file = folder / "manifest.jsonl"
    file.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries) + "\n")
    return file


def test_a_calibration_manifest(tmp_path: Path) -> None:
    """Relative and absolute paths; a recording that cannot be read is left out."""
    (tmp_path / "fox.wav").write_bytes((REFERENCES / "audio" / "fox16k.wav").read_bytes())
    clip = REFERENCES / "audio" / "de-kerstin-2316.flac"
    file = manifest(
        tmp_path, {"audio_filepath": "fox.wav"}, {"audio_filepath": str(clip), "lang": "de-DE"},
        {"audio_filepath": "missing.wav"},
    )  # fmt: skip
    report = convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="per-row-smooth", calibration=file)
    assert 0 < report.differences["encoder"] < 0.06


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["{"], "line 1: not JSON"),
        ([{"audio_filepath": "a.wav"}, "[]"], "line 2: not a JSON object"),
        ([{"lang": "de-DE"}], "line 1: has no audio_filepath"),
        ([""], "is empty"),
        ([{"audio_filepath": "missing.wav"}], "no usable audio"),
        ([{"audio_filepath": "manifest.jsonl"}], "no usable audio"),
        ([{"audio_filepath": "a.wav", "lang": "xx-XX"}], "no language 'xx-XX'"),
    ],
)
def test_bad_manifests(tmp_path: Path, entries: list[object], words: str) -> None:
    file = manifest(tmp_path, *entries)
    with pytest.raises(legato.ConversionError, match=words):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="per-row-smooth", calibration=file)
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(legato.ConversionError, match="no such manifest"):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="mixed", calibration=tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"recipe": "magic"}, "no recipe 'magic'.*per-row"),
        ({"recipe": "per-row", "precision": "fp32"}, "kind of INT8"),
        ({"recipe": "per-row", "layout": "reference"}, "native layout"),
        ({"recipe": "per-row", "calibration": Path("m.jsonl")}, "takes no calibration"),
        ({"precision": "fp16", "calibration": Path("m.jsonl")}, "takes no calibration"),
    ],
)
def test_combinations_that_make_no_sense(tmp_path: Path, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(legato.ConversionError, match=words):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_bundle_says_its_recipe(make_bundle: MakeBundle) -> None:
    def recipe(folder: Path) -> object:
        open_bundle(folder)
        return json.loads((folder / "config.json").read_text())["legato"].get("recipe")

    assert recipe(make_bundle("nemo-r3", "int8")) == DEFAULT_RECIPE
    assert recipe(make_bundle("nemo-r3", "int8", "reference")) == "reference"
    assert recipe(make_bundle("nemo-r3", "fp32")) is None
    for name in RECIPES:
        assert recipe(make_bundle("nemo-r3", "int8", recipe=name)) == name


def test_the_command(tmp_path: Path) -> None:
    checkpoint = checkpoint_path("nemo-r3")
    out = tmp_path / "out"
    message = failed(command("convert", checkpoint, out, "--recipe", "magic", home=tmp_path))
    assert "no recipe 'magic'" in message
    assert not out.exists()
    file = manifest(tmp_path, {"audio_filepath": str(REFERENCES / "audio" / "fox16k.wav")})
    result = command("convert", checkpoint, out, "--recipe", "mixed", "--calibration", file, home=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    assert json.loads((out / "config.json").read_text())["legato"]["recipe"] == "mixed"
