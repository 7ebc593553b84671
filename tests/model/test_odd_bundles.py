"""Every odd or hostile variation of a published bundle runs, or is a BundleError that says why not.

`RUNS` and `REFUSED` are tables: the file, and what is done to it; for a refusal also what the message says.
"""

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.model.bundle import open_bundle
from legato.model.card import write_card
from legato.runtime.trial import check_runs
from tests.conftest import MakeBundle
from tests.support.graphs import (
    add_input,
    add_operator,
    add_output,
    edit_graph,
    free_axes,
    point_elsewhere,
    point_elsewhere_in_a_node,
    rename,
    retype,
    reverse,
    set_field,
    set_shape,
    spoil,
    weights_as_inputs,
    without_input,
)
from tests.support.mutations import mutate, seeds

Change = Callable[[Path], object]
FLOAT, INT32, INT64, INT8, FLOAT16, DOUBLE = 1, 6, 7, 3, 10, 11
TOLD_BY_THE_GRAPHS = (
    "numMelBins", "encoderHidden", "encoderLayers", "attentionLeftContext", "convCacheSize", "decoderHidden",
    "decoderLayers", "vocabSize", "blankTokenId", "numPrompts", "subsamplingFactor", "streaming",
)  # fmt: skip


def json_edit(change: Callable[[Any], Any]) -> Change:
    """Change the value of a JSON file; `change` returns the new one, or None after it has changed the old one."""

    def edit(file: Path) -> None:
        value = json.loads(file.read_text("utf-8"))
        changed = change(value)
        file.write_text(json.dumps(value if changed is None else changed), "utf-8")

    return edit


def put(**values: object) -> Change:
    return json_edit(lambda old: old.update(values))


def put_in(section: str, **values: object) -> Change:
    return json_edit(lambda old: old.setdefault(section, {}).update(values))


def drop(*names: str) -> Change:
    return json_edit(lambda old: {name: value for name, value in old.items() if name not in names})


def graph(change: Callable[[Any], object]) -> Change:
    return partial(edit_graph, change=change)


def text(content: str | bytes) -> Change:
    return lambda file: file.write_bytes(content.encode() if isinstance(content, str) else content)


def first(content: str) -> Change:
    """Put something before the contents."""
    return lambda file: file.write_bytes(content.encode() + file.read_bytes())


def cut(share: float) -> Change:
    return lambda file: file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def _pipe(file: Path) -> None:
    os.mkfifo(file)  # looked up when the test runs: Windows has none


def instead(make: Callable[[Path], object]) -> Change:
    """Put something else in the place of a file."""

    def replace(file: Path) -> None:
        file.unlink()
        make(file)

    return replace


def link_outside(file: Path) -> None:
    outside = file.parent.parent / f"outside-{file.name}"
    shutil.move(file, outside)
    file.symlink_to(outside)


def link_all(file: Path) -> None:
    """Make links of all files of the bundle, as in the hub's cache."""
    blobs = file.parent.parent / "blobs"
    blobs.mkdir()
    for number, each in enumerate(sorted(file.parent.iterdir())):
        shutil.move(each, blobs / f"{number:064}")
        each.symlink_to(blobs / f"{number:064}")


def silent(file: Path) -> None:
    """Let neither the configuration nor the encoder say how long a window is."""
    edit_graph(file.with_name("encoder.onnx"), free_axes)
    file.write_text("{}")


def piece(value: object) -> Change:
    return json_edit(lambda old: old.update({"5": value}))


