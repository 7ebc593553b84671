"""INT8 recipes: a frame does not depend on its neighbors in the batch or in the call."""

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.convert import RECIPES
from legato.convert.quantize import DEFAULT_RECIPE
from legato.runtime.encoder import EncoderState
from legato.runtime.features import MelState
from tests.conftest import MakeBundle

Floats = NDArray[np.float32]

#: Recipes whose rows are independent. 4-bit blocks take the same path as 8-bit ones.
BY_TOKEN = [name for name in RECIPES if name not in ("dynamic-per-tensor", "weight-only-4bit")]

#: Number of steps that a batch is followed for.
STEPS = 6


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
    bundle = make_bundle("nemo-r3", "int8", recipe=DEFAULT_RECIPE)
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
    recognizer = legato.load(make_bundle("nemo-r3", "int8", recipe=DEFAULT_RECIPE), threads=1)
    stream = recognizer.stream(language="de-DE")
    for start in range(0, len(speech), 3000):
        stream.accept(speech[start : start + 3000])
    final = stream.finish()[-1]
    assert isinstance(final, legato.Final)
    assert final.transcript.tokens
    assert final.transcript == recognizer.transcribe(speech, language="de-DE")
