"""Deepgram's interface for recordings: `POST /v1/listen` with a file as its body."""

import asyncio
import hashlib
import uuid
from dataclasses import replace
from typing import Any, BinaryIO

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.requests import Request

from legato.errors import LegatoError
from legato.serve.core.options import prepare
from legato.serve.core.service import Service, service_of
from legato.serve.core.upload import read_body, unless_gone
from legato.serve.deepgram.file_results import file_options, file_results
from legato.serve.deepgram.messages import Messages
from legato.serve.deepgram.options import listen_options
from legato.serve.errors import ERROR, ApiError, InvalidValueError, UnsupportedError, as_api_error

router = APIRouter(prefix="/v1", tags=["transcription"])

_PARAMETERS = (
    ("language", "Such as `de` or `de-DE`; `multi` or none: detected.", {"type": "string"}),
    ("detect_language", "Detect the language and return it.", {"type": "boolean"}),
    ("keyterm", "Names and terms to recognize more readily.", {"type": "array", "items": {"type": "string"}}),
    ("multichannel", "Recognize every channel separately. Otherwise they are averaged.", {"type": "boolean"}),
    ("utterances", "Return utterances: the words between pauses.", {"type": "boolean"}),
    ("utt_split", "Pause in seconds that ends an utterance; 0.8 by default.", {"type": "number"}),
    ("paragraphs", "Return paragraphs of sentences.", {"type": "boolean"}),
    (
        "replace",
        "`WORDS:TEXT`: other words in place of the given ones.",
        {"type": "array", "items": {"type": "string"}},
    ),
    ("search", "Return where a phrase occurs.", {"type": "array", "items": {"type": "string"}}),
)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
        for name, description, schema in _PARAMETERS
    ],
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": "`err_code` and `err_msg` say what was wrong."} for status in (400, 408, 413, 503)
}


@router.post(
    "/listen",
    summary="Transcribe a file for a client of Deepgram's",
    responses=_ERRORS,
    openapi_extra=_BODY,
)
async def listen(request: Request) -> JSONResponse:
    """Transcribe the audio or video file in the body. The options are in the query."""
    service = service_of(request)
    request_id = str(uuid.uuid4())
    headers = {"dg-request-id": request_id}
    try:
        async with service.files.admit():
            return JSONResponse(await _transcribe(request, service, request_id), headers=headers)
    except (ApiError, LegatoError) as error:
        refusal = as_api_error(error)
        request.scope[ERROR] = refusal
        body = Messages(request_id, service.settings.model, 1).refusal(refusal)
        return JSONResponse(body, refusal.status, {**refusal.headers, **headers})


async def _transcribe(request: Request, service: Service, request_id: str) -> dict[str, object]:
    asked = listen_options(request.query_params)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        raise UnsupportedError("The server fetches nothing from other addresses. Send the file itself.")
    if asked.audio_format is not None:
        raise InvalidValueError(
            "encoding", "Raw audio is for live streams. Send a file that describes itself, such as WAV."
        )
    wanted = file_options(request.query_params, languages=asked.detects_language)
    settings = service.settings
    options = replace(settings.defaults, language=asked.language or settings.language, phrases=asked.phrases)
    prepared = await prepare(options, service.engine.recognizer, settings, "keyterm")
    async with read_body(request, settings) as file:
        digest = await asyncio.to_thread(_digest, file)
        if asked.multichannel:
            results = await unless_gone(request, service.files.recognize_channels(file, prepared))
        else:
            results = [await unless_gone(request, service.files.recognize(file, prepared))]
    metadata = Messages(request_id, settings.model, len(results)).summary(digest, results[0].transcript.duration)
    found = [*asked.warnings, *(warning for result in results for warning in result.warnings)]
    if warnings := list(dict.fromkeys(found)):
        metadata["warnings"] = warnings
    return {"metadata": metadata, "results": file_results([result.transcript for result in results], wanted)}


def _digest(file: BinaryIO) -> str:
    """Return the SHA-256 of a file, and go back to its start."""
    found = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # it needs only read and readinto
    file.seek(0)
    return found.hexdigest()
