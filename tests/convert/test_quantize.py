"""INT8 recipes: exact integers, frames that do not depend on their neighbours, calibration."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

import legato
from legato.convert import DEFAULT_RECIPE, RECIPES, convert
from legato.convert.bundle_writer import save_graph
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Float32, Precision
from legato.convert.graph.sites import Group, Linear, Site, Source
from legato.convert.graph.writer import GraphWriter
from legato.convert.names import FORMER_RECIPES
from legato.convert.open import open_checkpoint
from legato.convert.quantize import recipe_summaries
from legato.convert.quantize.calibration import input_ranges
from legato.convert.quantize.clips import sample_clips
from legato.convert.quantize.integer import column_scales, quantize_columns
from legato.convert.quantize.per_tensor import DynamicPerTensor
from legato.convert.quantize.per_token import SILU_DEPTH, PerToken
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

#: Recipes whose rows are independent. 4-bit blocks take the same path as 8-bit ones.
BY_TOKEN = [name for name in RECIPES if name not in ("dynamic-per-tensor", "weight-only-4bit")]
#: Number of steps that a batch is followed for.
STEPS = 6

LINEAR2 = "encoder.layers.0.feed_forward1.linear2.weight"


def started(recognizer: legato.Recognizer, samples: Floats, chunk_ms: int, language: str = "auto") -> EncoderState:
    """The state of an open stream that has accepted audio."""
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


@pytest.mark.parametrize("recipe", BY_TOKEN)
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


@pytest.mark.parametrize("recipe", BY_TOKEN)
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


def test_the_per_tensor_recipe_depends_on_neighbors(make_bundle: MakeBundle, speech: Floats) -> None:
    """One scale for the whole tensor is what the other recipes avoid."""
    recognizer = legato.load(make_bundle("nemo-r3", "int8", recipe="dynamic-per-tensor"), threads=1)
    expected = alone(recognizer, started(recognizer, speech, 320), 4)
    assert np.abs(among_others(recognizer, speech, 320, 16, 0) - expected[: STEPS * 4]).max() > 1e-3
    assert np.abs(alone(recognizer, started(recognizer, speech, 320), 12) - expected).max() > 1e-3


def test_text_does_not_depend_on_how_audio_arrives(make_bundle: MakeBundle, speech: Floats) -> None:
    """The same for the INT8 joint: a file (many frames per call) and a stream (4 frames per call) agree."""
    recognizer = legato.load(make_bundle("nemo-r3", "int8"), threads=1)
    stream = recognizer.stream(language="de-DE")
    for start in range(0, len(speech), 3000):
        stream.accept(speech[start : start + 3000])
    final = stream.finish()[-1]
    assert isinstance(final, legato.Final)
    assert final.transcript.tokens
    assert final.transcript == recognizer.transcribe(speech, language="de-DE")


def layer(
    tmp_path: Path, precision: Precision, source: Source, matrix: Floats, *, exact: bool = False
) -> Callable[[Floats], Floats]:
    """One linear layer as a function; `exact` sets the option that makes kernels exact for signed weights."""
    inputs, outputs = matrix.shape
    graph = GraphWriter("layer")
    x = graph.input("x", ir.DataType.FLOAT, ["batch", "frames", inputs])
    site = Site(Group.FEED_FORWARD, source, 0)
    y = precision.linear(graph, x, Linear("layer.weight", site, inputs, outputs, lambda: matrix))
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
    signed, unsigned = DynamicPerTensor(signed=True), DynamicPerTensor(signed=False)
    scale = np.abs(true).max()

    def error(y: Floats) -> float:
        return float(np.abs(y - true).max() / scale)

    assert error(layer(tmp_path, signed, Source.NORM, matrix, exact=True)(x)) < 0.01
    assert error(layer(tmp_path, unsigned, Source.NORM, matrix)(x)) < 0.01
    by_default = error(layer(tmp_path, signed, Source.NORM, matrix)(x))
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


class Recorder(Float32):
    """FP32 that records the linear layers it writes."""

    name = "int8"  # the prediction net has linear layers in INT8 only

    def __init__(self) -> None:
        self.written: dict[str, Site] = {}

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        self.written[layer.name] = layer.site
        return super().linear(graph, x, layer)


def test_every_linear_layer_has_a_site() -> None:
    checkpoint, recorder = open_checkpoint(checkpoint_path("nemo-r3")), Recorder()
    write_native_encoder(checkpoint, recorder)
    write_decoder(checkpoint, recorder, "batch")
    write_joint(checkpoint, recorder, "batch", "frames")
    linear = {
        re.sub(r"linear_[qkv]\.", "linear_qkv.", name)
        for name, shape in checkpoint.architecture.weight_shapes().items()
        if re.search(r"weight(_[ih]h_l\d)?$", name) and len(shape) in (2, 3)
        if not re.search(r"depthwise|embed|linear_pos", name)
    }
    assert recorder.written.keys() == linear
    assert {site.group for site in recorder.written.values()} == set(Group)
    for name, site in recorder.written.items():
        layer = re.match(r"encoder\.layers\.(\d+)\.", name)
        assert site.layer == (int(layer[1]) if layer else None)


def test_smoothing_leaves_dead_channels_alone() -> None:
    factors = smoothing_factors(np.array([16, 0, 4], np.float32), np.array([1, 2, 0], np.float32), 0.5)
    np.testing.assert_array_equal(factors, np.array([4, 1, 1], np.float32))


def test_calibration_sees_every_encoder_layer(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoint_path("nemo-r3"))
    ranges = input_ranges(checkpoint, sample_clips(), tmp_path / "calibration")
    a = checkpoint.architecture
    assert len(ranges) == 1 + a.layers * 8 + 2
    assert ranges[LINEAR2].shape == (a.feed_forward,)
    assert all(np.isfinite(values).all() and values.max() > 0 for values in ranges.values())


def manifest(folder: Path, *entries: object) -> Path:
    file = folder / "manifest.jsonl"
    file.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries) + "\n")
    return file


def test_a_calibration_manifest(tmp_path: Path) -> None:
    """Paths are relative or absolute; a recording that cannot be read is skipped."""
    (tmp_path / "fox.wav").write_bytes((REFERENCES / "audio" / "fox16k.wav").read_bytes())
    clip = REFERENCES / "audio" / "de-kerstin-2316.flac"
    file = manifest(
        tmp_path,
        {"audio_filepath": "fox.wav"},
        {"audio_filepath": str(clip), "lang": "de-DE"},
        {"audio_filepath": "missing.wav"},
    )
    report = convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="per-token-smooth", calibration=file)
    assert 0 < report.differences["encoder"] < 0.06


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["{"], "line 1: not JSON"),
        ([{"audio_filepath": "a.wav"}, "[]"], "line 2: has no audio_filepath"),
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
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="per-token-smooth", calibration=file)
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(legato.ConversionError, match="cannot be read"):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="mixed", calibration=tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"recipe": "magic"}, "no recipe 'magic'.*per-token"),
        ({"recipe": "per-token", "precision": "fp32"}, "recipe for INT8"),
        ({"recipe": "per-token", "layout": "published"}, "native layout"),
        ({"recipe": "per-token", "calibration": Path("m.jsonl")}, "takes no calibration"),
        ({"precision": "fp16", "calibration": Path("m.jsonl")}, "takes no calibration"),
    ],
)
def test_combinations_that_make_no_sense(tmp_path: Path, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(legato.ConversionError, match=words):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def ours(folder: Path) -> dict[str, Any]:
    """The key `legato` of a bundle's config.json."""
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())["legato"]
    return found


