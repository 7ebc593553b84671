"""Our own interface: audio in, events as JSON out. For the page at `/`, and for programs written for Legato."""

import contextlib

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from legato.errors import AudioError, LanguageError
from legato.serve.auth import subprotocol_for
from legato.serve.core.service import Service, service_of
from legato.serve.core.session import Session
from legato.serve.core.sockets import converse, receive, send
from legato.serve.errors import ApiError, as_api_error, logger
from legato.serve.native.messages import (
    Commit,
    End,
    Start,
    error_line,
    event_line,
    read_fields,
    read_message,
    read_start,
)
from legato.serve.settings import Settings
from legato.text.formats import WRITERS, json_line
from legato.types import Segment

router = APIRouter(prefix="/v1/stream", tags=["Legato"])


class Choices(BaseModel):
    """What clients may ask for.

    Attributes:
        model: name of the model.
        languages: those that the model can say it heard, and `auto`.
        chunk_ms: how far ahead the model may look: what it was trained for.
        formats: names for `/v1/formats`.
        language_default, chunk_ms_default: what is taken where a client says nothing.
    """

    model: str
    languages: list[str]
    chunk_ms: list[int]
    formats: list[str]
    language_default: str
    chunk_ms_default: int


@router.get("", summary="What may be asked for")
def choices(request: Request) -> Choices:
    """Name the model, its languages and chunk sizes, and the formats that segments can be written in."""
    service = service_of(request)
    settings, bundle = service.settings, service.engine.recognizer.bundle
    heard = sorted(set(bundle.language_tags.values()) & set(bundle.prompts)) or sorted(set(bundle.prompts) - {"auto"})
    return Choices(
        model=settings.model,
        languages=[*(["auto"] if "auto" in bundle.prompts else []), *heard],
        chunk_ms=sorted(round((context + 1) * bundle.frame_seconds * 1000) for context in bundle.right_contexts),
        formats=list(WRITERS),
        language_default=settings.language,
        chunk_ms_default=settings.chunk_ms,
    )


@router.websocket("")
async def stream(websocket: WebSocket) -> None:
    """Recognise audio while it comes.

    The options (`language`, `chunk_ms`, `encoding`, `sample_rate`, `channels`, `endpoint`, `phrases`) come in the query
    or, without one, in a first message `{"type": "start", ...}`; all may be left out. `{"type": "ready"}` answers.

    Binary messages are audio, `pcm_s16le` at 16 kHz if nothing else is said. `{"type": "commit"}` ends the segment and
    is always answered by one, `{"type": "language", "language": "de"}` goes on in another language, and behind
    `{"type": "end"}` comes the rest of the events.

    Events are `partial` with the text of the open segment so far, `segment` with its words when it is complete, `final`
    as the last, and `error`, after which the socket is closed unless only that message was passed over.
    """
    # Accepted before anything is looked at: a page in a browser is not told why a WebSocket was refused.
    await websocket.accept(subprotocol_for(websocket, "legato", "token", "bearer"))
    service = service_of(websocket)
    try:
        await _serve(websocket, service)
    except WebSocketDisconnect:
        return
    except Exception as error:
        told = as_api_error(error)
        if told.status >= 500 and not isinstance(error, ApiError):
            logger.exception("a stream failed")
        with contextlib.suppress(ApiError, WebSocketDisconnect, RuntimeError):
            await send(websocket, error_line(told), service.settings.idle_seconds)
            await websocket.close(told.close_code, told.code)


async def _serve(websocket: WebSocket, service: Service) -> None:
    settings = service.settings
    start, audio = Start(), b""
    if websocket.query_params:
        start = read_fields(websocket.query_params, Start)
    else:
        first = await receive(websocket, settings.idle_seconds)
        if isinstance(first, bytes):
            audio = first
        else:
            start = read_start(first)
    options = start.options(settings)
    async with service.live.open("plain", start.wire(), options) as session:
        ready = {"type": "ready", "id": session.id, "model": settings.model, "language": session.language}
        await send(websocket, json_line({**ready, "chunk_ms": options["chunk_ms"]}), settings.idle_seconds)
        await converse(session, _read(websocket, settings, session, audio), _write(websocket, settings, session))
        await websocket.close(1001 if session.drained else 1000)


async def _read(websocket: WebSocket, settings: Settings, session: Session, audio: bytes) -> None:
    message: str | bytes = audio
    while True:
        try:
            if isinstance(message, bytes):
                await session.hear(message)
            elif isinstance(wanted := read_message(message), End):
                return
            elif isinstance(wanted, Commit):
                await session.commit()
            else:
                session.set_language(wanted.language)
        except (AudioError, LanguageError) as error:  # the stream goes on as if nothing had come
            await send(websocket, error_line(error), settings.idle_seconds)
        message = await receive(websocket, settings.idle_seconds)


async def _write(websocket: WebSocket, settings: Settings, session: Session) -> None:
    told: list[str] = []
    async for event in session:
        if isinstance(event, Segment):
            told.append(event.text)
        await send(websocket, event_line(event, settings, told), settings.idle_seconds)
