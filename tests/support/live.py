"""Speech for live streams: clips as sockets carry them, and what a stream without a server recognizes in them."""

import math
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import soxr
from numpy.typing import NDArray

import legato
from legato.audio.pcm import AudioDecoder, AudioFormat, Encoding
from legato.audio.source import Samples, read_audio
from legato.lab.scoring import count_characters
from legato.recognizer import Recognizer
from legato.types import Event, Segment
from tests.support.paths import SAMPLES
from tests.support.server import Server
from tests.support.sounds import encode

LANGUAGES = ("en", "de", "fr", "es", "it", "hi")
NEVER = legato.Endpointing(after_speech=math.inf, without_speech=math.inf, longest=math.inf)


@cache
def clip(language: str) -> Samples:
    """2 to 4 s of speech, float32 at 16 kHz."""
    return read_audio(SAMPLES / f"{language}.flac")


def alike(text: str, expected: str) -> bool:
    """Whether a text is what is expected of nearly the same sound: a quarter of the characters may differ."""
    assert expected
    counts = count_characters(expected, text)
    return counts.errors <= counts.reference / 4


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * 16000), np.float32)


def pcm(samples: Samples, rate: int = 16000) -> bytes:
    """16-bit PCM at another rate."""
    resampled: NDArray[np.float32] = soxr.resample(samples, 16000, rate) if rate != 16000 else samples
    return (np.clip(resampled, -1, 1) * 32767).astype("<i2").tobytes()


def g711(samples: Samples, law: Encoding, folder: Path) -> bytes:
    """G.711 at 8 kHz, written by FFmpeg."""
    suffix, codec = {"mulaw": ("ul", "pcm_mulaw"), "alaw": ("al", "pcm_alaw")}[law]
    resampled = soxr.resample(samples, 16000, 8000)[:, None]
    return encode(folder / f"clip.{suffix}", resampled, 8000, codec).read_bytes()


def pieces(data: bytes, size: int = 6400) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


class Reference:
    """A stream without a server that receives what a client sends."""

    def __init__(
        self, recognizer: Recognizer, audio_format: AudioFormat, rules: legato.Endpointing, language: str = "auto"
    ) -> None:
        self.stream = recognizer.stream(language=language, endpoint=rules)
        self.events: list[Event] = []
        self._decoder = AudioDecoder(audio_format)

    def accept(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self.events += self.stream.accept(self._decoder.decode(part))

    def set_audio_format(self, audio_format: AudioFormat) -> None:
        self.events += self.stream.accept(self._decoder.flush())
        self._decoder = AudioDecoder(audio_format)

    def commit(self) -> None:
        self.events += self.stream.accept(self._decoder.flush())
        self.events += self.stream.commit()

    def finish(self) -> None:
        self.events += self.stream.accept(self._decoder.flush())
        self.events += self.stream.finish()

    @property
    def segments(self) -> list[Segment]:
        return [event for event in self.events if isinstance(event, Segment)]

    @property
    def texts(self) -> list[str]:
        """Those of the segments that have some."""
        return [segment.text for segment in self.segments if segment.text]


def recognized(
    recognizer: Recognizer, parts: Sequence[bytes], audio_format: AudioFormat, language: str = "auto"
) -> str:
    """The text that a stream of its own recognizes, which is not empty."""
    reference = Reference(recognizer, audio_format, NEVER, language)
    reference.accept(parts)
    reference.finish()
    assert reference.texts
    return " ".join(reference.texts)


def metric(server: Server, name: str) -> float:
    """A figure of the server's, such as `legato_streams{interface="realtime"}`; 0 where it is not told."""
    lines = httpx.get(server.url + "/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0.0)


def wait_for(server: Server, name: str, value: float) -> None:
    """Wait until a figure has reached a value, or has sunk to it."""
    deadline = time.monotonic() + 300
    rises = metric(server, name) < value
    while (found := metric(server, name)) != value and not (rises and found > value):
        assert time.monotonic() < deadline, f"{name} is {found}"
        time.sleep(0.05)
