"""An application that was written for the published bundle (`tests.support.published_app`) can use a converted one."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import legato
from legato.model.bundle import GRAPHS
from tests.conftest import MakeBundle
from tests.support.paths import REFERENCES
from tests.support.published_app import App

Samples = NDArray[np.float32]

ENCODER_INPUTS = {
    "audio_signal": ("float", ["1", "bins", "32"]),
    "audio_length": ("int32", ["1"]),
    "language_mask": ("float", ["1", "prompts"]),
    "pre_cache": ("float", ["1", "bins", "9"]),
    "cache_last_channel": ("float", ["layers", "1", "left", "width"]),
    "cache_last_time": ("float", ["layers", "1", "width", "conv"]),
    "cache_last_channel_len": ("int32", ["1"]),
}
ENCODER_OUTPUTS = {
    "encoded_output": ("float", ["1", "4", "width"]),
    "encoded_length": ("int32", ["1"]),
    "new_pre_cache": ("float", ["1", "bins", "9"]),
    "new_cache_last_channel": ("float", ["layers", "1", "left", "width"]),
    "new_cache_last_time": ("float", ["layers", "1", "width", "conv"]),
    "new_cache_last_channel_len": ("int32", ["1"]),
}


def mel_of(samples: Samples, config: dict[str, Any]) -> NDArray[np.float32]:
    """Log-mel of the whole utterance [frames, bins], written from the description of the front end."""
    emphasized = np.append(samples[:1], samples[1:] - config["preEmphasis"] * samples[:-1]).astype(np.float64)
    half, window = config["nFFT"] // 2, config["winLength"]
    padded = np.pad(emphasized, half)
    margin = (config["nFFT"] - window) // 2
    taper = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1)), margin)
    frames = len(samples) // config["hopLength"]
    spectra = [
        np.abs(np.fft.rfft(padded[i * config["hopLength"] :][: config["nFFT"]] * taper)) ** 2 for i in range(frames)
    ]
    hertz = np.linspace(0, config["sampleRate"] / 2, half + 1)
    top = 15 + 27 * np.log(config["sampleRate"] / 2000) / np.log(6.4)
    mels = np.linspace(0, top, config["numMelBins"] + 2)
    edges = np.array([m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27) for m in mels])
    bank = np.array(
        [
            np.interp(hertz, [low, center, high], [0, 1, 0]) * 2 / (high - low)
            for low, center, high in zip(edges, edges[1:], edges[2:], strict=False)
        ]
    )
    mel: NDArray[np.float32] = np.log(np.array(spectra) @ bank.T + 2**-24).astype(np.float32)
    return mel


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", ["nemo-r3", "transformers-a"])
def test_graphs_follow_the_contract_to_the_letter(make_bundle: MakeBundle, name: str, precision: str) -> None:
    app = App(make_bundle(name, precision, "published"))
    config = app.config
    sizes = {
        "bins": config["numMelBins"],
        "prompts": config["numPrompts"],
        "layers": config["encoderLayers"],
        "left": config["attentionLeftContext"],
        "width": config["encoderHidden"],
        "conv": config["convCacheSize"],
    }
    hidden, layers, outputs = config["decoderHidden"], config["decoderLayers"], config["blankTokenId"] + 1

    def shape(dims: list[str]) -> list[int]:
        return [sizes[dim] if dim in sizes else int(dim) for dim in dims]

    for values, expected in ((app.encoder.get_inputs(), ENCODER_INPUTS), (app.encoder.get_outputs(), ENCODER_OUTPUTS)):
        found = [(v.name, v.type, v.shape) for v in values]
        assert found == [(n, f"tensor({kind})", shape(dims)) for n, (kind, dims) in expected.items()]
    state = [layers, 1, hidden]
    assert [(v.type, v.shape) for v in app.decoder.get_inputs()] == [
        ("tensor(int64)", [1, 1]),
        ("tensor(float)", state),
        ("tensor(float)", state),
    ]
    assert [v.name for v in app.decoder.get_inputs()] == ["token", "h", "c"]
    assert [v.shape for v in app.decoder.get_outputs()] == [[1, 1, hidden], state, state]
    assert [v.name for v in app.decoder.get_outputs()] == ["decoder_output", "h_out", "c_out"]
    assert [v.shape for v in app.joint.get_inputs()] == [[1, 1, sizes["width"]], [1, 1, hidden]]
    assert [v.name for v in app.joint.get_inputs()] == ["encoder_output", "decoder_output"]
    assert [v.name for v in app.joint.get_outputs()] == ["logits"]
    assert [v.shape for v in app.joint.get_outputs()] == [[1, 1, outputs]]
    assert app.config["streaming"] == {
        "chunkMs": 320,
        "chunkSize": 4,
        "rightContext": 3,
        "melFrames": 32,
        "preCacheSize": 9,
        "outputFrames": 4,
    }
    assert app.languages["autoSlot"] == app.languages["promptDictionary"]["auto"] == 101
    assert sorted(map(int, app.vocab)) == list(range(outputs - 1))
    assert most_joined(make_bundle(name, precision, "published")) <= 6


def test_bare_codes_are_added_where_they_are_unambiguous(make_bundle: MakeBundle, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(REFERENCES / "transformers-a", tmp_path / "checkpoint"))
    processor = json.loads((checkpoint / "processor_config.json").read_text())
    given = {"en-US": 0, "en-GB": 1, "fr-CA": 100, "fr-FR": 8, "fr": 8, "ja-JP": 10, "haw-US": 97, "auto": 101}
    processor["prompt_dictionary"] = given
    (checkpoint / "processor_config.json").write_text(json.dumps(processor))
    languages = json.loads((make_bundle(checkpoint, "fp32", "published") / "languages.json").read_text())
    assert languages["promptDictionary"] == {**given, "ja": 10, "haw": 97}


def most_joined(folder: Path) -> int:
    """The most inputs of a Concat node in the graphs of a bundle."""
    graphs = (onnx.load(folder / f"{name}.onnx", load_external_data=False).graph for name in GRAPHS)
    return max(len(node.input) for graph in graphs for node in graph.node if node.op_type == "Concat")


@pytest.mark.parametrize("name", ["nemo-r3", "transformers-a", "transformers-heads5"])
def test_an_app_gets_what_our_runtime_gets(make_bundle: MakeBundle, speech: Samples, name: str) -> None:
    folder = make_bundle(name, "fp32", "published")
    app = App(folder)
    mel = mel_of(np.pad(speech, (0, -len(speech) % (160 * app.config["streaming"]["melFrames"]))), app.config).T
    encoded = app.encode(mel, "fr-FR")
    recognizer = legato.load(folder)
    frames = recognizer.encode(speech, language="fr-FR")
    np.testing.assert_allclose(frames, encoded, atol=1e-4 * frames.std())
    transcript = recognizer.transcribe(speech, language="fr-FR")
    tokens = app.search(encoded)
    assert [token.id for token in transcript.tokens] == tokens
    assert tokens
    assert transcript.text == app.text(tokens)


def test_a_published_bundle_without_our_keys_runs(make_bundle: MakeBundle, fox: Samples, tmp_path: Path) -> None:
    """Published folders have no key `legato` in config.json, and older ones have another name for the left context."""
    ours = make_bundle("transformers-a", "fp32", "published")
    for file in ours.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((ours / "config.json").read_text())
    del config["legato"]
    config["attentionContext"] = config.pop("attentionLeftContext")
    (tmp_path / "config.json").write_text(json.dumps(config))
    expected = legato.load(ours).transcribe(fox)
    assert legato.load(tmp_path).transcribe(fox) == expected


def test_layouts_agree_where_their_phases_allow(make_bundle: MakeBundle, speech: Samples) -> None:
    """The published contract starts at another phase than NeMo, so frames differ, but only as neighboring frames do."""
    native, published = (
        legato.load(make_bundle("nemo-r3", "fp32", layout)).encode(speech) for layout in ("native", "published")
    )
    shared = min(len(native), len(published))
    correlation = np.corrcoef(native[8:shared].ravel(), published[8:shared].ravel())[0, 1]
    assert 0.5 < correlation < 0.9999
