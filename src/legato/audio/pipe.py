"""Audio that arrives through a pipe, such as standard input: a file, or raw PCM."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from legato.audio import probe
from legato.audio.blocks import AudioBlocks
from legato.audio.containers import WAV_HEADS, is_chunk, wav_stated_end
from legato.audio.file import AudioFile
from legato.audio.pcm import AudioFormat, pcm_blocks
from legato.audio.promise import cut_off
from legato.errors import AudioError
from legato.types import Samples

_NAME = "standard input"
_BLOCK_SECONDS = 0.1
_TOLERANCE_SECONDS = 0.01
_REST_BYTES = 1 << 16
"""Bytes after the audio of a WAV file that may be metadata."""


def open_pipe(
    file: BinaryIO,
    *,
    audio_format: AudioFormat | None = None,
    channel: int | None = None,
    track: int | str | None = None,
) -> AudioBlocks:
    """Open audio that arrives through a pipe. What has arrived is returned at once, in blocks of at most 0.1 s.

    A file that can be read only from its end, such as an MP4 file whose index is there, is copied to a temporary file.

    Args:
        file: a binary stream such as `sys.stdin.buffer`; it is left open.
        audio_format: the format of raw audio. By default the first bytes decide: a file that FFmpeg reads, or else raw
            16-bit little-endian mono PCM at 16 kHz.
        channel: the only channel of a file to read, counted from 0; None averages all.
        track: number or language of the audio track of a file.

    Raises:
        AudioError: a file that cannot be read.
    """
    head, kind = b"", None if audio_format is None else False
    read = getattr(file, "read1", file.read)
    while kind is None:
        data = read(probe.MOST_BYTES - len(head))
        head += data
        kind = probe.is_file(head, ended=not data or len(head) >= probe.MOST_BYTES)
    joined = _Joined(head, file)
    if not kind:
        return PcmBlocks(cast("BinaryIO", joined), _NAME, audio_format or AudioFormat(channel=channel))
    if (source := _rewound(file, len(head))) is not None:
        audio = AudioFile(source, _NAME, channel, track, owned=False)
    elif probe.needs_seeking(head):
        audio = AudioFile(_copied(joined), _NAME, channel, track)
    else:
        audio = PipedFile(joined, _NAME, channel, track)
    audio.block_seconds = _BLOCK_SECONDS
    return audio


class PipedFile(AudioFile):
    """An audio file that arrives through a pipe."""

    def __init__(self, stream: "_Joined", name: str, channel: int | None, track: int | str | None) -> None:
        self._stream = stream
        super().__init__(cast("BinaryIO", stream), name, channel, track)

    def _compare(self) -> None:
        """Warn when a WAV file ends before the end that its header states, or audio follows that end."""
        super()._compare()
        if self._stream.watched is None or not self._decoder.byte_rate:
            return
        seconds = (self._stream.position - self._stream.watched) / self._decoder.byte_rate
        if seconds < -_TOLERANCE_SECONDS:
            self._fault(cut_off(self._end, self._end - seconds))
        joined = self._stream.seen in WAV_HEADS
        if self._stream.position - self._stream.watched <= _REST_BYTES or (is_chunk(self._stream.seen) and not joined):
            return
        self._fault(f"its header states less audio than it holds: {seconds:.2f} s at its end were not read")


class PcmBlocks(AudioBlocks):
    """Raw audio as it arrives."""

    def __init__(self, file: BinaryIO, name: str, audio_format: AudioFormat) -> None:
        super().__init__(name)
        self.channels = audio_format.channels
        self.block_seconds = _BLOCK_SECONDS
        self._file = file
        self._format = audio_format

    def close(self) -> None:
        """Leave the pipe open: it belongs to the caller."""

    def __iter__(self) -> Iterator[Samples]:
        """Yield the audio as it arrives.

        Raises:
            AudioError: the pipe is empty.
        """
        read = 0
        for block in pcm_blocks(self._file, round(self.block_seconds * 1000), self._format):
            read += len(block)
            yield block
        if not read:
            raise AudioError(f"{self.name} is empty: 0 samples. Send an audio file, or raw PCM.")


class _Joined(io.RawIOBase):
    """Bytes that were read already, and then the rest of a stream. It cannot seek.

    Attributes:
        position: bytes that were read.
        watched: where the audio of a WAV file ends, as its header states it.
        seen: what stands there.
    """

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        super().__init__()
        self.position = 0
        self.watched = wav_stated_end(head)
        self.seen = b""
        self._head = head
        self._read = getattr(file, "read1", file.read)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        size = size if size >= 0 else io.DEFAULT_BUFFER_SIZE
        data, self._head = self._head[:size], self._head[size:]
        data = data or bytes(self._read(size))
        if self.watched is not None and len(self.seen) < 4:
            self.seen += data[max(0, self.watched + len(self.seen) - self.position) :][: 4 - len(self.seen)]
        self.position += len(data)
        return data


def _copied(stream: io.RawIOBase) -> BinaryIO:
    """Return a temporary file with all that a stream holds."""
    copy = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by the caller
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return copy


def _rewound(file: BinaryIO, read: int) -> BinaryIO | None:
    """Return a redirected file, which can seek, at its start; None for a pipe."""
    try:
        if file.seekable() and file.tell() == read:
            file.seek(0)
            return file
    except (OSError, ValueError):
        pass
    return None