RUNS: list[tuple[str, str, Change]] = [
    ("without our section", "config.json", drop("legato")),
    ("an older key", "config.json", json_edit(lambda c: c.update(attentionContext=c.pop("attentionLeftContext")))),
    ("a byte order mark in config", "config.json", first("\ufeff")),
    ("a byte order mark in vocab", "vocab.json", first("\ufeff")),
    ("a byte order mark in languages", "languages.json", first("\ufeff")),
    ("what graphs tell is missing", "config.json", drop("legato", *TOLD_BY_THE_GRAPHS)),
    ("what graphs tell is null", "config.json", put(**dict.fromkeys(TOLD_BY_THE_GRAPHS), legato=None)),
    ("an empty config", "config.json", text("{}")),
    ("whole numbers as floats", "config.json", put(encoderLayers=3.0, sampleRate=16000.0)),
    ("unknown keys", "config.json", put(future={"deep": [1, {}]}, other=None)),
    ("vocab as a list", "vocab.json", json_edit(lambda v: [v[str(i)] for i in range(len(v))])),
    ("vocab as a list with blank", "vocab.json", json_edit(lambda v: [*(v[str(i)] for i in range(len(v))), "<b>"])),
    ("vocab with more tokens", "vocab.json", put(**{"1000000": "x", "<blank>": "y"})),
    ("flat languages", "languages.json", json_edit(lambda v: v["promptDictionary"])),
    ("flat languages with auto", "languages.json", json_edit(lambda v: v["promptDictionary"] | {"autoSlot": 101})),
    ("languages without numbers", "languages.json", drop("numPrompts", "autoSlot")),
    ("int64 lengths", "encoder.onnx", graph(retype(INT32, INT64))),
    ("float16", "encoder.onnx", graph(retype(FLOAT, FLOAT16))),
    ("double", "encoder.onnx", graph(retype(FLOAT, DOUBLE))),
    ("no audio_length", "encoder.onnx", graph(without_input("audio_length", np.array([32], np.int32)))),
    ("dynamic axes of the encoder", "encoder.onnx", graph(free_axes)),
    ("dynamic axes of the decoder", "decoder.onnx", graph(free_axes)),
    ("dynamic axes of the joint", "joint.onnx", graph(free_axes)),
    ("encoder in another order", "encoder.onnx", graph(reverse)),
    ("decoder in another order", "decoder.onnx", graph(reverse)),
    ("joint in another order", "joint.onnx", graph(reverse)),
    ("another output of the encoder", "encoder.onnx", graph(add_output)),
    ("another output of the decoder", "decoder.onnx", graph(add_output)),
    ("weights as inputs", "encoder.onnx", graph(weights_as_inputs)),
    ("an output by its position", "encoder.onnx", graph(rename("encoded_output", "outputs"))),
    ("decoder inputs by position", "decoder.onnx", graph(rename("token", "targets"))),
    ("decoder outputs by position", "decoder.onnx", graph(rename("h_out", "states.1"))),
    ("joint by position", "joint.onnx", graph(rename("encoder_output", "f"))),
    ("logits by position", "joint.onnx", graph(rename("logits", "output"))),
    ("decoder in float16", "decoder.onnx", graph(retype(FLOAT, FLOAT16))),
    ("tokens as int32", "decoder.onnx", graph(retype(INT64, INT32))),
    ("a snapshot in the hub's cache", "encoder.onnx", link_all),
    ("joint in float16", "joint.onnx", graph(retype(FLOAT, FLOAT16))),
]

