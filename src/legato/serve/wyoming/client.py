"""One Wyoming client: it may ask for several things, one after the other, on its connection."""

from collections.abc import Mapping
from typing import Any

from wyoming.asr import TranscriptStart
from wyoming.error import Error
from wyoming.event import Event
from wyoming.ping import Pong

from legato.serve.core.conversation import disclosed, log_refusal
from legato.serve.core.service import Service
from legato.serve.errors import ClientLeftError, IdleError
from legato.serve.wyoming.connection import WyomingConnection
from legato.serve.wyoming.events import audio_format_of, text_of
from legato.serve.wyoming.info import describe
from legato.serve.wyoming.utterance import Utterance, prompt_of, stream_options, transcript_events


class Client:
    """A client and its requests."""

    def __init__(self, service: Service, connection: WyomingConnection) -> None:
        self._service = service
        self._connection = connection
        self._request: Mapping[str, Any] = {}

    async def serve(self) -> None:
        """Answer until the client leaves, an error occurs, or the server shuts down."""
        try:
            while not self._connection.closed:
                await self._begin(await self._connection.receive())
        except (ClientLeftError, IdleError):
            pass
        except Exception as error:
            refusal = disclosed(error)
            log_refusal("wyoming", refusal)
            await self._connection.close(refusal.close_code, "", Error(refusal.message, refusal.code))
        finally:
            await self._connection.close()

    async def _begin(self, event: Event) -> None:
        """Answer an event outside of an utterance; audio begins one, announced or not."""
        match event.type:
            case "audio-start":
                await self._transcribe(event, None)
            case "audio-chunk":
                await self._transcribe(event, event)
            case "audio-stop":
                language = prompt_of(self._request, self._service)
                for message in (TranscriptStart(language=language), *transcript_events("", language)):
                    await self._connection.send(message)
                self._request = {}
            case _:
                await self._answer(event)

    async def _answer(self, event: Event) -> None:
        """Answer an event that is not about audio; unknown ones are ignored."""
        match event.type:
            case "describe":
                await self._connection.send(describe(self._service))
            case "ping":
                await self._connection.send(Pong(text_of(event.data, "text")))
            case "transcribe":
                self._request = event.data

    async def _transcribe(self, event: Event, first: Event | None) -> None:
        audio_format = audio_format_of(event.data)
        options = stream_options(self._request, self._service)
        async with self._service.live.open("wyoming", audio_format, options) as session:
            await Utterance(self._connection, session, audio_format, first, self._answer).run()
        self._request = {}
