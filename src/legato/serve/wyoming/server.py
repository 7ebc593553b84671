"""Wyoming, the protocol of Home Assistant's voice assistants: events as lines of JSON with audio behind, over TCP.

A client may ask one thing after the other on a connection: `describe`, or `transcribe`, `audio-start`, `audio-chunk`
again and again, `audio-stop`. Text is told while it is spoken, and all of it in a `transcript` at the end. After an
error the connection is closed, for clients wait for nothing but a transcript.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_write_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Info
from wyoming.ping import Pong

from legato.errors import PhraseError
from legato.model.languages import AUTO
from legato.recognizer import Options
from legato.serve.core.audio_format import Wire
from legato.serve.core.service import Service
from legato.serve.core.session import Session
from legato.serve.core.sockets import converse
from legato.serve.errors import ApiError, as_api_error
from legato.serve.wyoming.events import LINE_BYTES, read_event, wire_of
from legato.streaming.collect import with_segments
from legato.types import Final, Partial, Segment

logger = logging.getLogger("legato.serve")

_BYE_SECONDS = 2.0


@asynccontextmanager
async def serve_wyoming(service: Service, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on a bound socket, which is closed behind the `async with` block with all its connections."""
    clients: set[asyncio.Task[None] | None] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(task := asyncio.current_task())
        try:
            await _Client(service, reader, writer).serve()
        except asyncio.CancelledError:  # the server has ended
            writer.transport.abort()
        finally:
            clients.discard(task)

    server = await asyncio.start_server(meet, sock=listener, limit=LINE_BYTES, backlog=2048)
    try:
        yield
    finally:
        server.close()
        running = [task for task in clients if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class _Client:
    """One connection."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._service = service
        self._settings = service.settings
        self._reader = reader
        self._writer = writer
        self._request: Mapping[str, Any] = {}

    async def serve(self) -> None:
        """Answer until the client leaves, is told an error, or the server ends."""
        try:
            while (event := await self._receive()) is not None:
                if not await self._answer(event):
                    break
        except OSError:  # the client left
            pass
        except Exception as error:
            refusal = as_api_error(error)
            if refusal is not error and refusal.status >= 500:
                logger.exception("a client of Wyoming could not be served")
            with contextlib.suppress(ApiError, OSError):
                await self._send(Error(refusal.message, refusal.code))
        finally:
            await self._hang_up()

    async def _answer(self, event: Event) -> bool:
        """Do what an event outside of audio asks for, if anything; tells whether the conversation goes on."""
        match event.type:
            case "describe":
                await self._send(describe(self._service))
            case "ping":
                await self._send(Pong(_text(event.data, "text")))
            case "transcribe":
                self._request = event.data
            case "audio-start":
                return await self._transcribe(wire_of(event.data), b"")
            case "audio-chunk":  # some clients do not announce it
                return await self._transcribe(wire_of(event.data), event.payload or b"")
            case "audio-stop":
                await self._conclude("", _text(self._request, "language"))
        return True

    async def _transcribe(self, wire: Wire, first: bytes) -> bool:
        """Recognise an utterance from its first bytes to `audio-stop`; tells whether the conversation goes on."""
        options = await self._options()
        async with self._service.live.open("wyoming", wire, options) as session:
            try:
                await converse(session, self._hear(session, wire, first), self._tell(session))
            except OSError:  # the client left
                return False
            return not session.drained

    async def _hear(self, session: Session, wire: Wire, first: bytes) -> None:
        await session.hear(first)
        while (event := await self._receive()) is not None:
            match event.type:
                case "audio-chunk":
                    if wire_of(event.data) != wire:
                        raise ApiError(400, "The audio changed its format in the middle.", code="invalid_audio")
                    await session.hear(event.payload or b"")
                case "audio-stop":
                    return
                case "audio-start":
                    raise ApiError(400, "'audio-start' came twice, without 'audio-stop'.", code="invalid_order")
                case _:
                    await self._answer(event)
        raise ConnectionResetError("The client left in the middle of its audio.")

    async def _tell(self, session: Session) -> None:
        """Send text while it comes, and the transcript."""
        segments: list[Segment] = []
        told = ""
        asked = None if session.language == AUTO else session.language
        await self._send(TranscriptStart(language=asked))
        async for event in session:
            if isinstance(event, Final):
                transcript = with_segments(segments, event.transcript)
                await self._conclude(transcript.text, transcript.language, started=True)
            elif not segments:  # nobody commits here, so there is one
                if len(event.text) > len(told):
                    await self._send(TranscriptChunk(event.text[len(told) :]))
                    told = event.text
                if not isinstance(event, Partial):
                    segments.append(event)

    async def _conclude(self, text: str, language: str | None, *, started: bool = False) -> None:
        if not started:
            await self._send(TranscriptStart(language=language))
        await self._send(Transcript(text, language=language))
        await self._send(TranscriptStop())
        self._request = {}

    async def _options(self) -> Options:
        """Give the options of the stream that the last `transcribe` asked for."""
        options: Options = {}
        if language := _text(self._request, "language"):
            options["language"] = language
        names = [*_texts(self._request, "transcript_names"), *_texts(self._request, "transcript_terms")]
        if names:
            options["phrases"] = await asyncio.to_thread(self._spellable, names)
        return options

    def _spellable(self, names: list[str]) -> list[str]:
        """Leave out what the model cannot write: an assistant sends the names of all that there is in the house."""
        found = []
        for name in list(dict.fromkeys(names))[: self._settings.max_phrases]:
            with contextlib.suppress(PhraseError):
                self._service.engine.recognizer.compile_phrases([name])
                found.append(name)
        return found

    async def _receive(self) -> Event | None:
        seconds = self._settings.idle_seconds
        try:
            async with asyncio.timeout(seconds):
                return await read_event(self._reader, self._settings.max_message_bytes)
        except TimeoutError:
            raise ApiError(408, f"Nothing came for {seconds:g} s.", code="idle") from None

    async def _send(self, message: Eventable) -> None:
        seconds = self._settings.idle_seconds
        try:
            async with asyncio.timeout(seconds):
                await async_write_event(message.event(), self._writer)
        except TimeoutError:
            self._writer.transport.abort()
            raise ApiError(408, f"The client read nothing for {seconds:g} s.", code="slow_reader") from None

    async def _hang_up(self) -> None:
        """Close the connection when the client has read what was sent, but do not wait long for that."""
        self._writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_BYE_SECONDS):
                await self._writer.wait_closed()
        self._writer.transport.abort()


def describe(service: Service) -> Info:
    """Say what is served."""
    recognizer = service.engine.recognizer
    legato = Attribution("Legato", "")
    model = AsrModel(
        name=service.settings.model,
        attribution=legato,
        installed=True,
        description=f"{recognizer.bundle.name}, {recognizer.bundle.precision}",
        version=None,
        languages=[language for language in recognizer.languages if language != AUTO],
    )
    program = AsrProgram(
        name="legato",
        attribution=legato,
        installed=True,
        description="Streaming multilingual speech recognition",
        version=version("legato"),
        models=[model],
        supports_transcript_streaming=True,
    )
    return Info(asr=[program])


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def _texts(data: Mapping[str, Any], name: str) -> list[str]:
    values = data.get(name)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
