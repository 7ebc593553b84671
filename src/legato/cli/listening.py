"""Live audio through a stream to the screen and to files; what fails is reported, and everything else continues."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from legato.audio.live import LiveSource, PlayedSource
from legato.cli.console import say, say_error
from legato.cli.savers import Saver
from legato.cli.screen import Screen
from legato.errors import AudioError, LegatoError, OutputError
from legato.streaming.stream import Stream
from legato.types import Event, Final


@contextmanager
def open_source(name: str | None, device: str | None) -> Iterator[LiveSource]:
    """Open a file, address or standard input by its name, or a microphone.

    Raises:
        MicrophoneError: the microphone cannot be opened.
    """
    if name is not None:
        yield PlayedSource(name)
        return
    from legato.audio.microphone import Microphone

    with Microphone(device) as microphone:
        say(f"Listening to {microphone.device.name}; Ctrl-C ends it.")
        yield microphone


class Listening:
    """Recognizes a live source until it ends.

    Args:
        savers: write audio and text; one that fails is dropped.

    Attributes:
        failed: something could not be shown or saved.
        audio_error: why the audio broke off; None if it ended.
    """

    def __init__(self, stream: Stream, screen: Screen, savers: list[Saver]) -> None:
        self._stream, self._screen, self._savers = stream, screen, savers
        self.failed = False
        self.audio_error: AudioError | None = None

    def run(self, sound: LiveSource) -> None:
        """Recognize until the source ends.

        Raises:
            AudioError: the source had no audio, or failed before it had any.
        """
        received = False
        try:
            for block in sound:
                received = True
                self._save(lambda saver: saver.add_audio(block))  # noqa: B023 - called at once
                self._take(self._stream.accept(block))
        except AudioError as error:
            if not received:
                raise
            self.audio_error = error
        if not received:
            raise AudioError("no audio arrived: 0 samples.")
        events = self._stream.finish()
        self._take(events)
        final = events[-1]
        assert isinstance(final, Final)
        self._save(lambda saver: saver.finish(final.transcript))

    def _take(self, events: list[Event]) -> None:
        try:
            self._screen.add(events)
        except OutputError as error:
            self._report(error)
        self._save(lambda saver: saver.add(events, self._stream))

    def _save(self, save: Callable[[Saver], None]) -> None:
        for saver in list(self._savers):
            try:
                save(saver)
            except OutputError as error:
                self._savers.remove(saver)
                self._report(error)

    def _report(self, error: LegatoError) -> None:
        self.failed = True
        say_error(error)
