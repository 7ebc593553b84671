"""One utterance of a Wyoming client, from its first audio to its transcript."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.error import Error
from wyoming.event import Event, Eventable

from legato.audio.pcm import AudioFormat
from legato.model.languages import AUTO
from legato.options import StreamOptions
from legato.serve.core.conversation import Conversation
from legato.serve.core.languages import requested_language
from legato.serve.core.service import Service
from legato.serve.core.session import Session
from legato.serve.errors import ApiError
from legato.serve.wyoming.connection import WyomingConnection
from legato.serve.wyoming.events import audio_format_of, text_of, texts_of
from legato.streaming.collect import Collector
from legato.types import Event as StreamEvent
from legato.types import Final


class Utterance(Conversation[Event, Eventable]):
    """One utterance and its session. The connection stays open for the next one, unless the server shuts down.

    Args:
        first: the event that began the utterance, if it holds audio.
        answer: answers events that are not part of the utterance.
    """

    finishes_after_error = False

    def __init__(
        self,
        connection: WyomingConnection,
        session: Session,
        audio_format: AudioFormat,
        first: Event | None,
        answer: Callable[[Event], Awaitable[None]],
    ) -> None:
        super().__init__(connection, [session], first)
        self._session = session
        self._format = audio_format
        self._answer = answer
        self._collector = Collector()
        self._told = ""

    async def greet(self) -> None:
        """Send `transcript-start`."""
        language = self._session.language
        await self.connection.send(TranscriptStart(language=None if language == AUTO else language))

    async def obey(self, message: Event) -> bool:
        """Accept audio, up to `audio-stop`."""
        match message.type:
            case "audio-chunk":
                if audio_format_of(message.data) != self._format:
                    raise ApiError(400, "The audio changed its format within an utterance.", code="invalid_audio")
                await self._session.accept(message.payload or b"")
            case "audio-stop":
                return False
            case "audio-start":
                raise ApiError(400, "'audio-start' came twice, without 'audio-stop'.", code="invalid_order")
            case _:
                await self._answer(message)
        return True

    async def tell(self, event: StreamEvent, channel: int) -> None:
        """Send text as it grows, and the transcript at the end."""
        first = not self._collector.segments
        self._collector.add([event])
        if isinstance(event, Final):
            transcript = self._collector.transcript
            for message in transcript_events(transcript.text, transcript.language):
                await self.connection.send(message)
        elif first and len(event.text) > len(self._told):  # there is only one segment, because nothing commits
            await self.connection.send(TranscriptChunk(event.text[len(self._told) :]))
            self._told = event.text

    def report(self, error: ApiError) -> Sequence[Eventable]:
        """Return an `error`."""
        return [Error(error.message, error.code)]

    async def conclude(self) -> None:
        """Close the connection only if the server shuts down or nothing comes from the client."""
        if self.drained or self.idle:
            await super().conclude()


def transcript_events(text: str, language: str | None) -> list[Eventable]:
    """Return the events that end an utterance."""
    return [Transcript(text, language=language), TranscriptStop()]


def stream_options(request: Mapping[str, Any], service: Service) -> StreamOptions:
    """Return the options of the stream that a `transcribe` asks for.

    Home Assistant sends the names of everything in the house. Those beyond the limit are left out.

    Args:
        service: has the defaults.
    """
    options = service.settings.defaults
    names = [*texts_of(request, "transcript_names"), *texts_of(request, "transcript_terms")]
    phrases = list(dict.fromkeys(names))[: service.settings.max_phrases]
    language = requested_language(text_of(request, "language")) or options.language
    return replace(options, language=language, phrases=phrases)


def prompt_of(request: Mapping[str, Any], service: Service) -> str | None:
    """Return the name of the language prompt that a `transcribe` asks for; None if the language is to be detected.

    Raises:
        LanguageError: the model has no such prompt.
    """
    prompt = service.engine.recognizer.bundle.prompt_name(stream_options(request, service).language)
    return None if prompt == AUTO else prompt
