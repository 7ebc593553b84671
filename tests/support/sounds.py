"""Sound files for tests, encoded with PyAV."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def tone(seconds: float, rate: int, frequencies: tuple[float, ...] = (440.0,)) -> NDArray[np.float32]:
    """Return float32[n, channels]: one sine per channel, amplitude 0.5."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * f * time) for f in frequencies], axis=1).astype(np.float32)


def encode(path: Path, samples: NDArray[np.float32], rate: int, codec: str, sample_format: str = "s16") -> Path:
    """Write float32[n, channels] with one of FFmpeg's encoders; the name of the file decides the container."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        stream.format = sample_format
        is_integer = sample_format.startswith("s16")
        values: NDArray[Any] = np.round(samples * 32767).astype(np.int16) if is_integer else samples
        data = values.T if sample_format.endswith("p") else values.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=sample_format, layout=layout)
        frame.sample_rate = rate
        frame.pts = 0
        frame.time_base = Fraction(1, rate)
        for packet in stream.encode(frame) + stream.encode(None):
            container.mux(packet)
    return path


def video_without_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path
