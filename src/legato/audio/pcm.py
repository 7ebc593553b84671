"""Raw audio without a container: its format, and a decoder that accepts it in pieces of any size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from legato.audio.mix import Mixer
from legato.audio.resample import SAMPLE_RATE, Resampler
from legato.types import Samples

Encoding = Literal["pcm16", "float32", "mulaw", "alaw", "pcm8", "pcm24", "pcm32", "uint8", "pcm16be"]

_TYPES: dict[Encoding, str] = {
    "pcm16": "<i2", "float32": "<f4", "mulaw": "u1", "alaw": "u1", "pcm8": "i1", "pcm24": "V3", "pcm32": "<i4",
    "uint8": "u1", "pcm16be": ">i2",
}  # fmt: skip


def _mulaw_table() -> Samples:
    """Return the values of the 256 codes of G.711 mu-law: float32[256] in [-1, 1]."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    size = ((2 * mantissa + 33) << exponent) - 33
    values: Samples = (np.where(code & 128, -size, size) * 4 / 32768).astype(np.float32)
    return values


def _alaw_table() -> Samples:
    """Return the values of the 256 codes of G.711 A-law: float32[256] in [-1, 1]."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    size = np.where(exponent, (2 * mantissa + 33) << np.maximum(exponent, 1) - 1, 2 * mantissa + 1)
    values: Samples = (np.where(code & 128, size, -size) * 8 / 32768).astype(np.float32)
    return values


_TABLES: dict[Encoding, Samples] = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format of raw audio. Channels are interleaved, and bytes little-endian unless the encoding ends in `be`.

    Attributes:
        encoding: signed PCM of 8 to 32 bits, unsigned PCM of 8 bits, float32 in [-1, 1], or G.711.
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

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of audio."""
        return np.dtype(_TYPES[self.encoding]).itemsize * self.channels * self.rate


class AudioDecoder:
    """Decode raw audio to mono float32 at 16 kHz. The state continues from one piece to the next."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._rest = b""
        self._mixer = Mixer(audio_format.rate)
        self._resampler = Resampler(audio_format.rate)

    def decode(self, data: bytes) -> Samples:
        """Return the samples that these bytes complete: float32[n] at 16 kHz, n may be 0.

        The data may be cut anywhere, even within a sample.
        """
        data = self._rest + data if self._rest else data
        size = np.dtype(_TYPES[self._format.encoding]).itemsize * self._format.channels
        whole = len(data) // size * size
        self._rest = data[whole:]
        samples = self._mono(np.frombuffer(data[:whole], _TYPES[self._format.encoding]))
        return self._resampler.process(samples) if len(samples) else samples

    def flush(self) -> Samples:
        """Return the samples that the resampler still holds, as if the audio ended; an incomplete sample is dropped."""
        self._rest = b""
        rest = self._resampler.finish()
        self._resampler = Resampler(self._format.rate)
        return rest

    @property
    def warning(self) -> str | None:
        """A sentence for the user about what was decided for them, see `Mixer`."""
        return self._mixer.warning

    def _mono(self, values: NDArray[np.generic]) -> Samples:
        encoding, channels, channel = self._format.encoding, self._format.channels, self._format.channel
        samples: Samples
        if encoding in _TABLES:
            samples = _TABLES[encoding][values]
        elif encoding == "pcm24":
            upper = np.zeros((len(values), 4), np.uint8)  # as 32 bits, the lowest eight 0
            upper[:, 1:] = values.view(np.uint8).reshape(-1, 3)
            samples = upper.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
        elif encoding == "float32":
            samples = values.astype(np.float32, copy=False)
        elif encoding == "uint8":
            samples = (values.astype(np.float32) - np.float32(128)) / np.float32(128)
        else:
            samples = values.astype(np.float32) / np.float32(2 ** (8 * values.itemsize - 1))
        if channels == 1 or not len(samples):
            return samples
        table = samples.reshape(-1, channels)
        return self._mixer.mono(table.T) if channel is None else np.ascontiguousarray(table[:, channel])


def pcm_blocks(file: BinaryIO, block_ms: int = 100, audio_format: AudioFormat | None = None) -> Iterator[Samples]:
    """Read raw audio as it arrives.

    Args:
        file: a binary stream such as `sys.stdin.buffer`. Each block is returned as soon as it arrives: live input is
            not delayed until a block is full.
        block_ms: the length of the largest block, in milliseconds.
        audio_format: the format; by default signed 16-bit little-endian, mono, 16 kHz.

    Yields:
        float32[n], n > 0, mono, 16 kHz; without resampling n <= 16 * block_ms. An incomplete last sample is dropped.
    """
    audio_format = audio_format or AudioFormat()
    decoder = AudioDecoder(audio_format)
    size = max(16, audio_format.bytes_per_second * block_ms // 1000)
    read = getattr(file, "read1", file.read)
    while data := read(size):
        if len(samples := decoder.decode(data)):
            yield samples
    if len(samples := decoder.flush()):
        yield samples
