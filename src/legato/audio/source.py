"""Audio in: any file or address that FFmpeg reads, an array, or raw PCM -> mono float32 at 16 kHz.

Files are decoded block by block, so memory does not grow with their length, whatever length their header claims.
"""

import io
import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
import av.error
import numpy as np
import soxr
from numpy.typing import NDArray

from legato.audio.containers import mp3_knows_length, ogg_is_ended, wav_shortfall
from legato.errors import AudioError

SAMPLE_RATE = 16000
"""Samples a second of everything that this module gives back."""

Samples = NDArray[np.float32]

_BLOCK_SECONDS = 10
_COUNTED = {"w64", "aiff", "au", "caf", "flac"}
"""Containers that count their samples."""

_TIMED = {"mov", "matroska"}
"""Containers that hold their duration, if not to the sample."""


_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,crypto,rtmp,rtmps,rtp,srt"
"""What FFmpeg may use for an address; never `file`: a playlist from elsewhere must not open what lies here."""

_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "rtp", "srt", "tcp", "udp")
_URL_TIMEOUT = (15.0, 30.0)
"""Seconds to wait for an address to answer, and for more of its data."""


_LIVE_ANALYSIS_US = 200_000
"""Microseconds of audio that FFmpeg may look at before it gives any, where the format does not say what it is."""


