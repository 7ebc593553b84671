"""The two ways in which a client sends audio, with one interface: raw, or in a container."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from legato.audio.pcm import AudioDecoder, AudioFormat
from legato.audio.probe import compressed_container
from legato.audio.source import Samples
from legato.errors import AudioError
from legato.serve.core.container import Container, ContainerDecoder


class AudioInput(Protocol):
    """Decodes the bytes of one client, and hands the samples on."""

    async def write(self, data: bytes) -> None:
        """Decode the next bytes, which may be cut anywhere.

        Raises:
            AudioError: the bytes are not audio.
        """

    async def flush(self) -> None:
        """Hand on all samples that can be decoded so far. Errors as for `write`."""

    async def end(self) -> None:
        """Mark the end of the audio, and hand on the rest of its samples. Errors as for `write`."""

    def close(self) -> None:
        """Drop what has not been decoded."""


class RawInput:
    """Decodes raw audio. The beginning of a file with a container, such as WebM of a browser, is refused.

    Args:
        take: receives the samples, float32[n] at 16 kHz.
    """

    def __init__(self, audio_format: AudioFormat, take: Callable[[Samples], Awaitable[None]]) -> None:
        self._decoder = AudioDecoder(audio_format)
        self._take = take
        self._container: str | None = None
        self._began = False

    async def write(self, data: bytes) -> None:
        """Decode the next bytes.

        Raises:
            AudioError: they are, or continue, a file with a container.
        """
        if not self._began and data:
            self._began, self._container = True, compressed_container(data)
        if self._container is not None:
            raise AudioError(
                f"This is {self._container}, not raw audio. Send samples in the encoding of the stream, or send the "
                "whole file in a request for files."
            )
        await self._take(self._decoder.decode(data))

    async def flush(self) -> None:
        """Hand on the samples that the resampler holds."""
        await self._take(self._decoder.flush())

    async def end(self) -> None:
        """Hand on the samples that the resampler holds."""
        await self.flush()

    def close(self) -> None:
        """Do nothing: no samples wait here."""


def open_input(audio_format: AudioFormat | Container, take: Callable[[Samples], Awaitable[None]]) -> AudioInput:
    """Return a new decoder for a format."""
    return ContainerDecoder(take) if isinstance(audio_format, Container) else RawInput(audio_format, take)
