"""Raw audio as sockets carry it, to what the model takes: mono float32 at 16 kHz, continued from message to message."""

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
    """What the 256 codes of G.711 mu-law mean: float32[256] within +-1."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    size = ((2 * mantissa + 33) << exponent) - 33
    values: Samples = (np.where(code & 128, -size, size) * 4 / 32768).astype(np.float32)
    return values


def _alaw_table() -> Samples:
    """The same for A-law."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    size = np.where(exponent, (2 * mantissa + 33) << np.maximum(exponent, 1) - 1, 2 * mantissa + 1)
    values: Samples = (np.where(code & 128, size, -size) * 8 / 32768).astype(np.float32)
    return values


_TABLES: dict[Encoding, Samples] = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}


@dataclass(frozen=True, slots=True)
class Wire:
    """How a client sends its audio: little-endian, channels interleaved.

    Attributes:
        encoding: signed PCM of 8 to 32 bits, float32 within +-1, or G.711.
        rate: samples a second, 4000 to 192000.
        channels: how many it sends.
        channel: the only one to hear, counted from 0; None averages them.

    Raises:
        ValueError: another encoding, or a number out of range.
    """

    encoding: Encoding = "pcm16"
    rate: int = SAMPLE_RATE
    channels: int = 1
    channel: int | None = None

    def __post_init__(self) -> None:
        if self.encoding not in _TYPES:
            raise ValueError(f"Unknown encoding {self.encoding!r}: one of {', '.join(_TYPES)} is understood.")
        if not 4000 <= self.rate <= 192_000:
            raise ValueError(f"A sample rate of {self.rate} Hz: 4000 to 192000 is understood.")
        if not 1 <= self.channels <= 16:
            raise ValueError(f"{self.channels} channels: 1 to 16 are understood.")
        if self.channel is not None and not 0 <= self.channel < self.channels:
            raise ValueError(f"No channel {self.channel}: there are {self.channels}, counted from 0.")


class WireDecoder:
    """Decodes the messages of one client."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._rest = b""
        self._resampler = self._new_resampler()

    def decode(self, data: bytes) -> Samples:
        """Give what is complete with these bytes: float32[n] at 16 kHz; n may be 0. Samples may be cut anywhere."""
        data = self._rest + data if self._rest else data
        size = np.dtype(_TYPES[self.wire.encoding]).itemsize * self.wire.channels
        whole = len(data) // size * size
        self._rest = data[whole:]
        samples = self._mono(np.frombuffer(data[:whole], _TYPES[self.wire.encoding]))
        if self._resampler is None or not len(samples):
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples)
        return resampled

    def flush(self) -> Samples:
        """Give what the resampler still holds back, as if nothing followed; an incomplete sample is left out."""
        self._rest = b""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        rest: Samples = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        self._resampler = self._new_resampler()
        return rest

    def _new_resampler(self) -> "soxr.ResampleStream | None":
        if self.wire.rate == SAMPLE_RATE:
            return None
        return soxr.ResampleStream(self.wire.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def _mono(self, values: NDArray[np.generic]) -> Samples:
        wire = self.wire
        samples: Samples
        if wire.encoding in _TABLES:
            samples = _TABLES[wire.encoding][values]
        elif wire.encoding == "pcm24":
            upper = np.zeros((len(values), 4), np.uint8)  # as 32 bits, the lowest eight 0
            upper[:, 1:] = values.view(np.uint8).reshape(-1, 3)
            samples = upper.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
        elif wire.encoding in {"pcm8", "pcm16", "pcm32"}:
            samples = values.astype(np.float32) / np.float32(2 ** (8 * values.itemsize - 1))
        else:
            samples = values.astype(np.float32, copy=False)
        if wire.channels == 1:
            return samples
        table = samples.reshape(-1, wire.channels)
        mono: Samples = table.mean(axis=1, dtype=np.float32) if wire.channel is None else table[:, wire.channel].copy()
        return mono