REFUSED: list[tuple[str, Change, str]] = [
    ("config.json", text(""), r"config\.json: is not JSON: .*\. Download or convert the model again\."),
    ("config.json", text(b"\xff\xfe{\x00}\x00"), r"config\.json: is not JSON"),
    ("config.json", text("[]"), "expected an object with fields, found a list"),
    ("config.json", text("[" * 100_000), "nested too deeply"),
    ("config.json", text('{"a":' * 100_000), "nested too deeply"),
    ("config.json", text('{"encoderLayers": NaN}'), "the number NaN is not finite"),
    ("config.json", text('{"encoderLayers": 1e999}'), "the number 1e999 is not finite"),
    ("config.json", text('{"encoderLayers": ' + "9" * 10_000 + "}"), r"config\.json: is not JSON"),
    ("config.json", text(" " * 5_000_000), "is larger than"),
    ("config.json", instead(_pipe), "not a regular file"),
    ("config.json", instead(Path.mkdir), r"config\.json: cannot be read"),
    ("config.json", instead(lambda file: file.symlink_to("/dev/zero")), "not a regular file"),
    ("config.json", put(encoderLayers="many"), "encoderLayers: expected a whole number from 1 to 256, found the text"),
    ("config.json", put(encoderLayers=True), "encoderLayers: expected a whole number"),
    ("config.json", put(encoderLayers=2.5), "encoderLayers: expected a whole number"),
    ("config.json", put(encoderLayers=0), "encoderLayers: expected a whole number"),
    ("config.json", put(encoderLayers=10**9), "encoderLayers: expected a whole number"),
    ("config.json", put(encoderLayers=7), r"encoderLayers.*belong to different models"),
    ("config.json", put(encoderHidden=[64]), "encoderHidden: expected a whole number from 1 to 16384, found a list"),
    ("config.json", put(blankTokenId=10**9), "blankTokenId: expected a whole number"),
    ("config.json", put(blankTokenId=10**6), r"joint\.onnx: the output logits has the shape .* expected .*1000001"),
    ("config.json", put(numPrompts={}), "numPrompts: expected a whole number"),
    ("config.json", put(numMelBins=80), r"audio_signal has the shape \[1, 128, 32\]; expected \[1, 80, 32\]"),
    ("config.json", put(sampleRate=0), "sampleRate: expected"),
    ("config.json", put(nFFT=10**9), "nFFT: expected"),
    ("config.json", put(sampleRate=8000), r"expected a hop of 10 ms, found 160 samples at 8000 Hz\. Correct the file"),
    ("config.json", put(hopLength=80), "expected a hop of 10 ms, found 80 samples at 16000 Hz"),
    ("config.json", put(subsamplingFactor=4), "subsamplingFactor: expected 8, found 4"),
    ("config.json", silent, r"config\.json: encoderLayers is missing, and the graphs do not say it\. Correct"),
    ("config.json", put(winLength=600), "hop, window and transform"),
    ("config.json", put(preEmphasis="0.97"), "preEmphasis: expected a number from 0 to 1"),
    ("config.json", put(streaming=[]), "streaming: expected an object"),
    ("config.json", put_in("streaming", melFrames=33), r"audio_signal has the shape \[1, 128, 32\]"),
    ("config.json", put_in("streaming", preCacheSize=-1), "preCacheSize: expected"),
    ("config.json", put(legato=[1]), "legato: expected an object"),
    ("config.json", put_in("legato", format="new"), "format: expected a whole number"),
    ("config.json", put_in("legato", layout=7), "layout: expected a text"),
    ("config.json", put_in("legato", name="\x1b[31mred"), "name: expected a text"),
    ("config.json", put_in("legato", rightContexts="3"), "rightContexts: expected a list"),
    ("config.json", put_in("legato", rightContexts=[3, None]), "rightContexts: expected a whole number"),
    ("config.json", put_in("legato", narrowWeights="no"), "narrowWeights: expected true or false"),
    ("config.json", put_in("legato", melConstants="float8"), "constants of the front end"),
    ("config.json", put_in("legato", maxSymbols=10**6), "maxSymbols: expected"),
    ("config.json", put_in("legato", files=["vocab.json"]), "files: expected an object"),
    ("config.json", put_in("legato", files={"vocab.json": 3}), "vocab.json: expected an object"),
    ("config.json", put_in("legato", files={"vocab.json": {"size": "3", "sha256": ""}}), "size: expected"),
    ("config.json", put_in("legato", files={"../../etc/passwd": {"size": 3, "sha256": "0"}}), "passwd is missing"),
    ("vocab.json", text('"text"'), "expected a list or an object of pieces"),
    ("vocab.json", text("{}"), "expected .* pieces in a list, .*, found an object of 0"),
    ("vocab.json", json_edit(lambda v: v.pop("7")), r"vocab\.json: "),
    ("vocab.json", json_edit(lambda v: v.update({"x": v.pop("7")})), r"; token 7 is missing\. Correct the file"),
    ("vocab.json", json_edit(lambda v: {p: int(i) for i, p in v.items()}), r"token ids as its keys; .*\. Correct"),
    ("vocab.json", json_edit(lambda v: {"vocab": v}), r"as its keys, found an object of 1\. Correct the file"),
    ("vocab.json", piece(3), "token 5: expected a text"),
    ("vocab.json", piece("a" * 1_000_000), "token 5: expected a text of at most 1000"),
    ("vocab.json", piece("\x1b[2Jgone"), r"token 5: .* control characters, found the text '\\x1b\[2Jgone'"),
    ("vocab.json", piece("a\nb"), "token 5: .* control characters"),
    ("vocab.json", piece("\ud800"), "token 5: .* control characters"),
    ("vocab.json", piece(["a"]), "token 5: expected a text"),
    ("vocab.json", text("[" * 100_000 + "]" * 100_000), "nested too deeply"),
    ("vocab.json", instead(_pipe), "not a regular file"),
    ("vocab.json", text(b'{"0": "\xff"}'), r"vocab\.json: is not JSON"),
    ("languages.json", text("[]"), "expected an object"),
    ("languages.json", json_edit(lambda v: list(v["promptDictionary"])), r"found a list of \d+\. Correct the file"),
    ("languages.json", json_edit(lambda v: v["promptDictionary"] | {"note": "x"}), r"note: .* the text 'x'\. Correct"),
    ("languages.json", text("{}"), "has no languages"),
    ("languages.json", put(promptDictionary=["en"]), "promptDictionary: expected an object"),
    ("languages.json", put_in("promptDictionary", en="0"), "en: expected a whole number from 0 to"),
    ("languages.json", put_in("promptDictionary", en=-1), "en: expected a whole number from 0 to"),
    ("languages.json", put_in("promptDictionary", en=10**9), "en: expected a whole number from 0 to"),
    ("languages.json", put(autoSlot="101"), "autoSlot: expected a whole number"),
    ("languages.json", put_in("promptDictionary", **{"\x07": 0}), "expected names"),
    ("languages.json", put_in("promptDictionary", **{"x" * 300: 0}), "expected names"),
    ("languages.json", put_in("promptDictionary", **{f"l{i}": 0 for i in range(20_000)}), "at most 10000 entries"),
    ("languages.json", instead(lambda file: None), r"languages\.json is missing\. Download or convert"),
    ("calibration.json", text("{"), r"calibration\.json: is not JSON: .*\. Run 'legato calibrate' again, or delete"),
    ("encoder.onnx", text(""), r"encoder\.onnx: cannot be read"),
    ("encoder.onnx", text("a page of HTML"), r"encoder\.onnx: is not an ONNX graph"),
    ("encoder.onnx", text("version https://git-lfs.github.com/spec/v1\n"), r"encoder\.onnx: is not an ONNX graph"),
    ("encoder.onnx", cut(0.5), r"encoder\.onnx: is not an ONNX graph, or was cut off"),
    ("encoder.onnx", lambda file: file.write_bytes(file.read_bytes() * 2), "has 2 graphs"),
    ("encoder.onnx", instead(lambda file: None), r"encoder\.onnx is missing"),
    ("encoder.onnx.data", instead(lambda file: None), r"encoder\.onnx\.data is missing"),
    ("encoder.onnx.data", cut(0.5), "was cut off, or belongs to another model"),
    ("encoder.onnx.data", link_outside, "is a link to another folder"),
    ("encoder.onnx", graph(point_elsewhere("/etc/passwd")), "'/etc/passwd', outside of its folder"),
    ("encoder.onnx", graph(point_elsewhere("../secret")), "outside of its folder"),
    ("encoder.onnx", graph(point_elsewhere("C:\\secret")), "outside of its folder"),
    ("encoder.onnx", graph(point_elsewhere_in_a_node("../secret")), "outside of its folder"),
    ("encoder.onnx", graph(rename("audio_signal", "mel")), "has no input audio_signal. Its inputs are: mel, audio"),
    ("encoder.onnx", graph(add_input), "an input that Legato does not know: speaker"),
    ("encoder.onnx", graph(retype(FLOAT, INT8)), "audio_signal is int8; expected double or float or float16"),
    ("encoder.onnx", graph(set_shape("audio_signal", [1, 128])), r"has the shape \[1, 128\]; expected \[1, 128, 32\]"),
    ("encoder.onnx", graph(set_shape("encoded_output", [1, 4, 5])), "the output encoded_output has the shape"),
    ("encoder.onnx", graph(lambda model: model.graph.output.pop()), "has no output new_cache_last_channel_len"),
    ("encoder.onnx", graph(set_field("ir_version", 99)), "Update it with: pip install --upgrade onnxruntime"),
    ("encoder.onnx", graph(set_field("opset", 99)), "Update it with: pip install --upgrade onnxruntime"),
    ("encoder.onnx", graph(add_operator("")), "does not have. Update it with"),
    ("encoder.onnx", graph(add_operator("com.microsoft")), "does not have. Update it with"),
    ("encoder.onnx", graph(add_operator("ai.custom")), r"an operator of the domain ai\.custom, .*\. Choose another"),
    ("encoder.onnx", graph(spoil), "numbers that are not finite"),
    ("decoder.onnx", graph(set_shape("h", [9, 1, 64])), r"the input h has the shape \[9, 1, 64\]; expected"),
    ("decoder.onnx", graph(lambda model: model.graph.output.pop()), "has no output c_out"),
    ("joint.onnx", graph(set_shape("logits", [1, 1, 7])), "the output logits has the shape"),
    ("joint.onnx", graph(spoil), "numbers that are not finite"),
]  # fmt: skip


