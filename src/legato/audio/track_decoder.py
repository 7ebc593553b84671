"""Decode one audio track of a container with FFmpeg."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from legato.audio.arrays import check_channel
from legato.audio.mix import Mixer
from legato.audio.scale import Scaler, scaled
from legato.audio.tracks import Track, choose_track
from legato.errors import AudioError
from legato.types import Samples

if TYPE_CHECKING:
    import av

_FROM_ZERO = {"mov", "matroska"}
"""Containers whose time line starts at 0. That of others starts at their first timestamp."""

_LIVE_DELAY_SECONDS = 60.0
"""Seconds by which the audio of a live stream may start late before the stream counts as joined later."""

_PROTECTED_TAGS = {"enca", "drms", "drmi", "aavd"}
_PROTECTED_METADATA = {"enc_key_id", "ASF_Protection_Type", "WM/DRM", "DRM_KeyID"}
_AMR_SILENCE = {"amrnb": range(8, 16), "amrwb": range(9, 16)}
"""Types of AMR frames without speech: descriptions of noise and empty frames, which FFmpeg does not decode."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded piece of a track.

    Attributes:
        samples: float32[n], mono; none for a piece that holds no audio.
        rate: samples per second.
        start: timestamp in seconds; None where the container has none. Silence fills the time before it.
        fault: why a piece before `start` could not be decoded; None for an intact piece.
    """

    samples: Samples
    rate: int
    start: float | None
    fault: str | None = None


class BrokenOffError(Exception):
    """The container cannot be read further; the message says why."""


class Decoder:
    """Decode one audio track of an open container.

    Args:
        container: is closed with this object.
        name: what messages call it.
        channel: the only channel to read; None averages all.
        track: number or language of the track; None is the container's default.
        big_endian: the samples of a WAV file are big-endian (RIFX), which FFmpeg overlooks.

    Attributes:
        formats: FFmpeg's names of the container.
        codec: FFmpeg's name of the codec.
        tracks: the audio tracks.
        track: the number of the one that is decoded.
        channels: number of channels of the track.
        origin: timestamp in seconds at which the time line starts.
        end: seconds from there to the end of the track, as the container states it; None where it states none.
        duration: the same, or else the length of the whole container.
        byte_rate: bytes per second of the track; 0 where it is not known.

    Raises:
        AudioError: no audio track, no decoder for it, protected content, no such track or channel.
    """

    def __init__(
        self,
        container: "av.container.InputContainer",
        name: str,
        channel: int | None,
        track: int | str | None,
        *,
        big_endian: bool = False,
    ) -> None:
        self._container = container
        self._name = name
        self._channel = channel
        self.formats = frozenset(container.format.name.split(","))
        self._stream = self._choose_stream(track)
        codec = self._stream.codec_context
        self.codec = codec.name
        self._swapped = big_endian and self.codec.startswith("pcm_") and self.codec.endswith("le")
        self.channels = max(1, codec.layout.nb_channels)
        self.byte_rate = codec.bit_rate / 8 if codec.bit_rate else 0.0
        if channel is not None:
            check_channel(channel, self.channels, name)
        self.origin = self._start_of_time()
        self.end = self._stated_end()
        whole = container.duration / 1e6 if container.duration else 0.0
        self.duration = self.end or (whole if 0 < whole < 1e9 else None)
        self._mixer = Mixer(codec.sample_rate or 48000)
        self._scaler = Scaler(name)

    def close(self) -> None:
        """Close the container. Closing it again does nothing."""
        self._container.close()

    @property
    def warnings(self) -> list[str]:
        """What was decided for the caller while frames were decoded."""
        return [text for text in (self._scaler.warning, self._mixer.warning) if text is not None]

    def frames(self) -> Iterator[Frame]:
        """Decode packet by packet. A packet that cannot be decoded is a frame with a fault and without samples.

        Raises:
            BrokenOffError: the rest of the container cannot be read.
            AudioError: the audio is protected.
        """
        import av.error  # noqa: PLC0415

        packets = self._container.demux(self._stream)
        rate = self._stream.codec_context.sample_rate or 48000
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:  # PyAV: a packet of a track that appears in the middle of the file
                packets = self._container.demux(self._stream)
                continue
            except (av.error.FFmpegError, OSError) as error:
                raise BrokenOffError(reason_of(error)) from None
            if packet.has_sidedata("encryption_info"):
                raise self._protected()
            fault = None
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                if _is_tag(packet):
                    continue
                if not self._is_silence(packet):
                    fault = reason_of(error)
                yield Frame(np.zeros(0, np.float32), rate, self._end_of(packet, rate), fault)
                continue
            for frame in frames:
                assert isinstance(frame, av.AudioFrame)
                if frame.sample_rate and frame.samples:
                    rate = frame.sample_rate
                    yield Frame(self._mono(frame), rate, frame.time)

    def _protected(self) -> AudioError:
        return AudioError(f"{self._name}: its audio is protected (encrypted). Use a copy without protection.")

    def _mono(self, frame: "av.AudioFrame") -> Samples:
        channels = frame.layout.nb_channels
        array = _values(frame)
        if self._swapped:
            array = array.byteswap()
            array = array << 8 if self.codec == "pcm_s24le" else array
        array = array if frame.format.is_planar else array.reshape(-1, channels).T
        if self._channel is None:
            return self._mixer.mono(self._scaled(array))
        if self._channel >= channels:  # some files change their layout in the middle
            return np.zeros(frame.samples, np.float32)
        return self._scaled(np.ascontiguousarray(array[self._channel]))

    def _scaled(self, array: NDArray[Any]) -> Samples:
        # Only files of raw floats hold values of another scale; decoders return integers of full scale.
        return self._scaler.scale(array) if self.codec.startswith("pcm_f") else scaled(array)

    def _is_silence(self, packet: "av.Packet[Any]") -> bool:
        """Return whether a packet stands for silence in a codec whose silence FFmpeg does not decode."""
        silent = _AMR_SILENCE.get(self.codec.replace("_", ""), range(0))
        return packet.size > 0 and bytes(packet)[0] >> 3 & 15 in silent

    def _end_of(self, packet: "av.Packet[Any]", rate: int) -> float | None:
        if packet.pts is None or packet.time_base is None:
            return None
        duration = (
            float((packet.duration or 0) * packet.time_base) or (self._stream.codec_context.frame_size or 0) / rate
        )
        return float(packet.pts * packet.time_base) + duration

    def _choose_stream(self, wanted: int | str | None) -> "av.audio.stream.AudioStream":
        streams = self._container.streams.audio
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            raise AudioError(f"{self._name}: no audio track (it holds: {kinds}). Give a file with sound.")
        self.tracks = tuple(_described(stream, number) for number, stream in enumerate(streams))
        usable = [stream for stream in streams if stream.codec_context is not None]
        if any(_is_protected(stream) for stream in streams) or _PROTECTED_METADATA & set(self._container.metadata):
            raise self._protected()
        if not usable:
            raise AudioError(f"{self._name}: no decoder for its audio. Convert it to WAV, FLAC or Opus.")
        best = self._container.streams.best("audio")
        usual = next((stream for stream in usable if best is not None and stream.index == best.index), usable[0])
        self.track = choose_track(self.tracks, wanted, streams.index(usual), self._name)
        if streams[self.track].codec_context is None:
            raise AudioError(f"{self._name}: no decoder for its audio track {self.track}. Choose another track.")
        return streams[self.track]

    def _start_of_time(self) -> float:
        start = (self._container.start_time or 0) / 1e6
        # A live stream that is joined later starts at the time for which it has been running.
        joined = not self._container.duration and start > _LIVE_DELAY_SECONDS
        return start if joined or not self.formats & _FROM_ZERO else 0.0

    def _stated_end(self) -> float | None:
        """Return the end of the track on the time line."""
        stream, seconds = self._stream, None
        if "matroska" in self.formats:  # FFmpeg gives each track the duration of the longest
            seconds = _tagged_seconds(stream.metadata)
        elif stream.duration and stream.time_base:
            start = float((stream.start_time or 0) * stream.time_base) - self.origin
            seconds = start + float(stream.duration * stream.time_base)
        if seconds is None and self._container.duration and len(self._container.streams) == 1:
            seconds = self._container.duration / 1e6
        return seconds if seconds is not None and 0 < seconds < 1e9 else None


def reason_of(error: Exception) -> str:
    """Return why FFmpeg failed, in words for people; its number, the path and its own phrases are left out."""
    import av.error  # noqa: PLC0415

    if isinstance(error, av.error.PatchWelcomeError | av.error.ExperimentalError):
        return "it uses a part of its format that FFmpeg does not support"
    if isinstance(error, av.error.InvalidDataError):
        return "its data is not valid"
    if isinstance(error, av.error.BugError | av.error.UnknownError | av.error.ExternalError):
        return "FFmpeg cannot read it"
    if isinstance(error, av.error.EOFError):
        return "it ends too early"
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".").lower()


def _is_tag(packet: "av.Packet[Any]") -> bool:
    """Return whether a packet is metadata: MP3 and ADTS files that were joined have tags in their middle."""
    return bytes(packet)[:8].startswith((b"ID3", b"TAG", b"APETAGEX", b"LYRICSBE"))


def _values(frame: "av.AudioFrame") -> NDArray[Any]:
    """Return the samples of a frame: [channels, n], or [1, n * channels] where channels are interleaved."""
    if not frame.format.name.startswith("s64"):  # PyAV converts all other types
        return frame.to_ndarray()
    count = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    return np.stack([np.frombuffer(plane, np.int64)[:count] for plane in frame.planes])  # type: ignore[call-overload]


def _described(stream: "av.audio.stream.AudioStream", number: int) -> Track:
    language = stream.metadata.get("language")
    title = stream.metadata.get("title") or stream.metadata.get("handler_name")
    default = bool(getattr(getattr(stream, "disposition", None), "value", 0) & 1)
    generic = title in {"SoundHandler", "Core Media Audio"}
    return Track(number, None if language in {"und", ""} else language, None if generic else title, default)


def _is_protected(stream: Any) -> bool:
    try:
        tag = str(getattr(stream.codec_context, "codec_tag", "")).strip("\0")
    except UnicodeDecodeError:  # a tag that is a number
        tag = ""
    return tag in _PROTECTED_TAGS or bool(_PROTECTED_METADATA & set(stream.metadata))


def _tagged_seconds(metadata: Mapping[str, str]) -> float | None:
    """Return the end of a Matroska track that its tag DURATION states, in seconds."""
    found = re.match(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", metadata.get("DURATION") or metadata.get("DURATION-eng") or "")
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None
