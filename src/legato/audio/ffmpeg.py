"""Open and decode containers with FFmpeg; the only module that uses PyAV. PyAV loads when audio is opened."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from legato.audio.arrays import check_channel, scaled
from legato.audio.resample import Samples, as_float32
from legato.errors import AudioError

if TYPE_CHECKING:
    import av

_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,crypto,rtmp,rtmps,rtp,srt"
"""Protocols that FFmpeg may use for an address. `file` is never among them: a remote playlist must not open files."""

_URL_TIMEOUT = (15.0, 30.0)
"""Seconds to wait for an address to answer, and for more of its data."""

_LIVE_ANALYSIS_US = 200_000
"""Microseconds of audio that FFmpeg may analyze before it returns any, where the format does not state its layout."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Decoded audio: samples float32[n], mono, with their rate in Hz and their start in seconds of the track."""

    samples: Samples
    rate: int
    start: float


class Decoder:
    """Decode one audio track of an open container.

    Attributes:
        formats: FFmpeg's names of the container.
        channels: number of channels of the track.
        duration: seconds that the container states; None where it states none.
        byte_rate: bytes per second of the track; 0 where it is not known.
        warnings: what was wrong while frames were decoded.
    """

    def __init__(self, container: "av.container.InputContainer", name: str, channel: int | None) -> None:
        self._container = container
        self._name = name
        self._channel = channel
        self._stream = self._choose_stream()
        codec = self._stream.codec_context
        self.formats = frozenset(container.format.name.split(","))
        self.channels = max(1, codec.layout.nb_channels)
        self.byte_rate = codec.bit_rate / 8 if codec.bit_rate else 0.0
        self.duration = self._stated_seconds()
        self.warnings: list[str] = []
        if channel is not None:
            check_channel(channel, self.channels, name)

    def close(self) -> None:
        """Close the container. Closing it again does nothing."""
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Decode packet by packet. Damaged packets are reported and left out; an unreadable rest ends the audio."""
        import av.error  # noqa: PLC0415

        seconds = Fraction(0)
        damaged = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.error.FFmpegError, OSError) as error:
                self.warnings.append(f"the file breaks off at {float(seconds):.2f} s ({_reason(error)})")
                break
            try:
                frames = packet.decode()
            except av.error.EOFError:
                break
            except av.error.FFmpegError as error:
                damaged += 1
                if damaged == 1:
                    self.warnings.append(f"the file is damaged at {float(seconds):.2f} s ({_reason(error)})")
                continue
            for frame in frames:
                assert isinstance(frame, av.AudioFrame)
                if frame.sample_rate and frame.samples:
                    seconds += Fraction(frame.samples, frame.sample_rate)
                    yield Frame(_mono(frame, self._channel), frame.sample_rate, frame.time or 0.0)
        if damaged > 1:
            self.warnings[0] += f"; {damaged} damaged pieces were left out"

    def _choose_stream(self) -> "av.audio.stream.AudioStream":
        streams = self._container.streams.audio
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            raise AudioError(f"{self._name}: no audio track (it holds: {kinds}). Give a file with sound.")
        usable = [stream for stream in streams if stream.codec_context is not None]
        if not usable:
            raise AudioError(f"{self._name}: no decoder for its audio. Convert it to WAV, FLAC or Opus.")
        best = self._container.streams.best("audio")
        return next((stream for stream in usable if best is not None and stream.index == best.index), usable[0])

    def _stated_seconds(self) -> float | None:
        stream = self._stream
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif self._container.duration:
            seconds = self._container.duration / 1e6
        else:
            return None
        return seconds if 0 < seconds < 1e9 else None


def open_file(file: BinaryIO, name: str, channel: int | None) -> Decoder:
    """Open a file or pipe that is open for reading.

    Raises:
        AudioError: it is not audio, has no audio track or no decoder for it, or does not have the channel.
    """
    import av.error  # noqa: PLC0415

    # A playlist must not make FFmpeg open other files or addresses.
    options = {"protocol_whitelist": "none"}
    if is_live(file):
        options["analyzeduration"] = str(_LIVE_ANALYSIS_US)
    try:
        # A Python file and not a path: FFmpeg takes paths such as `concat:...` as instructions.
        container = av.open(file, mode="r", options=options)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise AudioError(
            f"{name}: not an audio file, or cut off before its audio starts ({_reason(error)}). "
            "Legato reads what FFmpeg reads: WAV, FLAC, MP3, Ogg, Opus, M4A, WebM, MP4 and others."
        ) from None
    if container.format.name == "tty":  # FFmpeg's reader for pictures drawn in text accepts any *.txt
        container.close()
        raise AudioError(f"{name}: a text file, not an audio file. Give an audio or video file.")
    return _decoder(container, name, channel)


def open_url(url: str, name: str, channel: int | None) -> Decoder:
    """Open a network address.

    Raises:
        AudioError: no connection, or as for `open_file`.
    """
    import av.error  # noqa: PLC0415

    try:
        container = av.open(
            url, mode="r", options={"protocol_whitelist": _PROTOCOLS}, timeout=_URL_TIMEOUT, metadata_errors="replace"
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise AudioError(
            f"{name}: cannot be opened ({_reason(error)}). Check the address and the network, and that it is audio."
        ) from None
    return _decoder(container, name, channel)


def is_live(file: BinaryIO) -> bool:
    """Return whether a file exists only in Python, such as a stream that a server receives."""
    try:
        file.fileno()
    except io.UnsupportedOperation:
        return True
    return False


def _decoder(container: "av.container.InputContainer", name: str, channel: int | None) -> Decoder:
    try:
        return Decoder(container, name, channel)
    except BaseException:
        container.close()
        raise


def _mono(frame: "av.AudioFrame", channel: int | None) -> Samples:
    """Return the mean of a frame's channels, or one channel: float32[n]."""
    channels = frame.layout.nb_channels
    array = frame.to_ndarray()
    array = array if frame.format.is_planar else array.reshape(-1, channels).T
    if channel is not None:
        if channel >= channels:  # some files change their layout in the middle
            return np.zeros(frame.samples, np.float32)
        return scaled(np.ascontiguousarray(array[channel]))
    samples = scaled(array)
    return samples[0] if channels == 1 else as_float32(samples.mean(axis=0, dtype=np.float32))


def _reason(error: Exception) -> str:
    """Return FFmpeg's description of an error, without its number and the path."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".").lower()