class AudioFile:
    """An open audio file, decoded as it is iterated: blocks of float32[n], mono, 16 kHz, n <= 10 seconds.

    It can be iterated once. Use `open_audio` to make one, and `with` to close it.

    Attributes:
        name: the path as it was given, for messages.
        duration: seconds according to the container; None when it does not say.
        channels: how many its audio has.
        warnings: one text for each thing that is wrong with the file but did not stop us. Complete after iteration.
        changed: it was altered while it was read. Known after iteration.
        block_seconds: length of the blocks; may be set before iteration.
    """

    changed = False
    block_seconds: float = _BLOCK_SECONDS

    def __init__(self, source: Path | BinaryIO, name: str, channel: int | None = None) -> None:
        self.name = name
        self._channel = channel
        self.warnings: list[str] = []
        self._end = 0.0  # of the last decoded frame, in the file's own time
        self._file = _open(source, name) if isinstance(source, Path) else source
        self._before = _fingerprint(self._file)
        try:
            self._container = self._open_container()
            self._stream = self._choose_stream()
            self.channels = self._choose_channel()
        except BaseException:
            self.close()
            raise
        self.duration = self._read_duration()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        container = getattr(self, "_container", None)
        if container is not None:
            container.close()
        self._file.close()

    def __iter__(self) -> Iterator[Samples]:
        """Decode the file.

        Yields:
            float32[n], n <= 160000 (16000 times `block_seconds`); all but the last have that many samples.

        Raises:
            AudioError: nothing could be decoded, or a sample is NaN or infinite.
        """
        block = np.empty(round(self.block_seconds * SAMPLE_RATE), np.float32)
        filled = heard = 0
        for piece in self._resampled():
            _refuse_not_finite(piece, self.name, offset=heard)
            heard += len(piece)
            while len(piece):
                taken = min(len(block) - filled, len(piece))
                block[filled : filled + taken] = piece[:taken]
                filled += taken
                piece = piece[taken:]  # noqa: PLW2901
                if filled == len(block):
                    yield block.copy()
                    filled = 0
        if filled:
            yield block[:filled].copy()
        if not heard:
            damage = f" ({self.warnings[0]})" if self.warnings else ""
            raise AudioError(f"{self.name}: its audio is empty: 0 samples{damage}. Record or export it again.")
        self._compare_with_header(heard / SAMPLE_RATE)
        self._compare_with_before()

    def _open_container(self) -> "av.container.InputContainer":
        status = _status(self._file)
        if status is not None and status.st_size == 0 and stat.S_ISREG(status.st_mode):
            raise AudioError(f"{self.name}: the file is empty (0 bytes). Record or export it again.")
        # Nor may a playlist make it open other files or addresses.
        options = {"protocol_whitelist": "none"}
        if status is None:  # it comes live: FFmpeg is not to look ahead for seconds
            options["analyzeduration"] = str(_LIVE_ANALYSIS_US)
        try:
            # A Python file, not a path: FFmpeg would take paths such as `concat:...` for instructions.
            container = av.open(self._file, mode="r", options=options)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise AudioError(
                f"{self.name}: not an audio file, or cut off before its audio starts ({_reason(error)}). "
                "Legato reads what FFmpeg reads: WAV, FLAC, MP3, Ogg, Opus, M4A, WebM, MP4 and others."
            ) from None
        if container.format.name == "tty":  # FFmpeg's reader for pictures drawn in text takes any *.txt
            container.close()
            raise AudioError(f"{self.name}: a text file, not an audio file. Give an audio or video file.")
        return container

    def _choose_stream(self) -> "av.audio.stream.AudioStream":
        streams = self._container.streams.audio
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            raise AudioError(f"{self.name}: no audio track (it holds: {kinds}). Give a file with sound.")
        usable = [stream for stream in streams if stream.codec_context is not None]
        if not usable:
            raise AudioError(f"{self.name}: no decoder for its audio. Convert it to WAV, FLAC or Opus.")
        best = self._container.streams.best("audio")
        return next((stream for stream in usable if best is not None and stream.index == best.index), usable[0])

    def _choose_channel(self) -> int:
        """Check the channel that is wanted, and return how many there are."""
        count = max(1, self._stream.codec_context.layout.nb_channels)
        if self._channel is not None:
            check_channel(self._channel, count, self.name)
        return count

    def _read_duration(self) -> float | None:
        return self._container_seconds() if self._file.seekable() else None

    def _container_seconds(self) -> float | None:
        stream = self._stream
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif self._container.duration:
            seconds = self._container.duration / 1e6
        else:
            return None
        return seconds if 0 < seconds < 1e9 else None

    def _resampled(self) -> Iterator[Samples]:
        resampler: soxr.ResampleStream | None = None
        rate = SAMPLE_RATE
        for frame in self._frames():
            samples = _mono(frame, self._channel)
            if frame.sample_rate != rate:
                if resampler is not None:
                    yield _flush(resampler)
                rate = frame.sample_rate
                resampler = _resampler(rate, self.name) if rate != SAMPLE_RATE else None
            yield samples if resampler is None else _float32(resampler.resample_chunk(samples))
        if resampler is not None:
            yield _flush(resampler)

    def _frames(self) -> Iterator["av.audio.frame.AudioFrame"]:
        """Decode packet by packet; a damaged packet is noted and left out, the end of the readable part ends it."""
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
                    self._end = (frame.time or 0.0) + frame.samples / frame.sample_rate
                    yield frame
        if damaged > 1:
            self.warnings[0] += f"; {damaged} damaged pieces were left out"

    def _compare_with_header(self, heard: float) -> None:
        """Warn when the file holds less than its header promises.

        Args:
            heard: seconds that were decoded.
        """
        declared, tolerance = self._promise(heard)
        if heard >= declared - tolerance:
            return
        if self.warnings:
            self.warnings[-1] += f"; {heard:.2f} s of {declared:.2f} s could be read"
        elif self._end > heard + tolerance:
            self.warnings.append(f"the file is damaged: {heard:.2f} s of {declared:.2f} s could be read")
        else:
            self.warnings.append(f"the file is cut off at {heard:.2f} s; its header says {declared:.2f} s")

    def _compare_with_before(self) -> None:
        """Warn when the file is not what it was when it was opened."""
        after = _fingerprint(self._file)
        if after != self._before:
            self.changed = True
            how = f"{self._before[0]} bytes before, {after[0]} after"
            self.warnings.append(f"the file changed while it was read ({how}): transcribe it again when it is complete")

    def _promise(self, heard: float) -> tuple[float, float]:
        """Give the seconds that the file promises, and how far off the promise may be."""
        if not self._file.seekable():
            return heard, 0.0
        names = set(self._container.format.name.split(","))
        if "wav" in names:
            codec = self._stream.codec_context
            second = codec.bit_rate / 8 if codec.bit_rate else 0
            return heard + (wav_shortfall(self._file) / second if second else 0), 0.01
        if "ogg" in names and not ogg_is_ended(self._file) and not self.warnings:
            self.warnings.append(f"the file breaks off at {heard:.2f} s: its last part is missing")
        if self.duration is None:
            return heard, 0.0
        if names & _COUNTED:
            return self.duration, 0.05
        if names & _TIMED or ("mp3" in names and mp3_knows_length(self._file)):
            return self.duration, max(0.5, 0.01 * self.duration)
        return heard, 0.0


