"""Turn arrays of samples into mono float32 at 16 kHz, and refuse arrays that are not audio."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.audio.resample import SAMPLE_RATE, Resampler, Samples
from legato.errors import AudioError


def check_samples(
    array: NDArray[Any], sample_rate: int = SAMPLE_RATE, *, allow_empty: bool = False, name: str = "audio"
) -> Samples:
    """Convert an array of samples to what the models take.

    Args:
        array: shape [n] or [n, channels]; floats in [-1, 1], or integers of full scale (int16 is divided by 32768).
        sample_rate: of `array`, in Hz. Audio with a rate other than 16000 is resampled.
        allow_empty: return an empty array instead of refusing it.
        name: what error messages call the array.

    Returns:
        float32[m], mono, 16 kHz; `array` itself when it has that form already.

    Raises:
        AudioError: wrong rank or type, no samples, NaN or infinity (the first is named), or an impossible rate.
    """
    array = np.asarray(array)
    if array.ndim not in {1, 2}:
        raise AudioError(f"{name}: shape {list(array.shape)}; samples have the shape [n] or [n, channels].")
    if array.dtype == np.bool_ or array.dtype.kind not in "iuf":
        raise AudioError(f"{name}: type {array.dtype}; samples are float32, float64 or integers of full scale.")
    if array.ndim == 2 and array.shape[1] > 32 and array.shape[0] < array.shape[1]:
        raise AudioError(f"{name}: shape {list(array.shape)} looks like [channels, n]; transpose it to [n, channels].")
    if array.size == 0:
        if allow_empty:
            return np.zeros(0, np.float32)
        raise AudioError(f"{name} is empty: 0 samples. Give at least a few tenths of a second.")
    samples = scaled(array)
    if samples.ndim == 2:
        samples = samples.mean(axis=1, dtype=np.float32)
    # Before resampling, so that the position in the message is one of the caller's array.
    refuse_not_finite(samples, name, rate=max(sample_rate, 1))
    return samples if sample_rate == SAMPLE_RATE else Resampler(sample_rate, name).finish(samples)


def one_channel(array: NDArray[Any], channel: int) -> NDArray[Any]:
    """Return one channel of samples with the shape [n] or [n, channels].

    Raises:
        AudioError: there is no such channel.
    """
    check_channel(channel, array.shape[1] if array.ndim == 2 else 1, "audio")
    return array[:, channel] if array.ndim == 2 else array


def check_channel(channel: int, channels: int, name: str) -> None:
    """Refuse a channel number that audio with this many channels does not have.

    Raises:
        AudioError: names the channels that there are.
    """
    if not 0 <= channel < channels:
        numbers = ", ".join(str(each) for each in range(min(channels, 8)))
        have = "one channel" if channels == 1 else f"{channels} channels"
        raise AudioError(f"{name}: no channel {channel}: it has {have}. Give {numbers} or mix.")


def scaled(array: NDArray[Any]) -> Samples:
    """Convert integers of full scale to float32 in [-1, 1]; keep the values of floats."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a float64 that overflows becomes infinite and is refused later
            return array.astype(np.float32, copy=False)
    half = float(2 ** (8 * array.dtype.itemsize - 1))
    offset = half if array.dtype.kind == "u" else 0.0
    if array.dtype.itemsize <= 2:
        return (array.astype(np.float32) - np.float32(offset)) / np.float32(half)
    return ((array.astype(np.float64) - offset) / half).astype(np.float32)


def refuse_not_finite(samples: Samples, name: str, *, offset: int = 0, rate: int = SAMPLE_RATE) -> None:
    """Refuse samples that are NaN or infinite.

    Args:
        samples: float32[n].
        name: what the message calls the audio.
        offset: samples of the audio before these.
        rate: samples per second.

    Raises:
        AudioError: names the first such sample.
    """
    if np.isfinite(samples).all():
        return
    first = int(np.flatnonzero(~np.isfinite(samples))[0])
    kind = "NaN (not a number)" if np.isnan(samples[first]) else "infinite"
    position = offset + first
    raise AudioError(
        f"{name}: sample {position} ({position / rate:.3f} s) is {kind}. Repair or export the audio again."
    )


#: Seconds of a block: what waits in a stream's state is copied with every step, so it must not be hours.
_BLOCK_SECONDS = 10


def blocks_of(samples: Samples) -> Iterator[Samples]:
    """Divide float32[n] at 16 kHz into blocks of at most 10 s."""
    size = SAMPLE_RATE * _BLOCK_SECONDS
    return (samples[start : start + size] for start in range(0, len(samples), size))
