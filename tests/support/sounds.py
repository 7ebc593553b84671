"""Sound files for tests, encoded with PyAV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """An audio track of a file.

    Attributes:
        samples: float32[n, channels].
        move: from the time of a packet to the seconds that are added to it; None drops the packet.
        metadata: such as its language.
    """

    samples: Samples
    rate: int
    codec: str
    sample_format: str = "s16"
    move: Callable[[float], float | None] = lambda seconds: 0.0
    metadata: tuple[tuple[str, str], ...] = ()


def tone(seconds: float, rate: int, frequencies: tuple[float, ...] = (440.0,)) -> Samples:
    """Return float32[n, channels]: one sine per channel, amplitude 0.5."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * f * time) for f in frequencies], axis=1).astype(np.float32)


def beeps(spans: Sequence[tuple[float, float]], seconds: float, rate: int) -> Samples:
    """Return float32[n, 1]: a tone in each span of seconds, and silence between them."""
    samples = tone(seconds, rate)
    heard = np.zeros(len(samples), bool)
    for start, end in spans:
        heard[round(start * rate) : round(end * rate)] = True
    samples[~heard] = 0
    return samples


def loud_spans(samples: Samples) -> list[tuple[float, float]]:
    """Return the spans, in seconds of 16 kHz audio, that are louder than -20 dB; pauses below 50 ms do not count."""
    loud = np.flatnonzero(np.abs(samples) > 0.1) / 16000
    if not len(loud):
        return []
    borders = np.flatnonzero(np.diff(loud) > 0.05)
    starts = loud[[0, *(borders + 1)]]
    ends = loud[[*borders, -1]]
    return [(round(float(start), 3), round(float(end), 3)) for start, end in zip(starts, ends, strict=True)]


def encode(path: Path, samples: Samples, rate: int, codec: str, sample_format: str = "s16") -> Path:
    """Write float32[n, channels] with one of FFmpeg's encoders; the name of the file decides the container."""
    return encode_tracks(path, [Sound(samples, rate, codec, sample_format)])


def encode_tracks(
    path: Path, sounds: Sequence[Sound], *, video_seconds: float = 0.0, options: dict[str, str] | None = None
) -> Path:
    """Write several audio tracks, and a black video track of a length that is not 0, starting at 0 s."""
    with av.open(str(path), "w", options=options or {}) as container:
        packets: list[Any] = []
        if video_seconds:
            packets += _black(container, video_seconds)
        streams = [_stream(container, sound) for sound in sounds]
        for stream, sound in zip(streams, sounds, strict=True):
            packets += _moved(_encoded(stream, sound), sound.move)
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            container.mux(packet)
    return path


def _stream(container: Any, sound: Sound) -> "av.AudioStream":
    stream = container.add_stream(sound.codec, rate=sound.rate)
    assert isinstance(stream, av.AudioStream)
    stream.layout = _layout(sound)
    stream.format = sound.sample_format
    if sound.codec.startswith("wma"):  # it has no default
        stream.bit_rate = 64000
    stream.metadata.update(sound.metadata)
    return stream


def _layout(sound: Sound) -> str:
    return {1: "mono", 2: "stereo", 6: "5.1"}[sound.samples.shape[1]]


def _encoded(stream: "av.AudioStream", sound: Sound) -> list[Any]:
    samples, sample_format = sound.samples, sound.sample_format
    values: NDArray[Any] = samples
    if sample_format.startswith("s16"):
        values = np.round(samples * 32767).astype(np.int16)
    elif sample_format.startswith("s32"):
        values = np.round(samples.astype(np.float64) * (2**31 - 1)).astype(np.int32)
    data = values.T if sample_format.endswith("p") else values.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=sample_format, layout=_layout(sound))
    frame.sample_rate = sound.rate
    frame.pts = 0
    frame.time_base = Fraction(1, sound.rate)
    return [*stream.encode(frame), *stream.encode(None)]


def _moved(packets: list[Any], move: Callable[[float], float | None]) -> list[Any]:
    kept = []
    for packet in packets:
        seconds = move(float(packet.pts * packet.time_base))
        if seconds is not None:
            packet.pts += round(seconds / packet.time_base)
            packet.dts = packet.pts
            kept.append(packet)
    return kept


def _black(container: Any, seconds: float) -> list[Any]:
    stream = container.add_stream("mpeg4", rate=5)
    assert isinstance(stream, av.VideoStream)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    packets = []
    for _ in range(round(seconds * 5)):
        packets += stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24"))
    return [*packets, *stream.encode(None)]


def video_without_sound(path: Path) -> Path:
    """Write one second of black video."""
    return encode_tracks(path, [], video_seconds=1)
