"""The native protocol for files: a file in, and the events of the native WebSocket out, one JSON object per line."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from legato.chunks import CHUNK_SIZES_MS, DEFAULT_CHUNK_MS
from legato.serve.core.file_job import FileJob
from legato.serve.core.holding import HoldingResponse
from legato.serve.core.options import prepare
from legato.serve.core.service import service_of
from legato.serve.core.upload import FORM_ERRORS, file_of, form_body, read_form, texts_of, unless_gone
from legato.serve.errors import ApiError, ErrorBody
from legato.serve.native.messages import Asked, error_line, event_line, read_fields
from legato.serve.settings import Settings
from legato.types import Final

router = APIRouter(prefix="/v1/stream", tags=["Legato"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "An option, the form or the audio is wrong.", "model": ErrorBody},
    **FORM_ERRORS,
}
_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, one JSON object per line: `partial` and `segment`, and finally `final` or `error`.",
        "content": {"application/jsonl": {"schema": {"type": "string"}}},
    }
}


class FileForm(BaseModel):
    """The fields that a client may send; only for the OpenAPI description."""

    file: bytes = Field(
        json_schema_extra={"format": "binary"},
        description="Audio or video in any container and codec that FFmpeg reads.",
    )
    language: str = Field("", description="Spoken language, such as `en` or `de-DE`; `auto` detects it.")
    chunk_ms: int = Field(
        DEFAULT_CHUNK_MS,
        json_schema_extra={"enum": list(CHUNK_SIZES_MS)},
        description="Milliseconds of audio that the model sees at once.",
    )
    endpoint: bool = Field(
        True, description="End segments at pauses of one second, or of the given seconds; `false` for sentences."
    )
    phrases: list[str] = Field([], description="Names and terms to recognize more readily.")


@router.post(
    "",
    summary="Recognize a file, event by event",
    response_class=Response,
    responses={**_RESULT, **_ERRORS},
    openapi_extra=form_body(FileForm),
)
async def recognize(request: Request) -> Response:
    """Send the events of an audio or video file during recognition."""
    service = service_of(request)
    settings = service.settings
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service.files.admit())
        form = await stack.enter_async_context(read_form(request, settings))
        file = file_of(form).file
        fields = ImmutableMultiDict([*request.query_params.multi_items(), *texts_of(form).multi_items()])
        asked = read_fields(fields, Asked).options(settings)
        prepared = await prepare(asked, service.engine.recognizer, settings)
        job = FileJob(service.files, file, prepared)
        stack.callback(job.cancel)
        await unless_gone(request, job.begin())
        # From here on the response holds the reservation and the file.
        return HoldingResponse(stack.pop_all(), _lines(job, settings), "application/jsonl")


async def _lines(job: FileJob, settings: Settings) -> AsyncIterator[str]:
    async for event in job:
        if not isinstance(event, Final):  # a `Final` lacks the text of the segments
            yield event_line(event, settings)
    try:
        result = await job.result()
    except ApiError as error:
        yield error_line(error)
        return
    transcript = result.transcript
    if not transcript.endpointed:
        for segment in transcript.segments:
            yield event_line(segment, settings)
    yield event_line(Final(transcript), settings, warnings=result.warnings)