@pytest.fixture
def bundle(make_bundle: MakeBundle, tmp_path: Path) -> Path:
    """A published bundle, without the hashes that would refuse every change at once."""
    folder = Path(shutil.copytree(make_bundle("transformers-a", "fp32", "published"), tmp_path / "bundle"))
    json_edit(lambda config: config["legato"].pop("files") and None)(folder / "config.json")
    return folder


@pytest.fixture(scope="session")
def expected(make_bundle: MakeBundle, fox: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[int]]:
    recognizer = legato.load(make_bundle("transformers-a", "fp32", "published"), threads=1)
    frames = recognizer.encode(fox, language="en-US")
    return frames, [token.id for token in recognizer.transcribe(fox, language="en-US").tokens]


@pytest.mark.parametrize(("name", "change"), [case[1:] for case in RUNS], ids=[case[0] for case in RUNS])
def test_a_variation_that_runs(
    bundle: Path, fox: NDArray[np.float32], expected: tuple[NDArray[np.float32], list[int]], name: str, change: Change
) -> None:
    change(bundle / name)
    recognizer = legato.load(bundle, threads=1)
    frames = recognizer.encode(fox, language="en-US")
    close = change in [case[2] for case in RUNS if "float16" in case[0]]
    np.testing.assert_allclose(frames, expected[0], atol=0.02 * frames.std() if close else 1e-5)
    tokens = [token.id for token in recognizer.transcribe(fox, language="en-US").tokens]
    assert tokens == expected[1] or close
    assert tokens