class AudioUrl(AudioFile):
    """Audio from a network address; what a broken connection leaves is given, with a warning."""

    def __init__(self, url: str, channel: int | None = None) -> None:
        self._url = url
        self._channel = channel
        self.name = _without_password(url)
        self.warnings = []
        self._end = 0.0
        try:
            self._container = av.open(
                url,
                mode="r",
                options={"protocol_whitelist": _PROTOCOLS},
                timeout=_URL_TIMEOUT,
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise AudioError(
                f"{self.name}: cannot be opened ({_reason(error)}). "
                "Check the address and the network, and that it is audio."
            ) from None
        try:
            self._stream = self._choose_stream()
            self.channels = self._choose_channel()
        except BaseException:
            self.close()
            raise
        self.duration = self._container_seconds()

    def close(self) -> None:
        """Close the connection; harmless when it is closed."""
        self._container.close()

    def _compare_with_header(self, heard: float) -> None:
        """Warn when much less came than was promised: what ended may have been the connection."""
        if not self.warnings and self.duration is not None and heard < self.duration - max(0.5, 0.01 * self.duration):
            self.warnings.append(f"it breaks off at {heard:.2f} s; its header says {self.duration:.2f} s")

    def _compare_with_before(self) -> None:
        pass


def is_url(name: str | Path) -> bool:
    """Whether a name is an address on the network, such as https://... or rtmp://..., rather than a file's path."""
    return isinstance(name, str) and name.partition("://")[0].lower() in _SCHEMES and "://" in name


def open_audio(path: str | Path, *, channel: int | None = None) -> AudioFile:
    """Open an audio or video file, or a network address, of any codec and sample rate.

    Args:
        path: the file, or as a string (never as a `Path`) an address that `is_url` knows. Its first (or default) audio
            track is read.
        channel: the only one to hear, counted from 0; by default all are averaged.


    Returns:
        The open file: a context manager, iterated for its blocks.

    Raises:
        AudioError: not found, a folder, not readable, not audio, without an audio track, empty, without such a
            channel; no connection.
    """
    if isinstance(path, str) and is_url(path):
        return AudioUrl(path, channel)
    return AudioFile(Path(path), str(path), channel)


def open_audio_file(file: BinaryIO, name: str) -> AudioFile:
    """Open audio in a file that is open: a temporary one without a name, or any object that can be read like one.

    Args:
        file: at its start; it is closed with the result.
        name: what messages call it.

    Raises:
        AudioError: as `open_audio`.
    """
    return AudioFile(file, name)


def check_channel(channel: int, channels: int, name: str) -> None:
    """Refuse a channel that audio of so many channels does not have.

    Raises:
        AudioError: says how many there are.
    """
    if not 0 <= channel < channels:
        numbers = ", ".join(str(each) for each in range(min(channels, 8)))
        have = "one channel" if channels == 1 else f"{channels} channels"
        raise AudioError(f"{name}: no channel {channel}: it has {have}. Give {numbers} or mix.")


def read_audio(path: str | Path) -> Samples:
    """Read a whole file: float32[n], mono, 16 kHz.

    Raises:
        AudioError: as `open_audio`, or nothing could be decoded, or a sample is NaN or infinite.
    """
    with open_audio(path) as audio:
        return np.concatenate(list(audio))


def check_samples(
    array: NDArray[Any], sample_rate: int = SAMPLE_RATE, *, allow_empty: bool = False, name: str = "audio"
) -> Samples:
    """Turn an array of samples into what the model takes.

    Args:
        array: [n] or [n, channels]; floats within +-1 or integers of full scale (int16: divided by 32768).
        sample_rate: of `array`, in Hz; another than 16000 is resampled.
        allow_empty: give back an empty array instead of refusing it, as a stream's pieces need.
        name: what messages call the array.

    Returns:
        float32[m], mono, 16 kHz; `array` itself when it is that already.

    Raises:
        AudioError: wrong rank or type, no samples, NaN or infinity (naming the first), a rate that makes no sense.
    """
    array = np.asarray(array)
    if array.ndim not in {1, 2}:
        raise AudioError(f"{name}: shape {list(array.shape)}; samples have the shape [n] or [n, channels].")
    if array.dtype == np.bool_ or array.dtype.kind not in "iuf":
        raise AudioError(f"{name}: type {array.dtype}; samples are float32, float64 or integers of full scale.")
    if array.ndim == 2 and array.shape[1] > 32 and array.shape[0] < array.shape[1]:
        raise AudioError(f"{name}: shape {list(array.shape)} looks like [channels, n]; transpose it to [n, channels].")
    if array.size == 0:
        if allow_empty:
            return np.zeros(0, np.float32)
        raise AudioError(f"{name} is empty: 0 samples. Give at least a few tenths of a second.")
    samples = _scaled(array)
    if samples.ndim == 2:
        samples = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples).all():  # on the given samples, so that the position is the caller's
        position = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise AudioError(_not_finite(name, samples[position], position, position / max(sample_rate, 1)))
    if sample_rate == SAMPLE_RATE:
        return samples
    return _flush(_resampler(sample_rate, name), samples)


def channel_count(audio: "str | Path | NDArray[Any]") -> int:
    """Count the channels of a file or array that will be read once for each of them.

    Raises:
        AudioError: as `open_audio`; or a pipe or an address, which can be read only once.
    """
    if not isinstance(audio, str | Path):
        return audio.shape[1] if np.ndim(audio) == 2 else 1
    pipe = Path(audio).exists() and not Path(audio).is_file() and not Path(audio).is_dir()
    if pipe or is_url(audio):
        raise AudioError(f"{audio}: channels can be told apart in files only. Save it first, or hear one channel.")
    with open_audio(audio) as file:
        return file.channels


