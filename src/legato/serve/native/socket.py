"""The native protocol for live streams: audio in, events as JSON out. For the page at `/`, and for programs."""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.websockets import WebSocket

from legato.errors import AudioError, LanguageError
from legato.options import StreamOptions
from legato.serve.core.conversation import Conversation, disclosed
from legato.serve.core.languages import requested_language
from legato.serve.core.service import Service, service_of
from legato.serve.core.session import Session
from legato.serve.core.websocket import WebSocketConnection
from legato.serve.errors import ERROR, ApiError, ClientLeftError, IdleError, InvalidValueError, as_api_error
from legato.serve.native.messages import (
    CommitMessage,
    LanguageMessage,
    Start,
    error_line,
    event_line,
    read_fields,
    read_message,
    read_start,
)
from legato.serve.settings import Settings
from legato.streaming.controls import Commit, SetLanguage
from legato.text.formats import json_line
from legato.text.words import append_spoken
from legato.types import Event, Segment

router = APIRouter(prefix="/v1/stream")


@router.websocket("")
async def stream(websocket: WebSocket) -> None:
    """Recognize audio while it arrives.

    The options (`language`, `chunk_ms`, `encoding`, `sample_rate`, `channels`, `endpoint`, `phrases`) are in the query
    or, without a query, in a first message `{"type": "start", ...}`. All may be omitted. `{"type": "ready"}` answers.

    Binary messages are audio, by default `pcm_s16le` at 16 kHz. `{"type": "commit"}` closes the current segment and is
    always answered by one, with `"wait": true` after the word that is being spoken.
    `{"type": "language", "language": "de"}` continues in another language, and
    `{"type": "end"}` ends the audio; the rest of the events follow. The `warnings` of `ready` say which options were
    ignored, such as phrases that the model cannot spell.

    Events are `partial` with the text of the open segment so far, `segment` with its words when it is complete, `final`
    as the last, and `error`. A wrong message is answered by an error and ignored; after any other error the socket is
    closed.
    """
    service = service_of(websocket)
    connection = WebSocketConnection(websocket, service.settings)
    try:
        # Accepted before the options are read: a page in a browser cannot see why a WebSocket was refused.
        await connection.accept("legato", "token", "bearer")
        start, first = await _start(websocket, connection)
        options = start.options(service.settings)
        async with service.live.open("native", start.audio_format(), options) as session:
            session.warnings += start.warnings
            await NativeConversation(connection, service, session, options, first).run()
    except ClientLeftError:
        return
    except IdleError as error:
        await connection.close(1000, error.close_reason)
    except Exception as error:  # the stream could not be opened
        refusal = disclosed(error)
        websocket.scope[ERROR] = refusal
        await connection.close(refusal.close_code, refusal.close_reason, error_line(refusal))


async def _start(websocket: WebSocket, connection: WebSocketConnection) -> tuple[Start, bytes | None]:
    """Return the options, and the first message if it is audio already."""
    if websocket.query_params:
        return read_fields(websocket.query_params, Start), None
    message = await connection.receive()
    return (Start(), message) if isinstance(message, bytes) else (read_start(message), None)


class NativeConversation(Conversation[str | bytes, str]):
    """One client and its session."""

    finishes_after_error = False

    def __init__(
        self,
        connection: WebSocketConnection,
        service: Service,
        session: Session,
        options: StreamOptions,
        first: bytes | None,
    ) -> None:
        super().__init__(connection, [session], first)
        self._settings: Settings = service.settings
        self._session = session
        self._options = options
        self._text = ""
        self._language: str | None = None

    async def greet(self) -> None:
        """Send `ready`, with the effective options."""
        warnings = {"warnings": self._session.warnings} if self._session.warnings else {}
        ready = {
            "type": "ready", "id": self._session.id, "model": self._settings.model, "language": self._session.language,
            "chunk_ms": self._options.chunk_ms, **warnings,
        }  # fmt: skip
        await self.connection.send(json_line(ready))

    async def obey(self, message: str | bytes) -> bool:
        """Accept audio or obey a command; a wrong one is reported and ignored."""
        try:
            return await self._obey(message)
        except (AudioError, LanguageError, InvalidValueError) as error:
            self.log_refused(as_api_error(error))
            await self.connection.send(error_line(error))
            return True

    async def tell(self, event: Event, channel: int) -> None:
        """Send the event."""
        if isinstance(event, Segment):
            self._text = append_spoken(self._text, event)
            self._language = event.language or self._language
        await self.connection.send(event_line(event, self._settings, self._text, self._language))

    def report(self, error: ApiError) -> Sequence[str]:
        """Return the error."""
        return [error_line(error)]

    async def _obey(self, message: str | bytes) -> bool:
        if isinstance(message, bytes):
            await self._session.accept(message)
            return True
        command = read_message(message)
        if isinstance(command, CommitMessage):
            await self._session.apply(Commit(command.wait))
        elif isinstance(command, LanguageMessage):
            language = requested_language(command.language) or self._settings.language
            await self._session.apply(SetLanguage(language))
        else:
            return False
        return True
