"""Deepgram's interface for live streams: the WebSocket `/v1/listen`."""

import hashlib
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocket

from legato.audio.pcm import AudioFormat
from legato.errors import EngineError, LegatoError
from legato.model.languages import AUTO
from legato.serve.core.container import Container
from legato.serve.core.conversation import Conversation
from legato.serve.core.fields import as_texts
from legato.serve.core.options import compile_hints
from legato.serve.core.service import Service, service_of
from legato.serve.core.session import Session
from legato.serve.core.websocket import WebSocketConnection
from legato.serve.deepgram.channel import Channel
from legato.serve.deepgram.messages import Messages, read_command
from legato.serve.deepgram.options import ListenOptions, listen_options
from legato.serve.errors import ERROR, ApiError, as_api_error
from legato.serve.logs import log_event
from legato.streaming.controls import Commit, SetEndpoint, SetPhrases
from legato.types import Event, Final

router = APIRouter()

_FILES_ONLY = ("replace", "search")


@router.websocket("/v1/listen")
async def listen(websocket: WebSocket) -> None:
    """Serve Deepgram's interface for live streams.

    The query may hold `encoding` (linear16, mulaw, alaw; without one a container is expected), `sample_rate`,
    `channels`, `multichannel`, `language`, `interim_results`, `endpointing`, `utterance_end_ms`, `vad_events`,
    `keyterm` and `keywords`. Messages are audio, `KeepAlive`, `Finalize`, `Configure` and `CloseStream`. The `warnings`
    of the last message, `Metadata`, say which options were ignored, such as keyterms that the model cannot spell.
    """
    service = service_of(websocket)
    request_id = str(uuid.uuid4())
    try:
        options = listen_options(websocket.query_params)
        if options.warnings:
            log_event("options ignored", interface="deepgram", warnings=options.warnings)
        stream_options = options.stream_options(service.settings.defaults)
        async with AsyncExitStack() as stack:
            sessions = [
                await stack.enter_async_context(service.live.open("deepgram", each, stream_options))
                for each in _audio_formats(options)
            ]
            await DeepgramConversation(websocket, service, sessions, options, request_id).run()
    except ApiError as error:  # a stream could not be opened
        await refuse_handshake(websocket, error, Messages(request_id, service.settings.model, 1), request_id)


def _audio_formats(options: ListenOptions) -> list[AudioFormat | Container]:
    """Return the format of every channel that is recognized separately."""
    form = options.audio_format
    if form is None or not options.multichannel:
        return [form or Container()]
    return [AudioFormat(form.encoding, form.rate, form.channels, channel) for channel in range(form.channels)]


async def refuse_handshake(websocket: WebSocket, error: ApiError, messages: Messages, request_id: str) -> None:
    """Answer the opening of a connection with an error, as Deepgram does."""
    websocket.scope[ERROR] = error
    headers = {**error.headers, "dg-request-id": request_id, "dg-error": error.header}
    await websocket.receive()
    await websocket.send_denial_response(JSONResponse(messages.refusal(error), error.status, headers))


class DeepgramConversation(Conversation[str | bytes, str]):
    """One client and its sessions, one per channel that is recognized separately."""

    finishes_after_error = True

    def __init__(
        self,
        websocket: WebSocket,
        service: Service,
        sessions: Sequence[Session],
        options: ListenOptions,
        request_id: str,
    ) -> None:
        self._socket = WebSocketConnection(websocket, service.settings)
        super().__init__(self._socket, sessions)
        self._service = service
        self._request_id = request_id
        self._messages = Messages(request_id, service.settings.model, len(sessions))
        self._messages.warnings = [*options.warnings, *sessions[0].warnings]
        if options.multichannel and options.audio_format is None:
            self._messages.warnings.append("multichannel is ignored: the channels of a live container are averaged.")
        self._messages.warnings += [
            f"{name} is ignored: it is for files." for name in _FILES_ONLY if websocket.query_params.get(name)
        ]
        recognizer = service.engine.recognizer
        self._channels = [
            Channel(n, options, self._messages, recognizer, detects=session.language == AUTO)
            for n, session in enumerate(sessions)
        ]
        self._unfinished = len(sessions)
        self._audio = hashlib.sha256()

    async def greet(self) -> None:
        """Accept the socket."""
        await self._socket.accept("token", "bearer", headers=[(b"dg-request-id", self._request_id.encode())])

    async def obey(self, message: str | bytes) -> bool:
        """Accept audio or obey a command; an empty message means the same as `CloseStream`, as in older clients."""
        if not message:
            return False
        if isinstance(message, str):
            return await self._obey(message)
        self._audio.update(message)
        for session in self.sessions:
            await session.accept(message)
        return True

    async def tell(self, event: Event, channel: int) -> None:
        """Send the messages about a channel, and `Metadata` after the last event of all."""
        for text in self._channels[channel].messages(event):
            await self.connection.send(text)
        if (endpoint := self._channels[channel].next_endpoint(event)) is not None:
            await self.sessions[channel].apply(SetEndpoint(endpoint))
        if isinstance(event, Final):
            self._unfinished -= 1
            if not self._unfinished:
                first = self.sessions[0]
                digest = self._audio.hexdigest()
                await self.connection.send(self._messages.metadata(digest, first.accepted_seconds, first.language))

    def report(self, error: ApiError) -> Sequence[str]:
        """Return an `Error`."""
        return [self._messages.error(error.code or "", error.message)]

    async def _obey(self, text: str) -> bool:
        message = read_command(text)
        match message.get("type"):
            case "Finalize":
                await self._finalize(message.get("channel"), text)
            case "Configure":
                await self._configure(message.get("keyterms"))
            case "CloseStream":
                return False
            case "KeepAlive":
                pass
            case _:
                problem = "Only the messages KeepAlive, Finalize, Configure and CloseStream are understood."
                await self.connection.send(self._messages.error("SchemaError", problem, text))
        return True

    async def _finalize(self, channel: object, text: str) -> None:
        """Close the open segment of one channel, or of all."""
        for number, session in enumerate(self.sessions):
            if channel is None or channel == number:
                await session.apply(Commit())
        if channel is not None and channel not in list(range(len(self.sessions))):
            problem = f"channel: It must be a whole number from 0 to {len(self.sessions) - 1}, or missing for all."
            await self.connection.send(self._messages.error("SchemaError", problem, text))

    async def _configure(self, keyterms: object) -> None:
        """Continue with other phrases."""
        terms: list[str] | None = None
        warnings: list[str] = []
        try:
            if keyterms is not None:
                terms = as_texts(keyterms, "keyterms")
                recognizer, settings = self._service.engine.recognizer, self._service.settings
                phrases, warnings = await compile_hints(terms, recognizer, settings, "keyterms")
                for session in self.sessions:
                    await session.apply(SetPhrases(phrases))
        except EngineError:
            raise
        except (ApiError, LegatoError) as error:
            refusal = as_api_error(error)
            self.log_refused(refusal)
            await self.connection.send(self._messages.not_configured(refusal))
        else:
            await self.connection.send(self._messages.configured(terms, warnings))
