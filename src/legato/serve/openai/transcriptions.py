"""OpenAI's `POST /v1/audio/transcriptions`: a file in, its text out, at once or as server-sent events."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.requests import Request

from legato.serve.core.file_job import FileJob
from legato.serve.core.holding import HoldingResponse
from legato.serve.core.options import prepare
from legato.serve.core.service import service_of
from legato.serve.core.upload import FORM_ERRORS, file_of, form_body, read_form, unless_gone
from legato.serve.errors import ErrorBody, UnsupportedError
from legato.serve.openai.transcription_events import TranscriptEvents, diarized_events
from legato.serve.openai.transcription_format import (
    DiarizedTranscription,
    Transcription,
    VerboseTranscription,
    content_of,
    diarized,
)
from legato.serve.openai.transcription_request import TranscriptionForm, read_request

router = APIRouter(prefix="/v1/audio", tags=["transcription"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field, the form or the audio is wrong.", "model": ErrorBody},
    404: {"description": "The model is not served.", "model": ErrorBody},
    **FORM_ERRORS,
}
_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The transcript in the requested format.",
        "model": Transcription | VerboseTranscription | DiarizedTranscription,
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "text/vtt": {"schema": {"type": "string"}},
            "text/event-stream": {
                "schema": {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
            },
        },
    }
}


@router.post(
    "/transcriptions",
    summary="Transcribe a file",
    response_class=Response,
    responses={**_RESULT, **_ERRORS},
    openapi_extra=form_body(TranscriptionForm),
)
async def transcribe(request: Request) -> Response:
    """Transcribe an audio or video file, like OpenAI's operation of this name."""
    service = service_of(request)
    recognizer = service.engine.recognizer
    tags = recognizer.bundle.language_tags
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service.files.admit())
        form = await stack.enter_async_context(read_form(request, service.settings))
        asked = read_request(form, service.settings)
        file = file_of(form).file
        prepared = await prepare(asked.options(service.settings), recognizer, service.settings, "prompt")
        prepared = replace(prepared, warnings=[*asked.warnings, *prepared.warnings])
        if asked.response_format == "diarized_json":
            results = await unless_gone(request, service.files.recognize_channels(file, prepared))
            if asked.stream:
                return Response(diarized_events(diarized(results)), media_type="text/event-stream")
        elif asked.stream:
            job = FileJob(service.files, file, prepared)
            stack.callback(job.cancel)
            await unless_gone(request, job.begin())
            # From here on the response holds the reservation and the file.
            events = TranscriptEvents(job, asked, tags)
            return HoldingResponse(stack.pop_all(), events.lines(), "text/event-stream")
        else:
            results = [await unless_gone(request, service.files.recognize(file, prepared))]
        content, media_type = content_of(results, asked, tags)
        return Response(content, media_type=media_type)


@router.post(
    "/translations",
    summary="Not supported",
    responses={400: {"description": "Always.", "model": ErrorBody}},
    status_code=400,
)
async def translate(_request: Request) -> Response:
    """Refuse: the model writes speech in the language in which it was spoken."""
    raise UnsupportedError(
        "Translation is not supported: the model writes speech in the language in which it was spoken. Use "
        "/v1/audio/transcriptions."
    )
