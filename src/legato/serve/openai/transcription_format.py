"""Transcripts in the forms of OpenAI's transcription interface."""

import json
import math
import zlib
from collections.abc import Sequence

from pydantic import BaseModel

from legato.model.bundle import Bundle
from legato.serve.openai.transcription_request import TranscriptionRequest
from legato.text.formats import to_txt
from legato.text.subtitles import to_srt, to_vtt
from legato.types import Segment, Token, Transcript

_LEAST = 1e-10
"""The probability of a token that had next to none."""


class Usage(BaseModel):
    """What the request cost: seconds of audio."""

    type: str = "duration"
    seconds: float


class LogProb(BaseModel):
    """A token with the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int]


class LogProbs:
    """Tokens as log-probabilities, from the confidences that scaled them."""

    def __init__(self, bundle: Bundle) -> None:
        self._outputs = bundle.sizes.vocabulary + 1  # blank is one too
        self._tags = bundle.language_tags

    def of(self, token: Token) -> float:
        """Give the natural logarithm of a token's probability."""
        return math.log(max(_LEAST, (token.confidence * (self._outputs - 1) + 1) / self._outputs))

    def mean(self, tokens: Sequence[Token]) -> float:
        """Give the mean over tokens; 0 of none."""
        return round(sum(map(self.of, tokens)) / len(tokens), 4) if tokens else 0.0

    def listed(self, tokens: Sequence[Token]) -> list[LogProb]:
        """Give those of the tokens that are text; their texts in a row are the transcript's."""
        spoken = [(token, token.piece.replace("\u2581", " ")) for token in tokens if token.id not in self._tags]
        return [
            LogProb(token=text, logprob=round(self.of(token), 4), bytes=list(text.encode())) for token, text in spoken
        ]


class Transcription(BaseModel):
    """The response format `json`."""

    text: str
    usage: Usage
    logprobs: list[LogProb] | None = None
    warnings: list[str] | None = None


class VerboseWord(BaseModel):
    """A word with its times in seconds; `confidence` from 0 to 1 is not OpenAI's."""

    word: str
    start: float
    end: float
    confidence: float


class VerboseSegment(BaseModel):
    """A sentence with its times in seconds; what only Whisper has is 0."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float = 0.0
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float = 0.0
    confidence: float
    language: str | None


class VerboseTranscription(BaseModel):
    """The response format `verbose_json`; `language` is a tag such as `en-US`, `und` where none was found."""

    task: str = "transcribe"
    language: str
    duration: float
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[VerboseWord] | None = None
    usage: Usage
    warnings: list[str] | None = None


def content_of(
    transcript: Transcript, warnings: Sequence[str], request: TranscriptionRequest, log_probs: LogProbs
) -> tuple[str, str]:
    """Give the body of the response, and its media type.

    Args:
        transcript: the result.
        warnings: what is wrong with the file.
        request: what the client asked for.
        log_probs: of the model.
    """
    if request.response_format == "text":
        return to_txt(transcript), "text/plain"
    if request.response_format == "srt":
        return to_srt(transcript), "text/plain"
    if request.response_format == "vtt":
        return to_vtt(transcript) or "WEBVTT\n", "text/vtt"
    if request.response_format == "verbose_json":
        return _verbose(transcript, warnings, request, log_probs).model_dump_json(exclude_none=True), "application/json"
    plain = Transcription(
        text=transcript.text,
        usage=usage(transcript),
        logprobs=log_probs.listed(transcript.tokens) if request.logprobs else None,
        warnings=list(warnings) or None,
    )
    return plain.model_dump_json(exclude_none=True), "application/json"


def event(kind: str, **values: object) -> str:
    """Give a server-sent event; values that are None are left out."""
    present = {key: value for key, value in values.items() if value is not None}
    return f"data: {json.dumps({'type': kind, **present}, ensure_ascii=False)}\n\n"


def usage(transcript: Transcript) -> Usage:
    """Give the seconds of audio that were heard."""
    return Usage(seconds=round(transcript.duration, 3))


def _verbose(
    transcript: Transcript, warnings: Sequence[str], request: TranscriptionRequest, log_probs: LogProbs
) -> VerboseTranscription:
    segments = words = None
    if request.segments:
        segments = [_segment(number, segment, log_probs) for number, segment in enumerate(transcript.segments)]
    if request.words:
        words = [
            VerboseWord(word=word.text, start=word.start, end=word.end, confidence=word.confidence)
            for word in transcript.words
        ]
    return VerboseTranscription(
        language=transcript.language or "und",
        duration=round(transcript.duration, 3),
        text=transcript.text,
        segments=segments,
        words=words,
        usage=usage(transcript),
        warnings=list(warnings) or None,
    )


def _segment(number: int, segment: Segment, log_probs: LogProbs) -> VerboseSegment:
    data = segment.text.encode()
    return VerboseSegment(
        id=number,
        seek=round(segment.start * 100),
        start=segment.start,
        end=segment.end,
        text=segment.text,
        tokens=[token.id for token in segment.tokens],
        avg_logprob=log_probs.mean(segment.tokens),
        compression_ratio=round(len(data) / len(zlib.compress(data)), 4) if data else 0.0,
        confidence=segment.confidence,
        language=segment.language,
    )
