"""Writes the segments of a client as subtitles, text or tables, with the same writers as for files."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from legato.serve.core.service import service_of
from legato.serve.core.upload import read_small_body
from legato.serve.errors import ApiError, ErrorBody
from legato.serve.native.messages import checked
from legato.streaming.collect import join_segments
from legato.text.formats import WRITERS
from legato.types import Reason, Segment, Transcript, Word

router = APIRouter(prefix="/v1/formats", tags=["Legato"])

_MAX_BYTES = 20_000_000  # segments of more than a day of speech
_MEDIA_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}

Seconds = Annotated[float, Field(ge=0, le=1e7)]
Confidence = Annotated[float, Field(ge=0, le=1)]
_FINITE = ConfigDict(allow_inf_nan=False)


class GivenWord(BaseModel):
    """A word, as in a `segment` event."""

    model_config = _FINITE

    text: Annotated[str, Field(min_length=1)]
    start: Seconds
    end: Seconds
    confidence: Confidence = 1.0


class GivenSegment(BaseModel):
    """A `segment` event; its `type` and `file` may be omitted."""

    model_config = _FINITE

    text: str
    start: Seconds
    end: Seconds
    language: str | None = None
    reason: Reason = "end"
    confidence: Confidence = 1.0
    words: list[GivenWord] = []


class Given(BaseModel):
    """The segments to write.

    Attributes:
        segments: the events, in order of time.
        file: name of the audio, for the formats that contain it.
    """

    segments: list[GivenSegment]
    file: str | None = None

    def transcript(self) -> Transcript:
        """Return the segments as a transcript."""
        segments = [
            Segment(
                each.text, each.start, each.end, each.language, (),
                tuple(Word(word.text, word.start, word.end, word.confidence) for word in each.words),
                each.reason, confidence=each.confidence,
            )
            for each in self.segments
        ]  # fmt: skip
        return join_segments(segments, duration=max((each.end for each in segments), default=0.0))


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with its definitions in place of the references to them."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items() if name != "$defs"}


_SCHEMA = _inlined(Given.model_json_schema(), Given.model_json_schema()["$defs"])


@router.post(
    "/{name}",
    summary="Write segments in a format",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "The text of the file."},
        400: {"description": "The body does not hold segments.", "model": ErrorBody},
        404: {"description": "The format is unknown.", "model": ErrorBody},
        413: {"description": "The body is too large.", "model": ErrorBody},
    },
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}},
)
async def write(name: str, request: Request) -> Response:
    """Write the `segment` events of a stream as srt, vtt, txt, json, jsonl, tsv, ctm or words."""
    writer = WRITERS.get(name)
    if writer is None:
        raise ApiError(404, f"The format {name[:100]!r} is unknown. Use one of {', '.join(WRITERS)}.", param="name")
    body = await read_small_body(request, _MAX_BYTES)
    model = service_of(request).settings.model

    def run() -> str:
        given = checked(Given.model_validate_json, body)
        return writer(given.transcript(), model=model, file=given.file)

    text = await asyncio.to_thread(run)  # the segments of a day take a while
    return Response(text, media_type=_MEDIA_TYPES.get(name, "text/plain"))
