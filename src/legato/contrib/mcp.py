"""A server of the Model Context Protocol: an assistant transcribes files, listens, and asks for languages.

It speaks over standard input and output with the program that started it, which has the rights of its user.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from legato.audio.microphone import Microphone
from legato.errors import LegatoError
from legato.model.languages import english_name
from legato.recognizer import Recognizer
from legato.types import Samples, Transcript
from legato.version import __version__

#: The longest time that one call listens, in seconds.
MOST_SECONDS = 600


@dataclass(frozen=True)
class SpokenSegment:
    """A part of the text: seconds of its start and end, and the words."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class SpokenText:
    """What was said: the text, its language as the model detected it, seconds of audio, and segments with times.

    The warning says that the model was not trained on the language that was asked for.
    """

    text: str
    language: str | None
    duration: float
    segments: list[SpokenSegment]
    warning: str | None


@dataclass(frozen=True)
class Language:
    """A language of the model: the tag that the other tools accept, and its English name."""

    tag: str
    name: str


def create_server(recognizer: Recognizer) -> MCPServer[object]:
    """Return the server with its three tools."""
    server: MCPServer[object] = MCPServer(
        "legato",
        version=__version__,
        instructions="Recognizes speech on this computer. No audio leaves it.",
        log_level="WARNING",
    )

    def spoken(transcript: Transcript, language: str) -> SpokenText:
        segments = [SpokenSegment(round(s.start, 2), round(s.end, 2), s.text) for s in transcript.segments]
        warning = recognizer.bundle.language_warning(language)
        return SpokenText(transcript.text, transcript.language, round(transcript.duration, 2), segments, warning)

    @server.tool()
    def transcribe(source: str, language: str = "auto") -> SpokenText:
        """Transcribe a recording.

        Args:
            source: path of an audio or video file on this computer, or an http(s) address of one.
            language: a language of `list_languages`, or `auto` to detect it.
        """
        with _explained():
            return spoken(recognizer.transcribe(source, language=language), language)

    @server.tool()
    def listen(seconds: float = 10.0, language: str = "auto") -> SpokenText:
        """Record from the default microphone for a while, and return what was said.

        Args:
            seconds: how long to listen, at most 600.
            language: a language of `list_languages`, or `auto` to detect it.
        """
        if not 0 < seconds <= MOST_SECONDS:
            raise ToolError(f"seconds must be more than 0 and at most {MOST_SECONDS}, not {seconds:g}.")
        with _explained():
            return spoken(recognizer.transcribe(_record(seconds), language=language), language)

    @server.tool()
    def list_languages() -> list[Language]:
        """List the languages that the model recognizes."""
        return [Language(tag, english_name(tag).title()) for tag in recognizer.bundle.spoken_languages]

    return server


def run(recognizer: Recognizer) -> None:
    """Serve over standard input and output until the client closes them."""
    create_server(recognizer).run("stdio")


def _record(seconds: float) -> Iterator[Samples]:
    """Yield what the default microphone records."""
    with Microphone() as microphone:
        ends = time.monotonic() + seconds
        for block in microphone:
            yield block
            if time.monotonic() >= ends:
                return


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error of Legato into one that the assistant receives as a message."""
    try:
        yield
    except LegatoError as error:
        raise ToolError(str(error)) from error
