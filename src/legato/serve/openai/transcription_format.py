"""Transcripts in the response formats of OpenAI's transcription interface."""

import zlib
from collections.abc import Collection, Sequence

from pydantic import BaseModel

from legato.audio.channels import speaker_of
from legato.model.languages import AUTO, english_name
from legato.serve.core.files import FileResult
from legato.serve.openai.transcription_request import TranscriptionRequest
from legato.streaming.collect import merge_channels
from legato.text.formats import to_txt
from legato.text.subtitles import to_srt, to_vtt
from legato.types import Segment, Token, Transcript


class Usage(BaseModel):
    """What the request used: seconds of audio."""

    type: str = "duration"
    seconds: float


class LogProb(BaseModel):
    """A token with the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int]


class Language(BaseModel):
    """A detected language, such as `en`."""

    code: str


class Transcription(BaseModel):
    """The response format `json`."""

    text: str
    languages: list[Language]
    usage: Usage
    logprobs: list[LogProb] | None = None
    warnings: list[str] | None = None


class VerboseWord(BaseModel):
    """A word with its times in seconds. `confidence`, from 0 to 1, is not a field of OpenAI's."""

    word: str
    start: float
    end: float
    confidence: float


class VerboseSegment(BaseModel):
    """A sentence with its times in seconds. Values that only Whisper has are 0."""

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
    """The response format `verbose_json`.

    `language` is an English name such as `english`, and `language_code` the tag, such as `en-US`, which is not a field
    of OpenAI's. Both are `und` if no language was detected.
    """

    task: str = "transcribe"
    language: str
    language_code: str
    duration: float
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[VerboseWord] | None = None
    usage: Usage
    warnings: list[str] | None = None


class DiarizedSegment(BaseModel):
    """A sentence of one speaker with its times in seconds."""

    type: str = "transcript.text.segment"
    id: str
    start: float
    end: float
    speaker: str
    text: str


class DiarizedTranscription(BaseModel):
    """The response format `diarized_json`. Each channel of the file is one speaker: `A`, `B`, ..."""

    task: str = "transcribe"
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: Usage
    warnings: list[str] | None = None


def content_of(results: Sequence[FileResult], request: TranscriptionRequest, tags: Collection[int]) -> tuple[str, str]:
    """Return the body of the response and its media type.

    Args:
        results: the transcript and its warnings; for `diarized_json` those of every channel.
        tags: ids of the tokens that are language tags.
    """
    result = results[0]
    transcript = result.transcript
    match request.response_format:
        case "text":
            return to_txt(transcript), "text/plain"
        case "srt":
            return to_srt(transcript), "text/plain"
        case "vtt":
            return to_vtt(transcript) or "WEBVTT\n", "text/vtt"
        case "verbose_json":
            body: BaseModel = _verbose(result, request)
        case "diarized_json":
            body = diarized(results)
        case "json":
            body = Transcription(
                text=transcript.text,
                languages=languages(transcript),
                usage=usage(transcript),
                logprobs=log_probs(transcript.tokens, tags) if request.logprobs else None,
                warnings=result.warnings or None,
            )
    return body.model_dump_json(exclude_none=True), "application/json"


def log_probs(tokens: Sequence[Token], tags: Collection[int]) -> list[LogProb]:
    """Return the log-probabilities of the tokens that are text; their texts joined are the transcript's text."""
    texts = [(token, token.piece.replace("\u2581", " ")) for token in tokens if token.id not in tags]
    return [LogProb(token=text, logprob=round(token.logprob, 4), bytes=list(text.encode())) for token, text in texts]


def mean_log_prob(tokens: Sequence[Token]) -> float:
    """Return the mean log-probability of tokens; 0 for none."""
    return round(sum(token.logprob for token in tokens) / len(tokens), 4) if tokens else 0.0


def languages(transcript: Transcript) -> list[Language]:
    """Return the languages that were detected."""
    tags = [segment.language for segment in transcript.segments] + [transcript.language]
    codes = dict.fromkeys(tag.partition("-")[0] for tag in tags if tag and tag != AUTO)
    return [Language(code=code) for code in codes]


def diarized(results: Sequence[FileResult]) -> DiarizedTranscription:
    """Return the transcript of a file whose channels are its speakers."""
    transcript = merge_channels([result.transcript for result in results])
    speakers = {speaker_of(channel): _letters(channel) for channel in range(len(results))}
    segments = [
        DiarizedSegment(
            id=f"seg_{number:03d}",
            start=segment.start,
            end=segment.end,
            speaker=speakers.get(segment.speaker or "", "A"),
            text=segment.text,
        )
        for number, segment in enumerate(transcript.segments)
    ]
    warnings = list(dict.fromkeys(warning for result in results for warning in result.warnings))
    if len(results) == 1:
        warnings.append("The file has one channel, so its speakers are not distinguished.")
    return DiarizedTranscription(
        duration=round(transcript.duration, 3),
        text=transcript.text,
        segments=segments,
        usage=usage(transcript),
        warnings=warnings or None,
    )


def _letters(number: int) -> str:
    """Return A, B, ..., Z, AA, AB, ..."""
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def usage(transcript: Transcript) -> Usage:
    """Return the seconds of audio that were recognized."""
    return Usage(seconds=round(transcript.duration, 3))


def _verbose(result: FileResult, request: TranscriptionRequest) -> VerboseTranscription:
    transcript = result.transcript
    segments = words = None
    if request.segments:
        segments = [_segment(number, segment) for number, segment in enumerate(transcript.segments)]
    if request.words:
        words = [
            VerboseWord(word=word.text, start=word.start, end=word.end, confidence=word.confidence)
            for word in transcript.words
        ]
    return VerboseTranscription(
        language=english_name(transcript.language) if transcript.language else "und",
        language_code=transcript.language or "und",
        duration=round(transcript.duration, 3),
        text=transcript.text,
        segments=segments,
        words=words,
        usage=usage(transcript),
        warnings=result.warnings or None,
    )


def _segment(number: int, segment: Segment) -> VerboseSegment:
    data = segment.text.encode()
    return VerboseSegment(
        id=number,
        seek=round(segment.start * 100),
        start=segment.start,
        end=segment.end,
        text=segment.text,
        tokens=[token.id for token in segment.tokens],
        avg_logprob=mean_log_prob(segment.tokens),
        compression_ratio=round(len(data) / len(zlib.compress(data)), 4) if data else 0.0,
        confidence=segment.confidence,
        language=segment.language,
    )
