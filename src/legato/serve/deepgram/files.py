"""Deepgram's interface for recordings: `POST /v1/listen` with a file as its body."""

import asyncio
import hashlib
import uuid
from importlib.metadata import version
from typing import Any, BinaryIO

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.requests import Request

from legato.errors import LegatoError
from legato.recognizer import Options
from legato.serve.core.service import Service, service_of
from legato.serve.core.upload import read_body, unless_gone
from legato.serve.deepgram.messages import Messages
from legato.serve.deepgram.options import listen_options
from legato.serve.errors import ApiError, as_api_error
from legato.serve.logs import tell

router = APIRouter(prefix="/v1", tags=["transcription"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
        for name, description, schema in (
            ("language", "Such as `de` or `de-DE`; `multi` or none: detected.", {"type": "string"}),
            ("detect_language", "Detect it, and tell it.", {"type": "boolean"}),
            ("keyterm", "What is to be recognised more readily.", {"type": "array", "items": {"type": "string"}}),
            ("utterances", "Give segments too.", {"type": "boolean"}),
        )
    ],
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": "`err_code` and `err_msg` say what was wrong."} for status in (400, 408, 413, 503)
}


@router.post(
    "/listen",
    summary="Transcribe a file for a client of Deepgram's",
    responses={
        status: {"description": "`err_code` and `err_msg` say what was wrong."} for status in (400, 408, 413, 503)
    },
    openapi_extra=_BODY,
)
async def listen(request: Request) -> JSONResponse:
    """Transcribe the audio or video file that is the body, its channels averaged; options are in the query."""
    service = service_of(request)
    request_id = str(uuid.uuid4())
    messages = Messages(request_id, service.settings.model, version("legato"), 1)
    headers = {"dg-request-id": request_id}
    try:
        async with service.files.admit():
            return JSONResponse(await _transcribe(request, service, messages), headers=headers)
    except (ApiError, LegatoError) as error:
        told = as_api_error(error)
        return JSONResponse(messages.refusal(told), told.status, {**told.headers, **headers})


async def _transcribe(request: Request, service: Service, messages: Messages) -> dict[str, object]:
    asked = listen_options(request.query_params)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        raise ApiError(400, "Nothing is fetched from elsewhere: send the file itself.", code="unsupported")
    if asked.wire is not None:
        raise ApiError(
            400, "encoding: Raw audio is for live streams; send a file that says itself what it is, such as WAV.",
            code="invalid_value", param="encoding",
        )  # fmt: skip
    recognizer = service.engine.recognizer
    options = Options(
        language=asked.language or service.settings.language,
        chunk_ms=service.settings.chunk_ms,
        phrases=await asyncio.to_thread(recognizer.compile_phrases, asked.phrases),
    )
    recognizer.start(**options)  # tells what is wrong before the file has come
    async with read_body(request, service.settings) as file:
        digest = await asyncio.to_thread(_digest, file)
        transcript, _ = await unless_gone(request, service.files.recognise(file, options))
    said = {"text": transcript.text} if service.settings.log_transcripts else {}
    tell("file", seconds=round(transcript.duration, 2), language=transcript.language, **said)
    return messages.file(transcript, digest, utterances=asked.utterances, languages=asked.detects_language)


def _digest(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while piece := file.read(1 << 20):
        found.update(piece)
    file.seek(0)
    return found.hexdigest()
