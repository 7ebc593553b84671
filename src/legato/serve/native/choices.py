"""The choices that a client of the native protocol has: `GET /v1/stream`."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from legato.model.registry import ALIASES, embedded_path
from legato.serve.core.service import service_of
from legato.text.formats import WRITERS

router = APIRouter(prefix="/v1/stream", tags=["Legato"])


class ConfidenceMarks(BaseModel):
    """The confidences below which words should be marked.

    Attributes:
        unsure: words below it are wrong in at least half of the cases.
        doubtful: words below it are wrong in at least one of five cases.
    """

    unsure: float
    doubtful: float


class Choices(BaseModel):
    """The values that the options may have.

    Attributes:
        model: name of the model.
        languages: languages that the model can detect, and `auto`.
        chunk_ms: chunk sizes that the model was trained for, in milliseconds.
        formats: names of the formats of `/v1/formats`.
        language_default: language for clients that give none.
        chunk_ms_default: chunk size for clients that give none, in milliseconds.
        confidence: the scale of the confidences: `calibrated` are the probabilities that words are right.
        marks: the confidences below which a page should mark words; null if the model has no calibration.
        full_model: command that downloads the full model; null unless the model is the small embedded one.
    """

    model: str
    languages: list[str]
    chunk_ms: list[int]
    formats: list[str]
    language_default: str
    chunk_ms_default: int
    confidence: Literal["raw", "calibrated"]
    marks: ConfidenceMarks | None
    full_model: str | None


@router.get("", summary="The values that the options may have")
def choices(request: Request) -> Choices:
    """Return the model's name, languages and chunk sizes, and the formats that segments can be written in."""
    service = service_of(request)
    settings, recognizer = service.settings, service.engine.recognizer
    bundle = recognizer.bundle
    calibrated = settings.confidence == "calibrated"
    marks = None if bundle.calibration is None else bundle.calibration.marks(calibrated=calibrated)
    return Choices(
        model=settings.model,
        languages=list(recognizer.languages),
        chunk_ms=sorted(round((context + 1) * bundle.frame_seconds * 1000) for context in bundle.right_contexts),
        formats=list(WRITERS),
        language_default=settings.language,
        chunk_ms_default=settings.chunk_ms,
        confidence=settings.confidence,
        marks=None if marks is None else ConfidenceMarks(unsure=marks.unsure, doubtful=marks.doubtful),
        full_model=f"legato models download {next(iter(ALIASES))}" if bundle.path == embedded_path() else None,
    )
