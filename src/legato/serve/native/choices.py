"""The choices that a client of the native protocol has: `GET /v1/stream`."""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from legato.model.languages import AUTO
from legato.serve.core.service import service_of
from legato.text.formats import WRITERS

router = APIRouter(prefix="/v1/stream", tags=["Legato"])


class Choices(BaseModel):
    """The values that the options may have.

    Attributes:
        model: name of the model.
        languages: languages that the model can detect, and `auto`.
        chunk_ms: chunk sizes that the model was trained for, in milliseconds.
        formats: names of the formats of `/v1/formats`.
        language_default: language for clients that give none.
        chunk_ms_default: chunk size for clients that give none, in milliseconds.
    """

    model: str
    languages: list[str]
    chunk_ms: list[int]
    formats: list[str]
    language_default: str
    chunk_ms_default: int


@router.get("", summary="The values that the options may have")
def choices(request: Request) -> Choices:
    """Return the model's name, languages and chunk sizes, and the formats that segments can be written in."""
    service = service_of(request)
    settings, bundle = service.settings, service.engine.recognizer.bundle
    detected = sorted(set(bundle.language_tags.values()) & set(bundle.prompts)) or sorted(set(bundle.prompts) - {AUTO})
    return Choices(
        model=settings.model,
        languages=[*([AUTO] if AUTO in bundle.prompts else []), *detected],
        chunk_ms=sorted(round((context + 1) * bundle.frame_seconds * 1000) for context in bundle.right_contexts),
        formats=list(WRITERS),
        language_default=settings.language,
        chunk_ms_default=settings.chunk_ms,
    )
