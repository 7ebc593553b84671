"""Deepgram's interface for live streams with turns, for voice agents: the WebSocket `/v2/listen`."""

import uuid
from collections.abc import Mapping, Sequence

from fastapi import APIRouter
from starlette.websockets import WebSocket

from legato.errors import EngineError, LegatoError
from legato.model.languages import AUTO
from legato.serve.core.container import Container
from legato.serve.core.conversation import Conversation
from legato.serve.core.options import compile_hints
from legato.serve.core.service import Service, service_of
from legato.serve.core.session import Session
from legato.serve.core.websocket import WebSocketConnection
from legato.serve.deepgram.flux_options import FluxOptions, flux_options
from legato.serve.deepgram.flux_turns import Turns
from legato.serve.deepgram.live import refuse_handshake
from legato.serve.deepgram.messages import Messages, read_command
from legato.serve.errors import ApiError, InvalidValueError, as_api_error
from legato.streaming.controls import Commit, SetEndpoint, SetLanguage, SetPhrases
from legato.types import Event

router = APIRouter()


@router.websocket("/v2/listen")
async def listen(websocket: WebSocket) -> None:
    """Serve Deepgram's interface for live streams with turns.

    The query may hold `encoding` (linear16, linear32, mulaw, alaw; without one a container is expected), `sample_rate`,
    `eot_threshold`, `eot_timeout_ms`, `eager_eot_threshold`, `keyterm` and `language_hint`. Messages are audio,
    `ForceEndTurn`, `Configure`, `KeepAlive` and `CloseStream`. A turn ends by silence, which is longer for a higher
    threshold. Options that are ignored are reported in a `Warning`.
    """
    service = service_of(websocket)
    request_id = str(uuid.uuid4())
    try:
        options = flux_options(websocket.query_params)
        stream_options = options.stream_options(service.settings.defaults)
        async with service.live.open("deepgram", options.audio_format or Container(), stream_options) as session:
            await FluxConversation(websocket, service, session, options, request_id).run()
    except ApiError as error:  # the stream could not be opened
        await refuse_handshake(websocket, error, Messages(request_id, service.settings.model, 1), request_id)


class FluxConversation(Conversation[str | bytes, str]):
    """One client and its session."""

    finishes_after_error = True

    def __init__(
        self, websocket: WebSocket, service: Service, session: Session, options: FluxOptions, request_id: str
    ) -> None:
        self._socket = WebSocketConnection(websocket, service.settings)
        super().__init__(self._socket, [session])
        self._service = service
        self._session = session
        self._options = options
        self._request_id = request_id
        self._turns = Turns(
            request_id, service.engine.recognizer, options.thresholds,
            detects=session.language == AUTO, hints=options.hints,
        )  # fmt: skip

    async def greet(self) -> None:
        """Accept the socket, and send `Connected` and the warnings."""
        await self._socket.accept("token", "bearer", headers=[(b"dg-request-id", self._request_id.encode())])
        await self.connection.send(self._turns.message("Connected"))
        for text in self._options.warnings:
            await self.connection.send(self._turns.warning("OPTION_IGNORED", text))
        await self._warn(self._session.warnings)

    async def obey(self, message: str | bytes) -> bool:
        """Accept audio or obey a command."""
        if isinstance(message, bytes):
            await self._session.accept(message)
            return True
        fields = read_command(message)
        match fields.get("type"):
            case "ForceEndTurn":
                await self._session.apply(Commit())
            case "Configure":
                await self._configure(fields)
            case "CloseStream":
                return False
            case "KeepAlive":
                pass
            case _:
                problem = "Only the messages ForceEndTurn, Configure, KeepAlive and CloseStream are understood."
                await self.connection.send(self._turns.warning("UNKNOWN_MESSAGE", problem))
        return True

    async def tell(self, event: Event, channel: int) -> None:
        """Send the messages about the turns."""
        for text in self._turns.messages(event):
            await self.connection.send(text)

    def report(self, error: ApiError) -> Sequence[str]:
        """Return an `Error`, which ends the connection."""
        return [self._turns.message("Error", code=(error.code or "error").upper(), description=error.message)]

    async def _configure(self, message: Mapping[str, object]) -> None:
        """Apply a `Configure`, all of it or nothing."""
        warnings: list[str] = []
        settings, recognizer = self._service.settings, self._service.engine.recognizer
        try:
            options = self._options.updated(message)
            language = recognizer.bundle.prompt_name(options.language_or(settings.language))
            if options.keyterms != self._options.keyterms:
                phrases, warnings = await compile_hints(list(options.keyterms), recognizer, settings, "keyterms")
                await self._session.apply(SetPhrases(phrases))
            if language != self._session.language:
                await self._session.apply(SetLanguage(language))
            if options.thresholds != self._options.thresholds:
                await self._session.apply(SetEndpoint(options.thresholds.endpoint))
        except EngineError:
            raise
        except (ApiError, LegatoError) as error:
            refusal = as_api_error(error)
            self.log_refused(refusal)
            code = (
                "INVALID_CONFIGURATION" if isinstance(refusal, InvalidValueError) else (refusal.code or "error").upper()
            )
            await self.connection.send(self._turns.message("ConfigureFailure", code=code, description=refusal.message))
            return
        self._options = options
        self._turns.thresholds, self._turns.hints = options.thresholds, options.hints
        self._turns.detects = language == AUTO
        more = {"language_hints": list(options.hints)} if options.hints else {}
        await self.connection.send(
            self._turns.message(
                "ConfigureSuccess", thresholds=options.thresholds.as_dict(), keyterms=list(options.keyterms), **more
            )
        )
        await self._warn(warnings)

    async def _warn(self, hints: Sequence[str]) -> None:
        for text in hints:
            await self.connection.send(self._turns.warning("KEYTERM_IGNORED", text))
