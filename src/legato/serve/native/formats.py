"""Writes the segments of a client as subtitles, text or tables, with the same writers as for files."""

import math
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from legato.errors import LegatoError
from legato.serve.core.aside import ASIDE
from legato.serve.core.service import service_of
from legato.serve.core.upload import read_small_body, unless_gone
from legato.serve.errors import ApiError, ErrorBody
from legato.serve.native.messages import checked
from legato.streaming.collect import join_segments
from legato.text.formats import WRITERS, base_format, writer_of_format
from legato.text.words import spread_words
from legato.types import Reason, Segment, Transcript, Word

router = APIRouter(prefix="/v1/formats", tags=["Legato"])

_MAX_BYTES = 8_000_000  # segments of half a day of speech
_MAX_SEGMENT_LETTERS = 20_000
_MAX_WORD_LETTERS = 500
#: Bodies below this size are written at once; larger ones take a while, and aside from the server.
_SHORT_BYTES = 100_000
_MEDIA_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "ass": "text/x-ssa",
}


def _not_before_start(end: float, given: ValidationInfo) -> float:
    start = given.data.get("start", end)
    if end < start:
        raise PydanticCustomError(
            "must_be", "It is before its start.", {"expected": f"at least its start, {start:.12g}"}
        )
    return end


Seconds = Annotated[float, Field(ge=0, le=1e7)]
End = Annotated[Seconds, AfterValidator(_not_before_start)]
Confidence = Annotated[float, Field(ge=0, le=1)]
_FINITE = ConfigDict(allow_inf_nan=False)


class GivenWord(BaseModel):
    """A word, as in a `segment` event. A confidence of null is unknown."""

    model_config = _FINITE

    text: Annotated[str, Field(min_length=1, max_length=_MAX_WORD_LETTERS)]
    start: Seconds
    end: End
    confidence: Confidence | None = 1.0


class GivenSegment(BaseModel):
    """A `segment` event; its `type`, `file` and `words` may be omitted. A confidence of null is unknown."""

    model_config = _FINITE

    text: Annotated[str, Field(max_length=_MAX_SEGMENT_LETTERS)]
    start: Seconds
    end: End
    language: str | None = None
    reason: Reason = "end"
    confidence: Confidence | None = 1.0
    speaker: Annotated[str, Field(max_length=_MAX_WORD_LETTERS)] | None = None
    words: list[GivenWord] = []

    def timed_words(self) -> tuple[Word, ...]:
        """Return the words; if they are not those of the text, the words of the text, each for a share of its time."""
        if _letters(*(word.text for word in self.words)) == _letters(self.text):
            return tuple(Word(word.text, word.start, word.end, _number(word.confidence)) for word in self.words)
        words = spread_words(self.text, self.start, self.end)
        return tuple(replace(word, confidence=_number(self.confidence)) for word in words)


class Given(BaseModel):
    """The segments to write.

    Attributes:
        segments: the events; they are sorted by their starts.
        file: name of the audio, for the formats that contain it.
    """

    segments: list[GivenSegment]
    file: str | None = None

    def transcript(self) -> Transcript:
        """Return the segments as a transcript."""
        segments = [
            Segment(
                each.text, each.start, each.end, each.language, (),
                each.timed_words(), each.reason, confidence=_number(each.confidence), speaker=each.speaker,
            )
            for each in sorted(self.segments, key=lambda each: each.start)
        ]  # fmt: skip
        return join_segments(segments, duration=max((each.end for each in segments), default=0.0))


def _letters(*texts: str) -> str:
    """Return texts in a row without white space."""
    return "".join("".join(texts).split())


def _number(confidence: float | None) -> float:
    """Return a confidence as the writers take it: NaN where it is unknown."""
    return math.nan if confidence is None else confidence


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


def written(name: str, body: bytes, model: str) -> str:
    """Return the text of a file. Errors as for `checked`."""
    given = checked(Given, body)
    return writer_of_format(name)(given.transcript(), model=model, file=given.file)


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
    """Write the `segment` events of a stream as srt, vtt, ass, txt, json, jsonl, tsv, ctm or words.

    Subtitles may have a style: `srt:columns=37,lines=1,speed=15,lead=0.3`, `vtt:words`.
    """
    if base_format(name) not in WRITERS:
        raise ApiError(404, f"The format {name[:100]!r} is unknown. Use one of {', '.join(WRITERS)}.", param="name")
    try:
        writer_of_format(name)
    except LegatoError as error:
        raise ApiError(400, str(error), code="invalid_value", param="name") from None
    service = service_of(request)
    body = await read_small_body(request, _MAX_BYTES, service.settings)
    short = len(body) < _SHORT_BYTES
    arguments = name, body, service.settings.model
    text = written(*arguments) if short else await unless_gone(request, ASIDE.run(written, *arguments))
    return Response(text, media_type=_MEDIA_TYPES.get(base_format(name), "text/plain"))
