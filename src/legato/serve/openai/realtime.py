"""OpenAI's Realtime interface for transcription: `/v1/realtime`, as of today and as in its beta.

The audio is recognized while it arrives. Every `commit` and `clear` is answered: by messages about an item (see
`realtime_items`), or by an error.
"""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter
from starlette.websockets import WebSocket

from legato.errors import EngineError, LanguageError, LegatoError
from legato.serve.auth import SESSION, refuse
from legato.serve.core.conversation import Conversation
from legato.serve.core.fields import as_base64
from legato.serve.core.options import compile_hints
from legato.serve.core.service import Service, service_of
from legato.serve.core.session import Session
from legato.serve.core.websocket import WebSocketConnection
from legato.serve.errors import ApiError, ClientLeftError, StreamEndError, as_api_error
from legato.serve.openai.realtime_config import RealtimeConfig
from legato.serve.openai.realtime_items import Items, Request
from legato.serve.openai.realtime_messages import Messages, read_message
from legato.serve.openai.realtime_update import updated
from legato.streaming.controls import Commit, SetEndpoint, SetLanguage, SetPhrases
from legato.types import Event, Final

router = APIRouter()

_BETA_PROTOCOL = "openai-beta.realtime-v1"
_MAX_EVENT_ID = 512
_UNDERSTOOD = (
    "Send session.update, transcription_session.update, input_audio_buffer.append, input_audio_buffer.commit or "
    "input_audio_buffer.clear."
)


@router.websocket("/v1/realtime")
async def realtime(websocket: WebSocket) -> None:
    """Serve OpenAI's Realtime interface for transcription, as of today or (`OpenAI-Beta: realtime=v1`) as in its beta.

    Messages are `session.update` and `transcription_session.update`, `input_audio_buffer.append`, `.commit` and
    `.clear`. Audio is 16-bit PCM at 24 or 16 kHz, or G.711.
    """
    service = service_of(websocket)
    config = RealtimeConfig(model=websocket.query_params.get("model") or service.settings.model)
    if (session := websocket.scope.get(SESSION)) is not None:  # the client has a short-lived key for this session
        config = updated(config, session)
    try:
        config = config.resolved(service.settings.language, service.engine.recognizer.bundle)
        defaults = service.settings.defaults
        language = config.language or defaults.language
        options = replace(defaults, language=language, endpoint=config.endpoint, phrases=config.phrases)
        async with service.live.open("realtime", config.audio_format, options) as session:
            await RealtimeConversation(websocket, service, session, config).run()
    except (ApiError, LanguageError) as error:  # the stream could not be opened
        await refuse(websocket.scope, websocket.receive, websocket.send, as_api_error(error))


class RealtimeConversation(Conversation[str | bytes, str]):
    """One client and its session."""

    finishes_after_error = True

    def __init__(self, websocket: WebSocket, service: Service, session: Session, config: RealtimeConfig) -> None:
        self._socket = WebSocketConnection(websocket, service.settings)
        super().__init__(self._socket, [session])
        offered: list[str] = list(websocket.scope.get("subprotocols") or [])
        beta = "realtime=v1" in websocket.headers.get("openai-beta", "") or _BETA_PROTOCOL in offered
        self._transcribes = websocket.query_params.get("intent") == "transcription"
        self._service = service
        self._session = session
        self._config = config
        self._messages = Messages(beta=beta)
        self._items = Items(self._messages, service.engine.recognizer.bundle.language_tags)
        self._filled = False  # whether audio came after the last commit or clear

    async def greet(self) -> None:
        """Accept the socket, and send the configuration."""
        await self._socket.accept("realtime")
        old_type = self._messages.beta and self._transcribes
        warnings = self._session.warnings
        await self.connection.send(self._messages.session("created", self._config, warnings, old_type=old_type))

    async def obey(self, message: str | bytes) -> bool:
        """Answer a message; an error harms nothing unless it ends the stream."""
        event_id = None
        try:
            event = read_message(message)
            found = event.get("event_id")
            event_id = found[:_MAX_EVENT_ID] if isinstance(found, str) else None
            await self._obey(event, event_id)
        except (StreamEndError, ClientLeftError, EngineError):
            raise
        except (ApiError, LegatoError) as error:
            refusal = as_api_error(error)
            self.log_refused(refusal)
            await self.connection.send(self._messages.error(refusal, event_id))
        return True

    async def tell(self, event: Event, channel: int) -> None:
        """Send the messages about the items of the session."""
        for text in self._items.messages(event, self._config):
            await self.connection.send(text)
        if isinstance(event, Final):
            while (refusal := self._items.refusal()) is not None:  # the server had begun to shut down
                await self.connection.send(refusal)

    def report(self, error: ApiError) -> Sequence[str]:
        """Return an error; a fault of the server fails the open item too."""
        failed = [self._messages.failed(self._items.open_id, error)] if error.status >= 500 else []
        return [*failed, self._messages.error(error)]

    async def _obey(self, event: dict[str, object], event_id: str | None) -> None:
        match event.get("type"):
            case "input_audio_buffer.append":
                await self._append(event.get("audio"))
            case "input_audio_buffer.commit":
                if not self._filled:
                    message = "There is no audio to commit: no audio came after the last commit."
                    raise ApiError(400, message, code="input_audio_buffer_commit_empty")
                await self._commit("commit", event_id)
            case "input_audio_buffer.clear":
                await self._commit("clear", event_id)
            case "session.update" | "transcription_session.update" as kind:
                old_type = kind != "session.update"
                self._messages.beta |= old_type
                warnings = await self._update(event.get("session"))
                await self.connection.send(self._messages.session("updated", self._config, warnings, old_type=old_type))
            case str(kind):
                message = f"Messages {kind[:60]!r} are not understood: this server only transcribes. {_UNDERSTOOD}"
                raise ApiError(400, message, code="unknown_event", param="type")
            case _:
                raise ApiError(400, f"The message has no type. {_UNDERSTOOD}", code="unknown_event", param="type")

    async def _append(self, audio: object) -> None:
        if data := as_base64(audio, "audio"):
            self._filled = True
            await self._session.accept(data)

    async def _commit(self, request: Request, event_id: str | None) -> None:
        self._filled = False
        self._items.expect(request, event_id)
        await self._session.apply(Commit())

    async def _update(self, changes: object) -> list[str]:
        """Apply a new configuration, all of it or nothing; return what was ignored."""
        settings, recognizer = self._service.settings, self._service.engine.recognizer
        config = updated(self._config, changes).resolved(settings.language, recognizer.bundle)
        language = config.language or settings.language
        warnings: list[str] = []
        if config.phrases != self._config.phrases:
            phrases, warnings = await compile_hints(config.phrases, recognizer, settings, "prompt")
            await self._session.apply(SetPhrases(phrases))
        await self._session.set_audio_format(config.audio_format)
        if config.endpoint != self._config.endpoint:
            await self._session.apply(SetEndpoint(config.endpoint))
        if language != self._session.language:
            await self._session.apply(SetLanguage(language))
        self._config = config
        return warnings