def test_the_bundle_names_its_recipe(make_bundle: MakeBundle) -> None:
    def recipe(folder: Path) -> object:
        open_bundle(folder)
        return ours(folder).get("recipe")

    assert recipe(make_bundle("nemo-r3", "int8")) == DEFAULT_RECIPE
    assert recipe(make_bundle("nemo-r3", "int8", "published")) == "dynamic-per-tensor"
    assert recipe(make_bundle("nemo-r3", "fp32")) is None
    for name in RECIPES:
        assert recipe(make_bundle("nemo-r3", "int8", recipe=name)) == name


def test_7_bit_weights_are_recorded(make_bundle: MakeBundle) -> None:
    assert ours(make_bundle("nemo-r3", "int8", recipe="per-token-smooth-7bit"))["narrowWeights"] is True
    assert "narrowWeights" not in ours(make_bundle("nemo-r3", "int8"))


@pytest.mark.parametrize(("former", "current"), FORMER_RECIPES.items())
def test_former_names_of_recipes(tmp_path: Path, make_bundle: MakeBundle, former: str, current: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"'{former}' is now called '{current}'") as caught:
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe=former)
    assert [warning.filename for warning in caught] == [__file__]
    assert ours(tmp_path / "out")["files"] == ours(make_bundle("nemo-r3", "int8", recipe=current))["files"]
    assert ours(tmp_path / "out")["recipe"] == current


def test_the_former_name_of_the_published_layout(tmp_path: Path, make_bundle: MakeBundle) -> None:
    with pytest.warns(DeprecationWarning) as caught:
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", layout="reference", recipe="reference")
    assert [str(warning.message).split(".")[0] for warning in caught] == [
        "The layout 'reference' is now called 'published'",
        "The recipe 'reference' is now called 'dynamic-per-tensor'",
    ]
    found = ours(tmp_path / "out")
    assert (found["format"], found["layout"], found["recipe"]) == (2, "published", "dynamic-per-tensor")
    assert found["files"] == ours(make_bundle("nemo-r3", "int8", "published"))["files"]


def test_bundles_of_format_1_open(tmp_path: Path, make_bundle: MakeBundle) -> None:
    made = make_bundle("nemo-r3", "int8", "published")
    for file in made.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((made / "config.json").read_text())
    config["legato"] |= {"format": 1, "layout": "reference", "recipe": "reference"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_bundle(tmp_path).layout == open_bundle(made).layout == "published"


def test_every_recipe_has_a_summary_of_one_line() -> None:
    summaries = recipe_summaries()
    assert list(summaries) == list(RECIPES)
    assert all(0 < len(summary) <= 100 and "\n" not in summary for summary in summaries.values())


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
