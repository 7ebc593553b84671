"""Arrays as audio."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from legato.audio.arrays import check_samples
from legato.errors import AudioError


def test_arrays_of_every_kind() -> None:
    full = np.array([-32768, -1, 0, 1, 32767], np.int16)
    expected = full.astype(np.float32) / 32768
    np.testing.assert_array_equal(check_samples(full), expected)
    np.testing.assert_array_equal(check_samples(expected.astype(np.float64)), expected)
    np.testing.assert_array_equal(check_samples(full.astype(np.int32) * 65536), expected)
    np.testing.assert_array_equal(check_samples((full.astype(np.int32) + 32768).astype(np.uint16)), expected)
    np.testing.assert_array_equal(check_samples(np.stack([full, full], axis=1)), expected)
    np.testing.assert_array_equal(check_samples(full[:, None]), expected)
    same = np.ones(10, np.float32)
    assert check_samples(same) is same
    assert len(check_samples(np.ones(48000, np.float32), 48000)) == 16000
    assert check_samples(np.zeros(0), allow_empty=True).shape == (0,)


@pytest.mark.parametrize(
    ("array", "rate", "words"),
    [
        (b"\0\0" * 160, 16000, r"np\.frombuffer\(data, np\.int16\)"),
        (bytearray(320), 16000, "bytes"),
        (np.zeros((2, 3, 4)), 16000, "shape"),
        (np.float32(1.0), 16000, "shape"),
        (np.zeros((2, 16000)), 16000, "transpose"),
        (np.zeros(0), 16000, "0 samples"),
        (np.zeros((0, 2)), 16000, "0 samples"),
        (np.zeros(10, np.complex64), 16000, "complex64"),
        (np.zeros(10, bool), 16000, "bool"),
        (np.array(["a"]), 16000, "<U1"),
        (np.array([1e300]), 16000, "infinite"),
        (np.zeros(10), 10, "10 Hz"),
    ],
)
def test_arrays_that_are_refused(array: NDArray[Any], rate: int, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        check_samples(array, rate)
