"""OpenAI's Realtime interface for transcription: `/v1/realtime`, in its present shape and in that of its beta.

The audio is recognised while it comes. So the `delta` events of an item come from its first word on, before the item is
committed, and `completed` closely behind the commit. One task alone tells what became of the audio, in its order:

    [speech_started] delta... [speech_stopped] committed, item, completed

Every `commit` and `clear` is answered: by these, or by an error.
"""

import asyncio
import base64
import binascii
import itertools
import json
import logging
import uuid
from collections import deque
from typing import Literal

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from legato.errors import EngineError, LegatoError
from legato.recognizer import Options
from legato.serve.auth import refuse, subprotocol_for
from legato.serve.core.service import Service, service_of
from legato.serve.core.session import Session
from legato.serve.core.sockets import converse, part, receive, send
from legato.serve.errors import ApiError, as_api_error, shutting_down
from legato.serve.openai.realtime_config import RealtimeConfig
from legato.types import Partial, Segment

logger = logging.getLogger("legato.serve")
router = APIRouter()

_INTERFACE = "realtime"
_BETA_PROTOCOL = "openai-beta.realtime-v1"
_MAX_EVENT_ID = 512
_ENDING = frozenset({"too_long", "too_fast", "slow_reader"})
"""Codes of errors behind which a session does not go on."""


@router.websocket("/v1/realtime")
async def realtime(websocket: WebSocket) -> None:
    """OpenAI's Realtime interface for transcription, as of today or (`OpenAI-Beta: realtime=v1`) as in its beta.

    Understood are `session.update` and `transcription_session.update`, `input_audio_buffer.append`, `.commit` and
    `.clear`. 16-bit PCM of 24 or 16 kHz, or G.711.
    """
    service = service_of(websocket)
    config = RealtimeConfig(model=websocket.query_params.get("model") or service.settings.model)
    try:
        async with service.live.open(_INTERFACE, config.wire, Options(endpoint=config.rules)) as session:
            await Conversation(websocket, service, session, config).run()
    except ApiError as error:
        if websocket.application_state is WebSocketState.CONNECTING:
            await refuse(websocket.scope, websocket.receive, websocket.send, error)