def one_channel(array: NDArray[Any], channel: int) -> NDArray[Any]:
    """Take a channel of samples [n] or [n, channels].

    Raises:
        AudioError: there is no such channel.
    """
    check_channel(channel, array.shape[1] if array.ndim == 2 else 1, "audio")
    return array[:, channel] if array.ndim == 2 else array


def pcm_blocks(file: BinaryIO, block_ms: int = 100) -> Iterator[Samples]:
    """Read raw signed 16-bit little-endian mono PCM at 16 kHz as it comes.

    Args:
        file: a binary stream such as `sys.stdin.buffer`. What has arrived is handed on at once, so live input is not
            held back until a block is full.
        block_ms: the largest block, in milliseconds.

    Yields:
        float32[n], 0 < n <= 16 * block_ms. An odd last byte is left out.
    """
    size = max(2, 2 * SAMPLE_RATE * block_ms // 1000)
    read = getattr(file, "read1", file.read)
    rest = b""
    while data := read(size - len(rest)):
        data = rest + data
        whole = len(data) & ~1
        rest = data[whole:]
        if whole:
            yield _scaled(np.frombuffer(data[:whole], "<i2"))


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise AudioError(f"{name}: there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise AudioError(f"{name} is a folder. Give the audio files in it one by one, as in {name}/*.") from None
    except PermissionError:
        raise AudioError(f"{name}: no permission to read it. Change its permissions or copy it.") from None
    except OSError as error:
        raise AudioError(f"{name}: cannot be opened: {error.strerror}. Check the path and the disk.") from None


def _status(file: BinaryIO) -> os.stat_result | None:
    """What the system knows about a file; None of one that only Python knows."""
    try:
        return os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return None


def _fingerprint(file: BinaryIO) -> tuple[int, int]:
    """Size and time of the last change of a regular file; zeros of a pipe."""
    status = _status(file)
    return (status.st_size, status.st_mtime_ns) if status is not None and stat.S_ISREG(status.st_mode) else (0, 0)


def _without_password(url: str) -> str:
    """An address for messages: without user name and password."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _mono(frame: "av.audio.frame.AudioFrame", channel: int | None) -> Samples:
    """Average a frame's channels, or take one: float32[n]."""
    channels = frame.layout.nb_channels
    array = frame.to_ndarray()
    array = array if frame.format.is_planar else array.reshape(-1, channels).T
    if channel is not None:
        if channel >= channels:  # some files change in the middle
            return np.zeros(frame.samples, np.float32)
        return _scaled(np.ascontiguousarray(array[channel]))
    samples = _scaled(array)
    return samples[0] if channels == 1 else _float32(samples.mean(axis=0, dtype=np.float32))


def _scaled(array: NDArray[Any]) -> Samples:
    """Integers of full scale to float32 within +-1, floats as they are."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a float64 that overflows becomes infinite, which is refused afterwards
            return array.astype(np.float32, copy=False)
    half = float(2 ** (8 * array.dtype.itemsize - 1))
    if array.dtype.itemsize <= 2:
        samples = array.astype(np.float32)
        return (samples - np.float32(half if array.dtype.kind == "u" else 0)) / np.float32(half)
    return ((array.astype(np.float64) - (half if array.dtype.kind == "u" else 0)) / half).astype(np.float32)


def _resampler(rate: int, name: str) -> soxr.ResampleStream:
    if not 1000 <= rate <= 1_000_000:
        raise AudioError(f"{name}: a sample rate of {rate} Hz. Legato takes 1 kHz to 1 MHz.")
    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")


def _flush(resampler: soxr.ResampleStream, samples: Samples | None = None) -> Samples:
    rest = np.zeros(0, np.float32) if samples is None else samples
    return _float32(resampler.resample_chunk(rest, last=True))


def _float32(samples: NDArray[Any]) -> Samples:
    return samples.astype(np.float32, copy=False)


def _refuse_not_finite(samples: Samples, name: str, offset: int) -> None:
    if not np.isfinite(samples).all():
        position = int(np.flatnonzero(~np.isfinite(samples))[0])
        time = (offset + position) / SAMPLE_RATE
        raise AudioError(_not_finite(name, samples[position], offset + position, time))


def _not_finite(name: str, value: np.float32, position: int, seconds: float) -> str:
    kind = "NaN (not a number)" if np.isnan(value) else "infinite"
    return f"{name}: sample {position} ({seconds:.3f} s) is {kind}. Repair or export the audio again."


def _reason(error: Exception) -> str:
    """What FFmpeg says, without the number and the path."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".").lower()