@pytest.mark.parametrize(("name", "change", "words"), REFUSED)
def test_a_variation_that_is_refused(bundle: Path, name: str, change: Change, words: str) -> None:
    change(bundle / name)
    started = time.process_time()
    with pytest.raises(legato.BundleError, match=words) as refusal:
        check_runs(bundle)
    message = str(refusal.value)
    assert str(bundle) in message
    assert len(message) < 2000
    assert message.isprintable()
    assert time.process_time() - started < 60


def test_an_evaluation_opens_odd_bundles_too(bundle: Path) -> None:
    open_models = pytest.importorskip("legato.lab.evaluate.models").open_models
    first("\ufeff")(bundle / "config.json")
    [model] = open_models([str(bundle)])
    assert model.recipe is None


def test_a_card_of_a_bundle_that_legato_did_not_write(bundle: Path) -> None:
    for change in (put(legato={"layout": "published"}), put(legato=3), drop("legato"), text("[")):
        change(bundle / "config.json")
        with pytest.raises(legato.BundleError):
            write_card(bundle)


def test_mutations(bundle: Path) -> None:
    """Random changes: 1000, or as many as LEGATO_FUZZ_SECONDS are enough for."""
    originals = {name: (bundle / name).read_bytes() for name in ("config.json", "vocab.json", "languages.json")}
    graphs = {f"{name}.onnx": (bundle / f"{name}.onnx").read_bytes() for name in ("encoder", "decoder", "joint")}
    files = originals | graphs
    for seed in seeds(1000):
        generator = random.Random(seed)
        name = generator.choice(sorted(files))
        mutated = mutate(files[name], generator, name.endswith(".json"))
        (bundle / name).write_bytes(mutated)
        started = time.process_time()
        try:
            open_bundle(bundle)
        except legato.BundleError as error:
            assert str(error).isprintable(), seed
        except BaseException as error:
            raise AssertionError(f"{name}, seed {seed}") from error
        assert time.process_time() - started < 30, seed
        (bundle / name).write_bytes(files[name])