class Conversation:
    """One client and its session."""

    def __init__(self, websocket: WebSocket, service: Service, session: Session, config: RealtimeConfig) -> None:
        self._websocket = websocket
        self._service = service
        self._session = session
        self._config = config
        self._identifier = f"sess_{uuid.uuid4().hex[:20]}"
        self._numbers = itertools.count(1)
        asked = websocket.headers.get("openai-beta", "")
        offered: list[str] = list(websocket.scope.get("subprotocols") or [])
        self._beta = "realtime=v1" in asked or _BETA_PROTOCOL in offered
        self._writing = asyncio.Lock()
        # What the client asked for and the stream has not answered yet, in order, with the client's event ids.
        self._marks: deque[tuple[Literal["commit", "clear"], str | None]] = deque()
        self._filled = False  # audio came since the last of them
        self._trouble: ApiError | None = None
        self._last_item: str | None = None
        self._begin_turn()

    async def run(self) -> None:
        """Speak with the client until one of both is done.

        Raises:
            ApiError: it did not end well; the client knows.
        """
        try:
            await self._websocket.accept(subprotocol_for(self._websocket, "realtime"))
            await self._tell_session("created")
            await converse(self._session, self._read(), self._write())
        except WebSocketDisconnect:
            return
        except Exception as error:
            self._trouble = as_api_error(error)
            if self._trouble.status >= 500:
                logger.exception("A conversation failed")
                await self._fail_item(self._trouble)
        trouble = self._trouble
        if trouble is None:  # only a server that ends comes here by itself
            await part(self._websocket, 1001, "The server is shutting down.")
            return
        await part(self._websocket, trouble.close_code, trouble.code or "", self._error_event(trouble, None))
        raise trouble

    # From the client

    async def _read(self) -> None:
        """Obey the client's messages; what was heard before a fatal error is recognised all the same."""
        try:
            while True:
                async with self._writing:  # a client that does not read is not heard either
                    pass
                await self._handle(await receive(self._websocket, self._service.settings.idle_seconds))
        except ApiError as error:
            if error.code == "slow_reader":  # nobody reads what could still be told
                raise
            self._trouble = error

    async def _handle(self, message: str | bytes) -> None:
        event_id = None
        try:
            event = _parse(message)
            found = event.get("event_id")
            event_id = found[:_MAX_EVENT_ID] if isinstance(found, str) else None
            await self._obey(event, event_id)
        except (ApiError, LegatoError) as error:
            told = as_api_error(error)
            if isinstance(error, EngineError) or told.code in _ENDING:
                raise
            await self._send_text(self._error_event(told, event_id))

    async def _obey(self, event: dict[str, object], event_id: str | None) -> None:
        kind = event.get("type")
        if not isinstance(kind, str):
            raise ApiError(400, "The message has no type.", code="unknown_event", param="type")
        if kind == "input_audio_buffer.append":
            await self._append(event.get("audio"))
        elif kind == "input_audio_buffer.commit":
            if not self._filled:
                raise ApiError(
                    400, "There is no audio to commit: none came since the last commit.",
                    code="input_audio_buffer_commit_empty",
                )  # fmt: skip
            await self._mark("commit", event_id)
        elif kind == "input_audio_buffer.clear":
            await self._mark("clear", event_id)
        elif kind in {"session.update", "transcription_session.update"}:
            self._beta |= kind != "session.update"
            await self._update(event.get("session"))
            await self._tell_session("updated", old_type=kind != "session.update")
        else:
            raise ApiError(
                400, f"Messages {kind[:60]!r} are not understood: this server transcribes, and does nothing else.",
                code="unknown_event", param="type",
            )  # fmt: skip

    async def _append(self, audio: object) -> None:
        try:
            if not isinstance(audio, str):
                raise ValueError
            data = base64.b64decode(audio, validate=True)
        except (ValueError, binascii.Error):
            raise ApiError(400, "The audio is not base64.", code="invalid_value", param="audio") from None
        if data:
            self._filled = True
            await self._session.hear(data)

    async def _mark(self, kind: Literal["commit", "clear"], event_id: str | None) -> None:
        self._filled = False
        self._marks.append((kind, event_id))
        await self._session.commit()

    async def _update(self, given: object) -> None:
        """Take up a new configuration, all of it or nothing."""
        config = self._config.updated(given)
        settings, recognizer = self._service.settings, self._service.engine.recognizer
        language = config.language or settings.language
        recognizer.bundle.prompt_slot(language)
        if config.phrases != self._config.phrases:
            phrases = config.phrases
            if len(phrases) > settings.max_phrases:
                raise ApiError(400, f"Of phrases at most {settings.max_phrases} can be given.", code="too_many_phrases")
            self._session.set_phrases(await asyncio.to_thread(recognizer.compile_phrases, phrases))
        await self._session.set_wire(config.wire)
        if config.rules != self._config.rules:
            self._session.set_endpoint(config.rules)
        if language != self._session.language:
            self._session.set_language(language)
        self._config = config

    # To the client

    async def _write(self) -> None:
        """Tell what becomes of the audio."""
        async for event in self._session:
            if self._marks and self._marks[0][0] == "clear" and not _ends(event):
                self._begin_turn()  # what is being cleared is told no more
            elif isinstance(event, Partial):
                await self._grow(event)
            elif isinstance(event, Segment):
                await self._close_turn(event)
        while self._marks:  # they came when the server had begun to shut down
            await self._send_text(self._error_event(shutting_down(), self._marks.popleft()[1]))

    def _begin_turn(self) -> None:
        self._item = f"item_{uuid.uuid4().hex[:20]}"
        self._told = ""
        self._speaking = False

    async def _grow(self, event: Partial) -> None:
        if not event.text:  # a language tag
            return
        turns = self._config.turns
        if turns is not None and not self._speaking:
            first = round(event.tokens[0].time * 1000) - turns.padding_ms if event.tokens else 0
            await self._send("input_audio_buffer.speech_started", audio_start_ms=max(0, first), item_id=self._item)
            self._speaking = True
        await self._tell_more(event.text)

    async def _tell_more(self, text: str) -> None:
        if len(text) > len(self._told):
            delta, self._told = text[len(self._told) :], text
            await self._send(
                "conversation.item.input_audio_transcription.delta", item_id=self._item, content_index=0, delta=delta
            )

    async def _close_turn(self, segment: Segment) -> None:
        kind = self._marks.popleft()[0] if segment.reason == "commit" and self._marks else None
        if kind == "clear":
            self._begin_turn()
            await self._send("input_audio_buffer.cleared")
            return
        if kind is None and not segment.text:
            self._begin_turn()
            return
        await self._tell_more(segment.text)
        item = self._item
        if self._speaking and kind is None:
            await self._send("input_audio_buffer.speech_stopped", audio_end_ms=round(segment.end * 1000), item_id=item)
        before, self._last_item = self._last_item, item
        await self._send("input_audio_buffer.committed", item_id=item, previous_item_id=before)
        message = {
            "id": item, "object": "realtime.item", "type": "message", "status": "completed", "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }  # fmt: skip
        for name in ("created",) if self._beta else ("added", "done"):
            await self._send(f"conversation.item.{name}", previous_item_id=before, item=message)
        await self._send(
            "conversation.item.input_audio_transcription.completed",
            item_id=item, content_index=0, transcript=segment.text, logprobs=None,
            usage={"type": "duration", "seconds": round(segment.end - segment.start, 3)},
        )  # fmt: skip
        self._begin_turn()

    async def _fail_item(self, error: ApiError) -> None:
        try:
            await self._send(
                "conversation.item.input_audio_transcription.failed",
                item_id=self._item, content_index=0, error=error.as_dict()["error"],
            )  # fmt: skip
        except (ApiError, WebSocketDisconnect):
            return

    async def _tell_session(self, what: str, *, old_type: bool | None = None) -> None:
        """Tell the configuration, under the name and in the shape that the client knows."""
        transcription = self._websocket.query_params.get("intent") == "transcription"
        old_type = self._beta and transcription if old_type is None else old_type
        session = self._config.as_old(self._identifier) if self._beta else self._config.as_new(self._identifier)
        await self._send(f"{'transcription_session' if old_type else 'session'}.{what}", session=session)

    async def _send(self, kind: str, **fields: object) -> None:
        await self._send_text(self._event(kind, **fields))

    async def _send_text(self, text: str) -> None:
        async with self._writing:
            await send(self._websocket, text, self._service.settings.idle_seconds)

    def _event(self, kind: str, **fields: object) -> str:
        return json.dumps({"type": kind, "event_id": f"event_{self._identifier[5:]}_{next(self._numbers)}", **fields})

    def _error_event(self, error: ApiError, event_id: str | None) -> str:
        return self._event(
            "error",
            error={
                "type": error.kind, "code": error.code, "message": error.message, "param": error.param,
                "event_id": event_id,
            },
        )  # fmt: skip


def _parse(message: str | bytes) -> dict[str, object]:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        raise ApiError(400, "The message is not JSON.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise ApiError(400, "The message is not a JSON object.", code="invalid_json")
    return event


def _ends(event: object) -> bool:
    """Whether an event is the answer to a commit."""
    return isinstance(event, Segment) and event.reason == "commit"
