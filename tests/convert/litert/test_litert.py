"""LiteRT bundles: an application for the published ones, and Legato itself, get from them what ONNX gives."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import legato
from legato.convert import convert
from legato.convert.graph.decoder import write_decoder
from legato.convert.graph.precision import Float32
from legato.convert.graph.published import write_published_encoder
from legato.convert.litert.graphs import translate
from legato.convert.open import open_checkpoint
from legato.errors import BundleError, ConversionError
from legato.model.bundle import open_bundle
from legato.model.registry import ALIASES
from legato.runtime.graphs import open_graph
from tests.conftest import MakeBundle, checkpoint_path
from tests.convert.graph.test_drop_in import CLIPS, clips, error
from tests.support.command import failed
from tests.support.command import legato as command
from tests.support.hub import Hub
from tests.support.litert_app import LiteRtApp
from tests.support.litert_files import PREFIX, edit, forget_hashes
from tests.support.paths import REFERENCES, ROOT
from tests.support.published_app import App

#: Error of the encoder frames; 0.0092 and 0.0075 were measured for the two models.
INT8_ERROR = 0.015


@pytest.fixture(scope="session")
def make_trained(make_bundle: MakeBundle) -> MakeBundle:
    """`make_trained(model, precision, layout="litert")`: the folder of a trained model."""

    def make(name: str, precision: str, layout: str = "litert") -> Path:
        return make_bundle(ROOT / "training" / name / "model", precision, layout)

    return make


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", list(CLIPS))
def test_every_text_is_that_of_legato(make_trained: MakeBundle, name: str, precision: str) -> None:
    folder = make_trained(name, precision)
    app, same = LiteRtApp(folder), legato.load(folder, threads=1)
    onnx = legato.load(make_trained(name, "fp32", "published"), threads=1)
    differ = {}
    for clip, (samples, mel, language) in clips(name).items():
        texts = {
            app.text(app.search(app.encode(mel, language))),
            same.transcribe(samples, language=language).text,
            onnx.transcribe(samples, language=language).text,
        }
        if len(texts) > 1:
            differ[clip] = texts
    assert not differ


@pytest.mark.parametrize("name", list(CLIPS))
def test_int8_is_as_accurate_as_its_recipe(make_trained: MakeBundle, name: str) -> None:
    int8, fp32 = LiteRtApp(make_trained(name, "int8")), App(make_trained(name, "fp32", "published"))
    frames = [
        {clip: app.encode(mel, language) for clip, (_, mel, language) in clips(name).items()} for app in (int8, fp32)
    ]
    assert error(*frames) < INT8_ERROR


@pytest.mark.parametrize("name", ["nemo-r3", "nemo-bias", "nemo-kernel31", "transformers-heads5"])
def test_each_output_is_that_of_onnx(make_bundle: MakeBundle, name: str) -> None:
    """Random inputs, a window that is not full, and a cache that is half full."""
    onnx, litert = (open_bundle(make_bundle(name, "fp32", layout)) for layout in ("published", "litert"))
    random = np.random.default_rng(0)
    for graph in ("encoder", "decoder", "joint"):
        expected, found = open_graph(onnx, graph, 1), open_graph(litert, graph, 1)
        feeds: dict[str, Any] = {
            value.name: random.standard_normal(value.shape).astype(np.float32) for value in expected.get_inputs()
        }
        integers = {"audio_length": [19], "cache_last_channel_len": [21], "token": [[3]]}
        for value in expected.get_inputs():
            if value.name in integers:
                dtype = np.int64 if value.type == "tensor(int64)" else np.int32
                feeds[value.name] = np.array(integers[value.name], dtype)
        results = zip(expected.get_outputs(), expected.run(None, feeds), found.run(None, feeds), strict=True)
        for output, a, b in results:
            assert a.shape == b.shape, output.name
            assert a.dtype == b.dtype, output.name
            np.testing.assert_allclose(b, a, atol=1e-5 * max(1, np.abs(a).max()), err_msg=output.name)


def test_the_published_interface(make_trained: MakeBundle) -> None:
    """Names, types, and order, and the map of their roles."""
    folder = make_trained("small", "fp16")
    roles = json.loads((folder / "io_map.json").read_text("utf-8"))
    expected = {
        "encoder": (
            "float32 int64 float32 float32 float32 float32 int64",
            "float32 int32 float32 float32 float32 int32",
        ),
        "decoder": ("int64 float32 float32", "float32 float32 float32"),
        "joint": ("float32 float32", "float32"),
    }
    for graph, (inputs, outputs) in expected.items():
        model = Interpreter(str(folder / f"{PREFIX}{graph}.tflite"))
        for side, details, pattern, types in (
            ("inputs", model.get_input_details(), "serving_default_args_{}:0", inputs),
            ("outputs", model.get_output_details(), "StatefulPartitionedCall:{}", outputs),
        ):
            assert [detail["name"] for detail in details] == [pattern.format(n) for n in range(len(details))]
            assert " ".join(np.dtype(detail["dtype"]).name for detail in details) == types
            assert [
                {"name": detail["name"], "dtype": np.dtype(detail["dtype"]).name, "shape": detail["shape"].tolist()}
                for detail in details
            ] == list(roles[graph][side].values())
        [signature] = model.get_signature_list().values()
        assert signature["inputs"] == [f"args_{n}" for n in range(len(inputs.split()))]
    assert list(roles["encoder"]["inputs"])[:3] == ["audio_signal", "audio_length", "language_mask"]
    assert list(roles["decoder"]["outputs"]) == ["decoder_output", "h_out", "c_out"]


@pytest.mark.parametrize(("precision", "stored"), [("fp16", "float16"), ("int8", "int8")])
def test_large_weights_are_stored_in_the_precision(make_trained: MakeBundle, precision: str, stored: str) -> None:
    model = Interpreter(str(make_trained("small", precision) / f"{PREFIX}encoder.tflite"))
    weights = [
        tensor
        for tensor in model.get_tensor_details()
        if ".feed_forward" in tensor["name"] and tensor["name"].endswith(".transposed")
    ]
    assert weights
    for tensor in weights:
        assert np.dtype(tensor["dtype"]).name == stored
        if precision == "int8":
            assert len(tensor["quantization_parameters"]["scales"]) == tensor["shape"][0]


def test_streams_side_by_side_are_as_alone(make_trained: MakeBundle) -> None:
    recognizer = legato.load(make_trained("small", "int8"), threads=1)
    samples = [clip[0] for clip in list(clips("small").values())[:3]]
    alone = []
    for clip in samples:
        with recognizer.stream(chunk_ms=320) as single:
            alone.append(single.accept(clip) + single.finish())
    assert all(alone)
    with legato.Engine(recognizer) as engine:
        streams = [engine.stream(chunk_ms=320) for _ in samples]
        for stream, clip in zip(streams, samples, strict=True):
            stream.accept(clip)
        assert [stream.finish() for stream in streams] == alone


def test_messages_name_the_layout(make_trained: MakeBundle) -> None:
    recognizer = legato.load(make_trained("small", "int8"), threads=1)
    with pytest.raises(legato.ChunkSizeError, match="in the litert layout runs chunks of 320 ms only"):
        recognizer.stream(chunk_ms=80)


def test_roles_are_found_by_name_in_any_order(make_trained: MakeBundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_trained("small", "fp32"), tmp_path / "bundle"))
    checkpoint = open_checkpoint(checkpoint_path(str(ROOT / "training" / "small" / "model")))
    graphs = {"encoder": write_published_encoder(checkpoint, Float32()), "decoder": decoder(checkpoint)}
    for graph, source in graphs.items():
        model = translate(source.graph)
        model.inputs.reverse()
        model.outputs.reverse()
        model.save(folder / f"{PREFIX}{graph}.tflite", "reversed", lambda *_: None)
    forget_hashes(folder)
    samples, mel, language = next(iter(clips("small").values()))
    app = LiteRtApp(folder)
    expected = legato.load(make_trained("small", "fp32"), threads=1).transcribe(samples, language=language).text
    assert app.text(app.search(app.encode(mel, language))) == expected
    assert legato.load(folder, threads=1).transcribe(samples, language=language).text == expected


def transcripts(name: str, *bundles: Path) -> list[legato.Transcript]:
    """What each bundle makes of the first clip of a model."""
    samples, _, language = next(iter(clips(name).values()))
    return [legato.load(bundle, threads=1).transcribe(samples, language=language) for bundle in bundles]


def test_roles_are_found_by_position_without_names(make_trained: MakeBundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_trained("small", "int8"), tmp_path / "bundle"))
    for graph in ("encoder", "decoder", "joint"):
        edit(folder / f"{PREFIX}{graph}.tflite", anonymous)
    forget_hashes(folder)
    one, other = transcripts("small", folder, make_trained("small", "int8"))
    assert one == other


def test_the_graphs_say_what_the_configuration_does_not(make_trained: MakeBundle, tmp_path: Path) -> None:
    """Applications for LiteRT bundles read one key of their config.json."""
    original = make_trained("small", "int8")
    folder = Path(shutil.copytree(original, tmp_path / "bundle"))
    (folder / "config.json").write_text('{"subsamplingFactor": 8}', "utf-8")
    bundle = open_bundle(folder)
    assert (bundle.layout, bundle.sizes) == ("litert", open_bundle(original).sizes)
    assert len({transcript.text for transcript in transcripts("small", folder, original)}) == 1


def test_a_published_model_is_downloaded_and_run(make_bundle: MakeBundle, tmp_path: Path) -> None:
    name, folder = "nemotron-3.5-litert-fp16", make_bundle("transformers-a", "fp16", "litert")
    files = {file.name: file.read_bytes() for file in folder.iterdir()} | {"notes.tflite": b"", "README.md": b""}
    with Hub(repos={ALIASES[name]: files}) as hub:
        result = command("models", "download", name, home=tmp_path, HF_ENDPOINT=hub.url)
    assert result.returncode == 0, result.stderr.decode()
    there = {file.name for file in Path(result.stdout.decode().strip()).iterdir()}
    assert there == {*files, "download.json"} - {"notes.tflite", "README.md"}
    assert "io_map.json" in there
    assert command("models", "check", name, home=tmp_path).stdout.decode().startswith(f"{name}: complete (fp16, litert")
    audio = REFERENCES / "audio" / "fox16k.wav"
    texts = {command("transcribe", audio, "--model", model, home=tmp_path).stdout for model in (name, folder)}
    assert len(texts) == 1


def test_without_litert_nothing_is_downloaded(make_bundle: MakeBundle, tmp_path: Path) -> None:
    name, folder = "nemotron-3.5-litert-int8", make_bundle("transformers-a", "fp16", "litert")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ai_edge_litert'] = None\n")
    with Hub(repos={ALIASES[name]: {file.name: file.read_bytes() for file in folder.iterdir()}}) as hub:
        result = command("models", "download", name, home=tmp_path, HF_ENDPOINT=hub.url, PYTHONPATH=str(tmp_path))
        assert "[litert]'" in failed(result)
        assert not [request for request in hub.requests if "/resolve/" in request.path]


def test_with_a_litert_that_does_not_work_the_download_is_kept(make_bundle: MakeBundle, tmp_path: Path) -> None:
    name, folder = "nemotron-3.5-litert-int8", make_bundle("transformers-a", "fp16", "litert")
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("raise ImportError('libGL is missing')\n")
    with Hub(repos={ALIASES[name]: {file.name: file.read_bytes() for file in folder.iterdir()}}) as hub:
        result = command("models", "download", name, home=tmp_path, HF_ENDPOINT=hub.url, PYTHONPATH=str(tmp_path))
        message = failed(result)
        assert "libGL is missing" in message and "[litert]'. Then run the same command again" in message
        asked = len(hub.gets(f"{PREFIX}encoder.tflite"))
        assert command("models", "download", name, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0
        assert len(hub.gets(f"{PREFIX}encoder.tflite")) == asked


@pytest.mark.parametrize("damage", ["truncated", "another", "no model", "missing"])
def test_a_damaged_model_is_named(make_trained: MakeBundle, tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree(make_trained("small", "int8"), tmp_path / "bundle"))
    file = folder / f"{PREFIX}encoder.tflite"
    match damage:
        case "truncated":
            file.write_bytes(file.read_bytes()[:-1000])
        case "another":
            shutil.copy(folder / f"{PREFIX}joint.tflite", file)
        case "no model":
            file.write_bytes(b"no model" * 1000)
        case "missing":
            file.unlink()
    with pytest.raises(BundleError, match=file.name):
        legato.load(folder)
    forget_hashes(folder)
    with pytest.raises(BundleError, match=file.name):
        legato.load(folder)


def test_a_bundle_that_states_no_sizes_runs(make_trained: MakeBundle, tmp_path: Path) -> None:
    """Of the published LiteRT bundles' config.json, applications read nothing else."""
    folder = Path(shutil.copytree(make_trained("numbers", "fp32"), tmp_path / "bundle"))
    (folder / "config.json").write_text('{"subsamplingFactor": 8}')
    one, other = transcripts("numbers", folder, make_trained("numbers", "fp32"))
    assert one == other


def test_only_its_own_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="per-token-smooth"):
        convert(checkpoint_path("transformers-a"), tmp_path / "out", layout="litert", recipe="per-token")


def decoder(checkpoint: Any) -> Any:
    return write_decoder(checkpoint, Float32(), 1, linear=True)


def anonymous(model: Any) -> None:
    for number, tensor in enumerate(model.subgraphs[0].tensors):
        tensor.name = f"t{number}".encode()
