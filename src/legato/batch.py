"""Many files at once: an executor transcribes them and yields a result for each, in the order in which they finish."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from legato.audio.blocks import AudioBlocks
from legato.audio.channels import Channels
from legato.audio.source import channel_count, open_audio
from legato.engine.engine import Engine
from legato.errors import AudioError, LegatoError
from legato.options import StreamOptions
from legato.recognizer import Recognizer
from legato.streaming.collect import Collector, merge_channels
from legato.types import Transcript

Track = int | str | None
"""An audio track: its number or language, `all`, or None for the default of the container."""

_BLOCK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one file.

    Attributes:
        name: path or address of the audio, as it was given.
        transcript: None if the file failed.
        error: why the file failed; None if it did not.
        warnings: what is wrong with a file that could be read.
    """

    name: str
    transcript: Transcript | None
    error: str | None = None
    warnings: tuple[str, ...] = ()


class Executor(Protocol):
    """Transcribes many files, on this machine or on others."""

    def run(self, names: Sequence[str]) -> Generator[Result, None, None]:
        """Transcribe files, each name once; closing the generator gives up the files that are not finished.

        Args:
            names: paths or addresses.

        Raises:
            LegatoError: no file can be transcribed any more. What is wrong with one file is in its result.
        """


class LocalExecutor:
    """Transcribes files on this machine through one engine.

    A file is not started before there is room for its result: at most `jobs` files are in progress or wait to be taken.

    Args:
        recognizer: the model.
        options: options of each stream; compile them beforehand, see `StreamOptions.compiled`.
        channels: as in `Recognizer.transcribe`.
        track: as in `open_audio`.
        jobs: files at once.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        options: StreamOptions,
        *,
        channels: Channels = "mix",
        track: Track = None,
        jobs: int = 4,
    ) -> None:
        self._recognizer, self._options, self._jobs = recognizer, options, jobs
        self._channels, self._track = channels, track

    def run(self, names: Sequence[str]) -> Generator[Result, None, None]:
        """Transcribe files; see `Executor`."""
        left = iter(names)
        engine = Engine(self._recognizer, max_streams=self._jobs)
        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="legato-file")

        def start(count: int) -> set[Future[Result]]:
            some = islice(left, count)
            given = (self._options, self._channels, self._track)
            return {pool.submit(transcribe_file, engine, name, *given) for name in some}

        running = start(self._jobs)
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    running |= start(1)
        finally:
            engine.close(cancel=bool(running))
            pool.shutdown(cancel_futures=True)


def transcribe_file(
    engine: Engine, name: str, options: StreamOptions, channels: Channels = "mix", track: Track = None
) -> Result:
    """Transcribe one file through an engine. No error is raised: the result says why a file failed.

    A file that changed while it was read has failed, as it may be incomplete.

    Args:
        engine: must have room for a stream.
        name: path or address of the audio.
        options: options of the stream.
        channels: as in `Recognizer.transcribe`.
        track: as in `open_audio`.
    """

    def transcribe(audio: AudioBlocks) -> Transcript:
        audio.block_seconds = _BLOCK_SECONDS
        collector = Collector()
        with engine.stream(options) as stream:
            for block in audio:
                stream.accept(block)
                collector.add(stream.poll())  # partials hold the whole text so far and must not pile up
            collector.add(stream.finish())
        if audio.changed:
            raise AudioError(f"{name}: {audio.warnings[-1]}.")
        return collector.transcript

    try:
        return transcribe_channels(name, transcribe, channels=channels, track=track)
    except LegatoError as error:
        return Result(name, None, str(error))
    except Exception as error:  # whatever it is, it concerns this file only
        return Result(name, None, f"{type(error).__name__}: {error}")


def transcribe_channels(
    name: str, transcribe: Callable[[AudioBlocks], Transcript], *, channels: Channels, track: Track = None
) -> Result:
    """Open a file, transcribe it, and merge the channels if each is transcribed separately.

    Args:
        name: path or address of the audio.
        transcribe: transcribes open audio.
        channels: as in `Recognizer.transcribe`.
        track: as in `open_audio`.

    Raises:
        AudioError: as for `open_audio`; and what `transcribe` raises.
    """
    numbers = range(channel_count(name)) if channels == "split" else [None if channels == "mix" else channels]
    parts: list[Transcript] = []
    for number in numbers:
        with open_audio(name, channel=number, track=track) as audio:
            parts.append(transcribe(audio))
    # What is wrong with a file is the same for all its channels.
    whole = merge_channels(parts) if channels == "split" else parts[0]
    return Result(name, replace(whole, partial=whole.partial or not audio.complete), warnings=tuple(audio.warnings))
