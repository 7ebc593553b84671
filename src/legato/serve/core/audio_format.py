"""Raw audio as sockets carry it, decoded to mono float32 at 16 kHz. The decoder continues from message to message."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from legato.audio.source import SAMPLE_RATE, Samples

Encoding = Literal["pcm16", "float32", "mulaw", "alaw", "pcm8", "pcm24", "pcm32"]

_TYPES: dict[Encoding, str] = {
    "pcm16": "<i2", "float32": "<f4", "mulaw": "u1", "alaw": "u1", "pcm8": "i1", "pcm24": "V3", "pcm32": "<i4",
}  # fmt: skip


def _mulaw_table() -> Samples:
    """Return the values of the 256 codes of G.711 mu-law: float32[256] within +-1."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    size = ((2 * mantissa + 33) << exponent) - 33
    values: Samples = (np.where(code & 128, -size, size) * 4 / 32768).astype(np.float32)
    return values


def _alaw_table() -> Samples:
    """Return the values of the 256 codes of G.711 A-law: float32[256] within +-1."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    size = np.where(exponent, (2 * mantissa + 33) << np.maximum(exponent, 1) - 1, 2 * mantissa + 1)
    values: Samples = (np.where(code & 128, size, -size) * 8 / 32768).astype(np.float32)
    return values


_TABLES: dict[Encoding, Samples] = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format of a client's raw audio: little-endian, with interleaved channels.

    Attributes:
        encoding: signed PCM of 8 to 32 bits, float32 within +-1, or G.711.
        rate: sample rate in Hz, 4000 to 192000.
        channels: number of channels, 1 to 16.
        channel: the only channel to use, counted from 0; None averages all channels.

    Raises:
        ValueError: an unknown encoding, or a number out of range.
    """

    encoding: Encoding = "pcm16"
    rate: int = SAMPLE_RATE
    channels: int = 1
    channel: int | None = None

    def __post_init__(self) -> None:
        if self.encoding not in _TYPES:
            raise ValueError(f"The encoding {self.encoding!r} is not understood. Use one of {', '.join(_TYPES)}.")
        if not 4000 <= self.rate <= 192_000:
            raise ValueError(f"A sample rate of {self.rate} Hz is not understood. Use 4000 to 192000 Hz.")
        if not 1 <= self.channels <= 16:
            raise ValueError(f"{self.channels} channels are not understood. Use 1 to 16.")
        if self.channel is not None and not 0 <= self.channel < self.channels:
            raise ValueError(f"No channel {self.channel}: there are {self.channels}, counted from 0.")


class AudioDecoder:
    """Decodes the raw audio of one client.

    Args:
        audio_format: the format of the audio.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._rest = b""
        self._resampler = self._new_resampler()

    def decode(self, data: bytes) -> Samples:
        """Return the samples that these bytes complete: float32[n] at 16 kHz, n may be 0.

        The data may be cut anywhere, even within a sample.
        """
        data = self._rest + data if self._rest else data
        size = np.dtype(_TYPES[self._format.encoding]).itemsize * self._format.channels
        whole = len(data) // size * size
        self._rest = data[whole:]
        samples = self._mono(np.frombuffer(data[:whole], _TYPES[self._format.encoding]))
        if self._resampler is None or not len(samples):
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples)
        return resampled

    def flush(self) -> Samples:
        """Return the samples that the resampler still holds, as if the audio ended; an incomplete sample is dropped."""
        self._rest = b""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        rest: Samples = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        self._resampler = self._new_resampler()
        return rest

    def _new_resampler(self) -> "soxr.ResampleStream | None":
        if self._format.rate == SAMPLE_RATE:
            return None
        return soxr.ResampleStream(self._format.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def _mono(self, values: NDArray[np.generic]) -> Samples:
        encoding, channels, channel = self._format.encoding, self._format.channels, self._format.channel
        samples: Samples
        if encoding in _TABLES:
            samples = _TABLES[encoding][values]
        elif encoding == "pcm24":
            upper = np.zeros((len(values), 4), np.uint8)  # as 32 bits, the lowest eight 0
            upper[:, 1:] = values.view(np.uint8).reshape(-1, 3)
            samples = upper.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
        elif encoding in {"pcm8", "pcm16", "pcm32"}:
            samples = values.astype(np.float32) / np.float32(2 ** (8 * values.itemsize - 1))
        else:
            samples = values.astype(np.float32, copy=False)
        if channels == 1:
            return samples
        table = samples.reshape(-1, channels)
        mono: Samples = table.mean(axis=1, dtype=np.float32) if channel is None else table[:, channel].copy()
        return mono
