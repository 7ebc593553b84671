"""OpenAI's `POST /v1/audio/transcriptions`: a file in, its text out, at once or as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.datastructures import UploadFile
from starlette.requests import Request

from legato.recognizer import Options
from legato.serve.core.holding import HoldingResponse
from legato.serve.core.service import Service, service_of
from legato.serve.core.upload import read_form, unless_gone
from legato.serve.errors import ApiError, ErrorBody, as_api_error, logger
from legato.serve.logs import tell
from legato.serve.openai.transcription_format import (
    LogProbs,
    Transcription,
    VerboseTranscription,
    content_of,
    event,
    usage,
)
from legato.serve.openai.transcription_request import TranscriptionForm, TranscriptionRequest, file_of, read_request
from legato.text.words import join_texts
from legato.types import Event, Partial, Segment, Token, Transcript

router = APIRouter(prefix="/v1/audio", tags=["transcription"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field, the form or the audio is wrong.", "model": ErrorBody},
    404: {"description": "The model is not served here.", "model": ErrorBody},
    408: {"description": "The request did not arrive in time.", "model": ErrorBody},
    413: {"description": "The file is too large, or its audio too long.", "model": ErrorBody},
    415: {"description": "The body is no multipart form.", "model": ErrorBody},
    503: {"description": "There is no room now; try again later.", "model": ErrorBody},
}
_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The transcript in the form that was asked for.",
        "model": Transcription | VerboseTranscription,
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "text/vtt": {"schema": {"type": "string"}},
            "text/event-stream": {
                "schema": {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
            },
        },
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": TranscriptionForm.model_json_schema()}},
    }
}


@router.post(
    "/transcriptions",
    summary="Transcribe a file",
    response_class=Response,
    responses={**_RESULT, **_ERRORS},
    openapi_extra=_BODY,
)
async def transcribe(request: Request) -> Response:
    """Transcribe an audio or video file, as OpenAI's interface of this name."""
    service = service_of(request)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service.files.admit())
        form = await stack.enter_async_context(read_form(request, service.settings))
        asked = read_request(form, service.settings)
        file = file_of(form)
        options = await _prepared(asked, service)
        if asked.stream:
            job = _Streamed(service, asked, file, options)
            await unless_gone(request, job.begin())
            # From here on the response holds the place and the file.
            stack.callback(job.cancel)
            return HoldingResponse(stack.pop_all(), job.events(), "text/event-stream")
        transcript, warnings = await unless_gone(request, service.files.recognise(file.file, options))
        _log(service, transcript)
        log_probs = LogProbs(service.engine.recognizer.bundle)
        content, kind = content_of(transcript, warnings, asked, log_probs)
        return Response(content, media_type=kind)


@router.post(
    "/translations",
    summary="Not supported",
    responses={400: {"description": "Always.", "model": ErrorBody}},
    status_code=400,
)
async def translate(_request: Request) -> Response:
    """Refuse: the model writes what was said, in the language in which it was said."""
    raise ApiError(
        400,
        "Translation is not supported: the model writes what was said in its own language. Use "
        "/v1/audio/transcriptions.",
        code="unsupported",
    )


class _Streamed:
    """A file whose text is sent while it is recognised."""

    def __init__(self, service: Service, asked: TranscriptionRequest, file: UploadFile, options: Options) -> None:
        self._service = service
        self._log_probs = LogProbs(service.engine.recognizer.bundle) if asked.logprobs else None
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._job = asyncio.ensure_future(service.files.recognise(file.file, options, self._queue.put_nowait))
        self._job.add_done_callback(lambda _: self._queue.put_nowait(None))
        self._first: Event | None = None
        self._closed: list[str] = []
        self._told = ""

    async def begin(self) -> None:
        """Wait for the first event: what is wrong with the file is known by then, and can still be a status code."""
        try:
            self._first = await self._queue.get()
            if self._first is None:
                self._job.result()
        except BaseException:
            self._job.cancel()
            raise

    def cancel(self) -> None:
        """Give it up; harmless when it is done."""
        self._job.cancel()

    async def events(self) -> AsyncIterator[str]:
        """Give the server-sent events."""
        try:
            following = self._first
            while following is not None:
                if isinstance(following, Partial | Segment):
                    for line in self._delta(following):
                        yield line
                following = await self._queue.get()
            transcript, warnings = await self._job
        except Exception as error:
            told = as_api_error(error)
            if told.status >= 500:
                logger.error("a file failed: %s", error, exc_info=error)
            yield event("error", **told.as_dict())
            return
        _log(self._service, transcript)
        if transcript.text.startswith(self._told) and transcript.text != self._told:
            yield event("transcript.text.delta", delta=transcript.text[len(self._told) :])
        yield event(
            "transcript.text.done",
            text=transcript.text,
            usage=usage(transcript).model_dump(),
            logprobs=self._listed(transcript.tokens),
            warnings=warnings or None,
        )
        yield "data: [DONE]\n\n"

    def _delta(self, found: Partial | Segment) -> list[str]:
        """What is new in the text, as an event."""
        text = join_texts([*self._closed, found.text])
        tokens: tuple[Token, ...] = ()
        if isinstance(found, Segment):
            if found.text:
                self._closed.append(found.text)
        else:
            tokens = found.tokens
        if len(text) <= len(self._told) or not text.startswith(self._told):
            return []
        delta, self._told = text[len(self._told) :], text
        return [event("transcript.text.delta", delta=delta, logprobs=self._listed(tokens))]

    def _listed(self, tokens: tuple[Token, ...]) -> list[dict[str, object]] | None:
        return [each.model_dump() for each in self._log_probs.listed(tokens)] if self._log_probs else None


async def _prepared(asked: TranscriptionRequest, service: Service) -> Options:
    """Give the options of the stream, with what is wrong about them told before the file has its turn."""
    options = asked.options(service.settings)
    recognizer = service.engine.recognizer
    options["phrases"] = await asyncio.to_thread(recognizer.compile_phrases, options["phrases"])
    recognizer.start(**options)
    return options


def _log(service: Service, transcript: Transcript) -> None:
    said = {"text": transcript.text} if service.settings.log_transcripts else {}
    tell("file", seconds=round(transcript.duration, 2), language=transcript.language, **said)
