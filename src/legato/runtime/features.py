"""Log-mel front end, incremental: samples come in pieces of any size, frames are returned as soon as they are complete.

It computes what NeMo's `AudioToMelSpectrogramPreprocessor` computes with `normalize: NA` and no dither: pre-emphasis,
a 400-sample symmetric Hann window centered in each 512-point FFT, zero padding at both ends of the audio, power, 128
Slaney mel bands, natural logarithm with a floor of 2**-24.

The shape of every operation is independent of how many frames are requested at once, so the division of the audio into
pieces cannot change a bit of the result.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from legato.types import Frames, MelConfig, Samples

LOG_FLOOR = 2.0**-24


@dataclass(frozen=True)
class MelState:
    """The state between two calls of `LogMel.accept`.

    Attributes:
        pending: pre-emphasized samples (float64) that later frames still need, starting at sample `origin`, which is
            negative while the zero padding before the audio is still in use.
        origin: index of `pending[0]`.
        previous: the last raw sample, for the pre-emphasis of the next one.
        samples: number of samples accepted so far.
        frames: number of frames returned so far.
    """

    pending: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    origin: int = 0
    previous: float | None = None
    samples: int = 0
    frames: int = 0


def _round_to(values: NDArray[np.float64], dtype: str) -> NDArray[np.float64]:
    """Round to `dtype` and return float64."""
    single = values.astype(np.float32)
    if dtype == "bfloat16":  # numpy has no bfloat16: round the upper half of a float32 to nearest, ties to even
        bits = single.view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        single = bits.view(np.float32)
    return single.astype(np.float64)


def _hertz_to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert to Slaney's mel scale: linear up to 1 kHz, 27 steps per factor of 6.4 above."""
    linear = hertz * 3.0 / 200.0
    return np.where(hertz < 1000.0, linear, 15.0 + np.log(np.maximum(hertz, 1000.0) / 1000.0) * 27.0 / np.log(6.4))


def _mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))


def mel_filters(config: MelConfig) -> NDArray[np.float64]:
    """Return the Slaney filter bank, area-normalized triangles up to half the rate: float64[fft // 2 + 1, mel_bins]."""
    top = config.sample_rate / 2
    bins = np.linspace(0.0, top, config.fft_length // 2 + 1)
    edges = _mel_to_hertz(np.linspace(0.0, float(_hertz_to_mel(np.array(top))), config.mel_bins + 2))
    lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - lower) / (center - lower)
    falling = (upper - bins[:, None]) / (upper - center)
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (upper - lower))
    return _round_to(triangles, config.constants_dtype)


def hann_window(config: MelConfig) -> NDArray[np.float64]:
    """Return the symmetric Hann window (`periodic=False`): float64[window_length]."""
    return _round_to(np.hanning(config.window_length), config.constants_dtype)


class LogMel:
    """The front end. It holds constants only, so one object serves any number of streams."""

    def __init__(self, config: MelConfig | None = None) -> None:
        self.config = config or MelConfig()

    @cached_property
    def _window(self) -> NDArray[np.float64]:
        return hann_window(self.config)

    @cached_property
    def _bands(self) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]:
        """The filter bank without its zeros: per entry its FFT bin and its weight, and where each band starts."""
        filters = mel_filters(self.config)
        # A band that is narrower than a bin has no entry of its own: one of weight 0 keeps its place.
        bins = [used if len(used := np.flatnonzero(band)) else np.zeros(1, np.intp) for band in filters.T]
        weights = [band[used] for band, used in zip(filters.T, bins, strict=True)]
        starts = np.cumsum([0, *map(len, bins[:-1])])
        return np.concatenate(bins), np.concatenate(weights), starts

    def accept(self, samples: Samples, state: MelState, *, last: bool = False) -> tuple[Frames, MelState]:
        """Accept the next samples and return the frames that they complete.

        Args:
            samples: float32[n], mono, at the configured rate; n may be 0.
            state: the state that the previous call returned; `MelState()` at the start.
            last: the stream ends here; the last frames are completed with zeros. A whole stream has
                `samples // hop_length` frames.

        Returns:
            float32[frames, mel_bins] in natural-log units, and the state for the next call.
        """
        hop, half = self.config.hop_length, self.config.window_length // 2
        pending, origin = state.pending, state.origin
        if state.previous is None:
            pending, origin = np.zeros(half), -half
        total = state.samples + len(samples)
        emphasized, previous = self._emphasize(samples, state.previous)
        pending = np.concatenate([pending, emphasized])
        count = total // hop if last else max(0, (total - half) // hop + 1)
        if last:
            pending = np.concatenate([pending, np.zeros(half)])
        new = max(0, count - state.frames)
        if new:
            first = state.frames * hop - half - origin
            rows = np.lib.stride_tricks.sliding_window_view(pending, self.config.window_length)[first::hop][:new]
            frames = self._log_mel(rows)
        else:
            frames = np.zeros((0, self.config.mel_bins), np.float32)
        done = state.frames + new
        keep = max(0, done * hop - half - origin)
        return frames, MelState(pending[keep:].copy(), origin + keep, previous, total, done)

    def _emphasize(self, samples: Samples, previous: float | None) -> tuple[NDArray[np.float64], float | None]:
        if not len(samples):
            return np.zeros(0), previous
        raw = samples.astype(np.float64)
        shifted = np.concatenate([[0.0 if previous is None else previous], raw[:-1]])
        return raw - self.config.pre_emphasis * shifted, float(raw[-1])

    def _log_mel(self, rows: NDArray[np.float64]) -> Frames:
        spectrum = np.fft.rfft(rows * self._window, self.config.fft_length, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        # One sum per band and frame: a matrix product would round differently for another frame count.
        bins, weights, starts = self._bands
        mel = np.add.reduceat(np.take(power, bins, axis=1) * weights, starts, axis=1)
        frames: Frames = np.log(mel + LOG_FLOOR).astype(np.float32)
        return frames
