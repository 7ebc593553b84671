"""Turn arrays of samples into mono float32 at 16 kHz, and refuse arrays that are not audio."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from legato.audio.mix import Mixer
from legato.audio.resample import SAMPLE_RATE, Resampler, whole_number
from legato.audio.scale import Scaler, is_plain
from legato.errors import AudioError
from legato.types import Samples

logger = logging.getLogger("legato")

_BLOCK_SECONDS = 10
_MIX_SAMPLES = 4096


def check_samples(array: ArrayLike, sample_rate: float = SAMPLE_RATE, *, allow_empty: bool = False) -> Samples:
    """Convert an array of samples to what the models take.

    Args:
        array: shape [n] or [n, channels]; floats in [-1, 1], or integers of full scale (int16 is divided by 32768). It
            may be anything that NumPy converts to an array, such as a list or a tensor. Values of 16 or 24 bits in
            wider types are recognized, with a warning in the log.
        sample_rate: of `array`, in Hz. Audio with a rate other than 16000 is resampled.
        allow_empty: return an empty array instead of refusing it, for the pieces of a stream. A piece alone does not
            show the width of its values: what does not fit its type is refused. `ArrayReader` reads such streams.

    Returns:
        float32[m], mono, 16 kHz; `array` itself when it has that form already.

    Raises:
        AudioError: wrong rank or type, no samples, NaN or infinity (the first is named), or an impossible rate.
    """
    if isinstance(array, np.ndarray) and sample_rate == SAMPLE_RATE and is_plain(array):
        return array
    samples = as_array(array)
    reader = ArrayReader(sample_rate, guess=not allow_empty)
    if samples.size == 0 and not allow_empty:
        raise AudioError("audio is empty: 0 samples. Give at least a few tenths of a second.")
    return reader.finish(samples)


class ArrayReader:
    """Convert the arrays of one recording, one after the other, to mono float32 at 16 kHz.

    Args:
        sample_rate: of the arrays, in Hz.
        channel: the only channel to use, counted from 0; None averages all channels.
        name: what messages call the audio.
        guess: recognize values that are narrower than their type; otherwise refuse them where they show.

    Raises:
        AudioError: an impossible rate.
    """

    def __init__(
        self,
        sample_rate: float = SAMPLE_RATE,
        *,
        channel: int | None = None,
        name: str = "audio",
        guess: bool = True,
    ) -> None:
        self._rate = whole_number(sample_rate, f"{name}: the sample rate")
        self._channel = channel
        self._name = name
        self._resampler = Resampler(self._rate, name)
        self._mixer = Mixer(self._rate)
        self._scaler = Scaler(name, guess=guess)
        self._read = 0
        self._warned: set[str] = set()

    def read(self, array: ArrayLike) -> Samples:
        """Return the audio that is complete after this array: float32[m]; it may be empty.

        Raises:
            AudioError: wrong rank or type, no such channel, or NaN or infinity.
        """
        return self._resampler.process(self._mono(array))

    def finish(self, array: ArrayLike | None = None) -> Samples:
        """Return the rest of the audio. Errors as for `read`; the reader cannot be used afterwards.

        Args:
            array: the last array, if there is one more.
        """
        return self._resampler.finish(None if array is None else self._mono(array))

    @property
    def warnings(self) -> list[str]:
        """What was decided for the caller so far."""
        return [text for text in (self._scaler.warning, self._mixer.warning) if text is not None]

    def _mono(self, given: ArrayLike) -> Samples:
        array = as_array(given, self._name)
        if array.size == 0:
            return np.zeros(0, np.float32)
        if self._channel is not None:
            array = one_channel(array, self._channel)
        samples = self._scaler.scale(array)
        mono = samples if samples.ndim == 1 else self._mixed(samples)
        # Before resampling, so that the position in the message is one of the caller's array.
        refuse_not_finite(mono, self._name, offset=self._read, rate=self._rate)
        self._read += len(mono)
        for warning in self.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                logger.warning("%s: %s", self._name, warning)
        return mono

    def _mixed(self, samples: NDArray[np.float32]) -> Samples:
        parts = range(0, len(samples), _MIX_SAMPLES)
        return np.concatenate([self._mixer.mono(samples[start : start + _MIX_SAMPLES].T) for start in parts])


def as_array(array: ArrayLike, name: str = "audio") -> NDArray[Any]:
    """Return an array of shape [n] or [n, channels] of floats or integers.

    Raises:
        AudioError: it cannot be converted, or has another shape or type.
    """
    if isinstance(array, bytes | bytearray):
        raise AudioError(
            f"{name}: bytes, not samples. Give the samples of 16-bit PCM as np.frombuffer(data, np.int16)."
        )
    try:
        converted = np.asarray(array)
    except Exception as error:  # tensors, for instance, raise errors of many kinds
        reason = str(error).strip().rstrip(".").partition("\n")[0]
        raise AudioError(f"{name}: cannot be converted to an array of samples ({reason}).") from None
    if converted.ndim not in {1, 2}:
        raise AudioError(f"{name}: shape {list(converted.shape)}; samples have the shape [n] or [n, channels].")
    if converted.size and (converted.dtype == np.bool_ or converted.dtype.kind not in "iuf"):
        raise AudioError(f"{name}: type {converted.dtype}; samples are float32, float64 or integers of full scale.")
    if converted.ndim == 2 and converted.shape[1] > 32 and converted.shape[0] < converted.shape[1]:
        raise AudioError(
            f"{name}: shape {list(converted.shape)} looks like [channels, n]; transpose it to [n, channels]."
        )
    return converted


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


def blocks_of(samples: Samples) -> Iterator[Samples]:
    """Divide float32[n] at 16 kHz into blocks of at most 10 s."""
    size = SAMPLE_RATE * _BLOCK_SECONDS
    return (samples[start : start + size] for start in range(0, len(samples), size))
