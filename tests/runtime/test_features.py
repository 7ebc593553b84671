import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from legato.runtime.features import LogMel, MelState
from legato.types import MelConfig

FRONT_END = LogMel()


def one_pass(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return FRONT_END.accept(samples, MelState(), last=True)[0]


def in_pieces(samples: NDArray[np.float32], cuts: list[int]) -> NDArray[np.float32]:
    state, frames = MelState(), []
    for start, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        mel, state = FRONT_END.accept(samples[start:end], state)
        frames.append(mel)
    mel, state = FRONT_END.accept(samples[:0], state, last=True)
    return np.concatenate([*frames, mel])


@settings(max_examples=60)
@given(st.data())
def test_any_cut_gives_the_same_bits(fox: NDArray[np.float32], data: st.DataObject) -> None:
    samples = fox[: data.draw(st.integers(0, 9000), label="length")]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=12), label="cuts"))
    np.testing.assert_array_equal(in_pieces(samples, cuts), one_pass(samples))


def test_sample_by_sample_gives_the_same_bits(fox: NDArray[np.float32]) -> None:
    samples = fox[5000:6500]
    np.testing.assert_array_equal(in_pieces(samples, list(range(len(samples)))), one_pass(samples))


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (159, 0), (160, 1), (319, 1), (1360, 8), (16000, 100)])
def test_number_of_frames(samples: int, frames: int) -> None:
    assert one_pass(np.zeros(samples, np.float32)).shape == (frames, 128)


def test_frames_come_as_soon_as_their_window_is_complete(fox: NDArray[np.float32]) -> None:
    # Frame m needs samples up to 160 m + 199.
    for samples, frames in ((199, 0), (200, 1), (359, 1), (360, 2)):
        assert len(FRONT_END.accept(fox[:samples], MelState())[0]) == frames


def test_silence_is_at_the_floor() -> None:
    np.testing.assert_allclose(one_pass(np.zeros(1600, np.float32)), np.log(2.0**-24), rtol=1e-7)


def test_state_stays_small(fox: NDArray[np.float32]) -> None:
    state = MelState()
    for _ in range(20):
        _, state = FRONT_END.accept(fox, state)
        assert len(state.pending) < MelConfig().window_length
