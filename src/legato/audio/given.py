"""Audio in any form in which a program has it: names, files, bytes, arrays, tensors and iterators of blocks."""

import io
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from itertools import chain
from os import PathLike
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from legato.audio.arrays import ArrayReader, as_array, check_channel
from legato.audio.blocks import AudioBlocks, of_equal_length
from legato.audio.resample import SAMPLE_RATE, whole_number
from legato.audio.sections import as_file
from legato.audio.source import ONLY_ONCE, open_audio, open_audio_file
from legato.audio.source import channel_count as path_channel_count
from legato.errors import AudioError
from legato.types import Samples

AudioInput = str | PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | ArrayLike | Iterable[ArrayLike]
"""What `open_given` accepts."""


def open_given(
    audio: AudioInput,
    *,
    sample_rate: float | None = None,
    channel: int | None = None,
    track: int | str | None = None,
) -> AudioBlocks:
    """Open audio in any form.

    Args:
        audio: a path or an address (see `open_audio`); the contents of an audio file as `bytes`; a binary file that is
            open (read from its position, and left open); samples [n] or [n, channels] as an array, a list, a tensor or
            anything else that NumPy converts; or an iterable of such blocks of samples.
        sample_rate: of samples, in Hz; None is 16000. Files state their own.
        channel: the only channel to read, counted from 0; None averages all channels.
        track: the audio track of a file, see `open_audio`.

    Returns:
        The open audio: a context manager; iterate it for its blocks.

    Raises:
        AudioError: nothing of this kind, or as for `open_audio`. Blocks of an iterator raise it when they are read.
    """
    rate = SAMPLE_RATE if sample_rate is None else whole_number(sample_rate, "The sample rate")
    if channel is not None:
        channel = whole_number(channel, "The channel")
    if isinstance(audio, str | PathLike):
        return open_audio(audio, channel=channel, track=track)
    if isinstance(audio, bytes | bytearray) or (isinstance(audio, memoryview) and audio.format == "B"):
        return _open_bytes(bytes(audio), channel, track)
    if callable(getattr(audio, "read", None)):
        return _open_file(cast("IO[bytes]", audio), channel, track)
    if _is_array(audio):
        array = as_array(cast("ArrayLike", audio))
        if array.size == 0:
            raise AudioError("audio is empty: 0 samples. Give at least a few tenths of a second.")
        return SampleBlocks(iter([array]), rate, channel, channels=array.shape[1] if array.ndim == 2 else 1)
    if isinstance(audio, Iterable) and not isinstance(audio, Mapping | set | frozenset):
        return _open_iterable(iter(audio), rate, channel)
    hint = " An asynchronous iterator is read with `async for`." if isinstance(audio, AsyncIterable) else ""
    raise AudioError(
        f"audio: {type(audio).__name__} is no audio. Give a path, an address, an open file, bytes of a file, "
        f"an array of samples or an iterator of arrays.{hint}"
    )


class SampleBlocks(AudioBlocks):
    """Arrays of samples, one after the other, as mono float32 at 16 kHz.

    Args:
        arrays: the samples, [n] or [n, channels] each.
        sample_rate: in Hz.
        channel: the only channel to use; None averages all.
    """

    def __init__(
        self, arrays: Iterator[ArrayLike], sample_rate: int, channel: int | None = None, *, channels: int = 1
    ) -> None:
        super().__init__("audio")
        self.channels = channels
        if channel is not None:
            check_channel(channel, channels, "audio")
        self._arrays = arrays
        self._reader = ArrayReader(sample_rate, channel=channel)

    def close(self) -> None:
        """Do nothing: the samples belong to the caller."""

    def __iter__(self) -> Iterator[Samples]:
        """Yield the samples as they come, in blocks of at most `block_seconds`.

        Raises:
            AudioError: a block is not samples, or there are none.
        """
        read = 0
        for array in self._arrays:
            for block in of_equal_length([self._reader.read(array)], self.block_seconds):
                read += len(block)
                yield block
        if len(rest := self._reader.finish()):
            read += len(rest)
            yield rest
        if not read:
            raise AudioError("audio is empty: 0 samples. Give at least a few tenths of a second.")
        self.warnings += self._reader.warnings


def channel_count(audio: AudioInput) -> int:
    """Return the number of channels of audio that will be read once per channel.

    Raises:
        AudioError: as for `open_given`; or for an iterator, a pipe or an address, which can be read only once.
    """
    if isinstance(audio, str | PathLike):
        return path_channel_count(audio)
    has_read = callable(getattr(audio, "read", None))
    once = not _seekable(cast("IO[bytes]", audio)) if has_read else isinstance(audio, Iterator)
    if once:
        raise AudioError(f"audio: {ONLY_ONCE}")
    if isinstance(audio, np.ndarray):
        return audio.shape[1] if audio.ndim == 2 else 1
    with open_given(audio) as opened:
        return opened.channels


def _is_array(audio: object) -> bool:
    """Return whether an object is an array by itself; a list of arrays is not: it is an iterable of blocks."""
    if isinstance(audio, list | tuple):
        return not audio or not _is_array(audio[0]) or isinstance(audio[0], list | tuple)
    return (
        any(hasattr(audio, name) for name in ("__array__", "__array_interface__", "__dlpack__"))
        or isinstance(audio, memoryview)
        or type(audio).__module__ == "array"
    )


def _open_bytes(data: bytes, channel: int | None, track: int | str | None) -> AudioBlocks:
    if not data:
        raise AudioError("audio is empty: 0 bytes. Give the contents of an audio file.")
    try:
        return open_audio_file(io.BytesIO(data), "audio", channel=channel, track=track)
    except AudioError as error:
        raise AudioError(
            f"{error} Bytes are read as the contents of a file; give raw samples as an array, for instance with "
            "np.frombuffer(data, np.int16)."
        ) from None


def _open_file(file: IO[bytes], channel: int | None, track: int | str | None) -> AudioBlocks:
    if isinstance(file, io.TextIOBase):
        raise AudioError("audio: the file is open for text. Open it with open(path, 'rb').")
    name = getattr(file, "name", None)
    shown = name if isinstance(name, str) else "audio"
    try:
        if not _seekable(file):
            return open_audio_file(cast("BinaryIO", file), shown, channel=channel, track=track, owned=False)
        start = file.tell()
        end = file.seek(0, 2)
        file.seek(start)
    except (OSError, ValueError) as error:  # closed, or open only for writing
        raise AudioError(f"{shown}: the file cannot be read ({error}).") from None
    if start == end:
        reason = "the file is empty (0 bytes)" if end == 0 else "the file is at its end; call seek(0) first"
        raise AudioError(f"{shown}: {reason}.")
    part = as_file(cast("BinaryIO", file), start, end)
    return open_audio_file(part, shown, channel=channel, track=track, owned=False)


def _seekable(file: IO[bytes]) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else False


def _open_iterable(blocks: Iterator[Any], rate: int, channel: int | None) -> SampleBlocks:
    """Open an iterator of blocks; its first block tells the number of channels."""
    first = next(blocks, None)
    if first is None:
        return SampleBlocks(iter(()), rate)
    array = _block(first)
    channels = array.shape[1] if array.ndim == 2 else 1
    return SampleBlocks(chain([array], map(_block, blocks)), rate, channel, channels=channels)


def _block(block: object) -> NDArray[Any]:
    if isinstance(block, bytes | bytearray | str):
        raise AudioError(
            f"audio: a block is {type(block).__name__}. Give arrays, for instance np.frombuffer(block, np.int16)."
        )
    return as_array(cast("ArrayLike", block))
