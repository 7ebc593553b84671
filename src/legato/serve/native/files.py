"""Our own interface for files: a file in, the events of the WebSocket out, a JSON object a line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.datastructures import FormData, ImmutableMultiDict
from starlette.requests import Request

from legato.serve.core.holding import HoldingResponse
from legato.serve.core.service import Service, service_of
from legato.serve.core.upload import read_form, unless_gone
from legato.serve.errors import ErrorBody, as_api_error, logger
from legato.serve.logs import tell
from legato.serve.native.messages import Asked, error_line, event_line, read_fields
from legato.serve.openai.transcription_request import file_of
from legato.types import Event, Final, Transcript

router = APIRouter(prefix="/v1/stream", tags=["Legato"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "An option, the form or the audio is wrong.", "model": ErrorBody},
    408: {"description": "The request did not arrive in time.", "model": ErrorBody},
    413: {"description": "The file is too large.", "model": ErrorBody},
    415: {"description": "The body is no multipart form.", "model": ErrorBody},
    503: {"description": "There is no room now; try again later.", "model": ErrorBody},
}


class AskedFile(BaseModel):
    """What a client may send; for the description of the interface."""

    file: bytes = Field(
        json_schema_extra={"format": "binary"},
        description="Audio or video of any container and codec that FFmpeg reads.",
    )
    language: str = Field("", description="Spoken language, such as `en` or `de-DE`; `auto` detects it.")
    chunk_ms: Literal[80, 160, 320, 560, 1120] = Field(320, description="How far ahead the model looks.")
    endpoint: bool = Field(
        True, description="End segments at pauses of a second, or of so many seconds; `false` for sentences."
    )
    phrases: list[str] = Field([], description="Names and terms that are to be recognised more readily.")


@router.post(
    "",
    summary="Recognise a file, event by event",
    response_class=Response,
    responses={
        200: {
            "description": "Events, a JSON object a line: `partial` and `segment`, at last `final`, or `error`.",
            "content": {"application/jsonl": {"schema": {"type": "string"}}},
        },
        **_ERRORS,
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": AskedFile.model_json_schema()}},
        }
    },
)
async def recognise(request: Request) -> Response:
    """Send the events of an audio or video file while it is recognised."""
    service = service_of(request)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service.files.admit())
        form = await stack.enter_async_context(read_form(request, service.settings))
        file = file_of(form)
        options = read_fields(_texts(form), Asked).options(service.settings)
        recognizer = service.engine.recognizer
        options["phrases"] = await asyncio.to_thread(recognizer.compile_phrases, options["phrases"])
        recognizer.start(**options)  # what is wrong with the options is told before the file has its turn
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        job = asyncio.ensure_future(service.files.recognise(file.file, options, events.put_nowait))
        job.add_done_callback(lambda _: events.put_nowait(None))
        stack.callback(job.cancel)
        # What is wrong with the file is known by the first event, and can still be a status code.
        first = await unless_gone(request, events.get())
        if first is None:
            job.result()
        return HoldingResponse(stack.pop_all(), _lines(service, first, events, job), "application/jsonl")


async def _lines(
    service: Service,
    first: Event | None,
    events: "asyncio.Queue[Event | None]",
    job: "asyncio.Future[tuple[Transcript, list[str]]]",
) -> AsyncIterator[str]:
    event = first
    while event is not None:
        if not isinstance(event, Final):  # that has not all the text
            yield event_line(event, service.settings)
        event = await events.get()
    try:
        transcript, warnings = await job
    except Exception as error:
        if as_api_error(error).status >= 500:
            logger.error("a file failed: %s", error, exc_info=error)
        yield error_line(error)
        return
    said = {"text": transcript.text} if service.settings.log_transcripts else {}
    tell("file", seconds=round(transcript.duration, 2), language=transcript.language, **said)
    for segment in transcript.segments if not transcript.endpointed else ():
        yield event_line(segment, service.settings)
    yield event_line(Final(transcript), service.settings, warnings=warnings)


def _texts(form: FormData) -> ImmutableMultiDict[str, str]:
    return ImmutableMultiDict((name, value) for name, value in form.multi_items() if isinstance(value, str))
