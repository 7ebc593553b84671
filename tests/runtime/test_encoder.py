"""The native encoder's promises: rows of a batch are independent, and many chunks in one call change nothing."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import legato
from legato.runtime.encoder import EncoderState
from legato.runtime.features import MelState
from tests.conftest import MakeBundle

Samples = NDArray[np.float32]


def started(recognizer: legato.Recognizer, samples: Samples, chunk_ms: int, language: str) -> EncoderState:
    """State with a whole utterance accepted."""
    mel, _ = recognizer.pipeline.front_end.accept(samples, MelState(), last=True)
    return recognizer.start(language=language, chunk_ms=chunk_ms).audio.encoder.accept(mel, last=True)


def alone(recognizer: legato.Recognizer, state: EncoderState, frames: int) -> NDArray[np.float32]:
    collected = []
    while ready := recognizer.pipeline.encoder.ready(state):
        [(encoded, state)] = recognizer.pipeline.encoder.step([state], min(ready, frames))
        collected.append(encoded)
    return np.concatenate(collected)


@pytest.mark.parametrize("chunk_ms", [80, 320, 1120])
def test_many_chunks_in_a_call(make_bundle: MakeBundle, speech: Samples, chunk_ms: int) -> None:
    recognizer = legato.load(make_bundle("transformers-a"))
    chunk = chunk_ms // 80
    state = started(recognizer, speech, chunk_ms, "auto")
    single = alone(recognizer, state, chunk)
    for chunks in (2, 5, 1000):
        np.testing.assert_allclose(alone(recognizer, state, chunks * chunk), single, atol=2e-5)


@pytest.mark.parametrize("name", ["nemo-r3", "transformers-b"])
def test_rows_join_and_leave(make_bundle: MakeBundle, speech: Samples, name: str) -> None:
    """Four streams of other ages, prompts and chunk sizes in one batch; one of them ends on the way."""
    recognizer = legato.load(make_bundle(name))
    ages = [("auto", 320, 0), ("de-DE", 80, 24), ("en-US", 160, 64), ("fr-FR", 320, 4)]
    states, expected = [], []
    for number, (language, chunk_ms, age) in enumerate(ages):
        clip = speech[number * 7000 :] if number < 3 else speech[: 16000 + 777]
        state = started(recognizer, clip, chunk_ms, language)
        expected.append(alone(recognizer, state, 4)[age:])
        for _ in range(age // 4):
            [(_, state)] = recognizer.pipeline.encoder.step([state], 4)
        states.append(state)
    collected: list[list[NDArray[np.float32]]] = [[] for _ in ages]
    rows = list(range(len(ages)))
    while rows := [row for row in rows if recognizer.pipeline.encoder.ready(states[row])]:
        results = recognizer.pipeline.encoder.step([states[row] for row in rows], 4)
        for row, (encoded, state) in zip(rows, results, strict=True):
            states[row] = state
            collected[row].append(encoded)
    for got, want in zip(collected, expected, strict=True):
        np.testing.assert_allclose(np.concatenate(got), want, atol=2e-5)


def test_the_prompt_can_change_between_chunks(make_bundle: MakeBundle, speech: Samples) -> None:
    """The encoder applies the prompt to its output, so the frames after a change are those of the other language."""
    recognizer = legato.load(make_bundle("nemo-r3"))
    state, other = (started(recognizer, speech, 320, language) for language in ("en-US", "de-DE"))
    english, german = (alone(recognizer, each, 4) for each in (state, other))
    first = 40
    assert len(english) > 2 * first
    assert np.abs(english - german).max(axis=1).min() > 0.01
    [(before, state)] = recognizer.pipeline.encoder.step([state], first)
    after = alone(recognizer, replace(state, prompt=other.prompt), 4)
    np.testing.assert_allclose(before, english[:first], atol=2e-5)
    np.testing.assert_allclose(after, german[first:], atol=2e-5)


def test_a_state_can_be_computed_twice(make_bundle: MakeBundle, speech: Samples) -> None:
    """Steps extend the caches in place; a state that another step has left behind keeps its values."""
    recognizer = legato.load(make_bundle("nemo-r3"))
    encoder = recognizer.pipeline.encoder
    first, second = (started(recognizer, clip, 320, "auto") for clip in (speech, speech[5000:]))
    expected = alone(recognizer, first, 4)
    states, collected = [first, second], []
    for number in range(20):
        again = states
        results = encoder.step(states, 4)
        if number % 3 == 1:  # the other one goes another way from here
            encoder.step([replace(again[1], mel=again[1].mel + 1), again[0]], 4)
            results = [*encoder.step(again[:1], 4), results[1]]
        collected.append(results[0][0])
        states = [state for _, state in results]
    np.testing.assert_allclose(np.concatenate(collected), expected[:80], atol=2e-5)
    copied = pickle.loads(pickle.dumps(states[0]))
    np.testing.assert_allclose(alone(recognizer, copied, 4), expected[80:], atol=2e-5)


def test_graphs_that_return_whole_caches(
    make_bundle: MakeBundle, speech: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles of earlier versions join the caches with the new frames in the graph."""
    bundle = make_bundle("nemo-r3")
    expected = alone(legato.load(bundle), started(legato.load(bundle), speech, 320, "auto"), 4)
    old = shutil.copytree(bundle, tmp_path / "old")
    model = onnx.load(old / "encoder.onnx", load_external_data=False)
    names = {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Reshape" and f"new_{node.input[0]}" in names:
            cache = node.input[0]
            joined = onnx.helper.make_node("Concat", [cache, f"new_{cache}"], [f"joined_{cache}"], axis=0)
            for other in model.graph.node:
                for number, name in enumerate(other.input):
                    if name == node.output[0]:
                        other.input[number] = f"joined_{cache}"
            node.CopyFrom(joined)
    for output in model.graph.output:
        output.name = output.name.replace("new_", "joined_")
        if output.name.startswith("joined_"):
            output.type.tensor_type.shape.dim[0].dim_param = "all"
    onnx.save(model, old / "encoder.onnx")
    config = json.loads((old / "config.json").read_text("utf-8"))
    del config["legato"]["files"]
    (old / "config.json").write_text(json.dumps(config), "utf-8")
    recognizer = legato.load(old)
    np.testing.assert_array_equal(alone(recognizer, started(recognizer, speech, 320, "auto"), 4), expected)


def test_state_does_not_grow(make_bundle: MakeBundle, speech: Samples) -> None:
    recognizer = legato.load(make_bundle("transformers-a"))
    stream = recognizer.stream()

    def size() -> int:
        state = stream.state.audio
        return sum(array.nbytes for array in (state.mel.pending, state.encoder.mel, *state.encoder.caches))

    stream.accept(speech)
    sizes = set()
    for _ in range(5):
        for start in range(0, 51200, 5120):
            stream.accept(speech[start : start + 5120])
        sizes.add(size())
    assert len(sizes) == 1
