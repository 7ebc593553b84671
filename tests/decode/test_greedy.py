"""Greedy search against the frame-by-frame loop of the transducer's definition, written out here again."""

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.decode.greedy import Emission, greedy_search, start_search
from tests.conftest import MakeBundle

NAMES = ("nemo-r3", "transformers-a", "transformers-b")


def textbook(recognizer: legato.Recognizer, frames: NDArray[np.float32], limit: int) -> list[Emission]:
    transducer = recognizer.pipeline.decoder.transducer
    h, c = transducer.initial(1)
    prediction, h, c = transducer.predict(np.array([transducer.blank]), h, c)
    emissions = []
    for number, frame in enumerate(frames):
        for _ in range(limit):
            token = int(transducer.join(frame[None, None], prediction).argmax())
            if token == transducer.blank:
                break
            emissions.append(Emission(token, number))
            prediction, h, c = transducer.predict(np.array([token]), h, c)
    return emissions


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [1, 2, 10])
def test_equals_the_textbook_loop(make_bundle: MakeBundle, speech: NDArray[np.float32], name: str, limit: int) -> None:
    recognizer = legato.load(make_bundle(name))
    frames = recognizer.encode(speech)
    state = start_search(recognizer.pipeline.decoder.transducer)
    [(found, _)] = greedy_search(recognizer.pipeline.decoder.transducer, [frames], [state], limit)
    assert found == textbook(recognizer, frames, limit)
    assert found


@pytest.mark.parametrize("name", NAMES)
def test_state_carries_over_any_border(make_bundle: MakeBundle, speech: NDArray[np.float32], name: str) -> None:
    recognizer = legato.load(make_bundle(name))
    frames = recognizer.encode(speech)
    whole = textbook(recognizer, frames, 10)
    for size in (1, 3, 4, 50):
        transducer = recognizer.pipeline.decoder.transducer
        state, found = start_search(transducer), []
        for start in range(0, len(frames), size):
            [(new, state)] = greedy_search(
                recognizer.pipeline.decoder.transducer, [frames[start : start + size]], [state], 10
            )
            found += [Emission(e.token, start + e.frame) for e in new]
        assert found == whole


def test_rows_of_a_batch_do_not_touch_each_other(make_bundle: MakeBundle, speech: NDArray[np.float32]) -> None:
    recognizer = legato.load(make_bundle("nemo-r3"))
    transducer = recognizer.pipeline.decoder.transducer
    frames = recognizer.encode(speech)
    rows = [frames[:7], frames[7:7], frames[30:70], frames[5:6]]
    start = start_search(transducer)
    together = greedy_search(transducer, rows, [start] * len(rows), 10)
    for row, (found, state) in zip(rows, together, strict=True):
        [(alone, state_alone)] = greedy_search(transducer, [row], [start], 10)
        assert found == alone
        assert bool(found) == bool(len(row))
        np.testing.assert_allclose(state.prediction, state_alone.prediction, atol=1e-6)
