"""The fields of a transcription request, as OpenAI defines them."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field
from starlette.datastructures import FormData

from legato.chunks import CHUNK_SIZES_MS, DEFAULT_CHUNK_MS
from legato.decode.phrases import Phrase, read_weighted
from legato.options import Endpointing, StreamOptions
from legato.serve.core.hints import prompt_terms
from legato.serve.core.languages import requested_language
from legato.serve.errors import InvalidValueError
from legato.serve.openai.form_fields import FormFields, number
from legato.serve.openai.models import check_model
from legato.serve.settings import Settings

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
Granularity = Literal["word", "segment"]

#: Response formats that can be sent as events. Others ignore `stream`, as OpenAI's do with whisper-1.
_STREAMED = frozenset({"json", "text", "diarized_json"})
_DEFAULT_PAUSE_MS = 200  # OpenAI's
_PAUSES_MS = (80, 60_000)


class TranscriptionForm(BaseModel):
    """The fields that a client may send; only for the OpenAPI description."""

    file: bytes = Field(
        json_schema_extra={"format": "binary"},
        description="Audio or video in any container and codec that FFmpeg reads; all channels are averaged.",
    )
    model: str = Field(description="The name of the served model, or `whisper-1`, which means the same.")
    language: str = Field("", description="Spoken language, such as `en` or `de-DE`; empty or `auto` detects it.")
    prompt: str = Field(
        "",
        description="Names and terms to recognize more readily, separated by commas, semicolons or line ends; "
        "`TERM=3` sets a weight (nats per token, 2 by default). From prose, the names are taken. The model does not "
        "continue the prompt, and ignores terms that it cannot spell.",
    )
    keywords: list[str] = Field([], alias="keywords[]", description="Names and terms as in `prompt`, one per value.")
    response_format: ResponseFormat = Field(
        "json", description="Format of the result. `diarized_json` has one speaker per channel of the file."
    )
    timestamp_granularities: list[Granularity] = Field(
        ["segment"],
        alias="timestamp_granularities[]",
        description="What `verbose_json` contains with times: words, segments (sentences), or both; ignored by "
        "other formats.",
    )
    temperature: float = Field(0.0, description="Has no effect: the model does not sample.")
    stream: bool = Field(
        False, description="Send the text as server-sent events; the formats `srt`, `vtt` and `verbose_json` ignore it."
    )
    include: list[Literal["logprobs"]] = Field(
        [], alias="include[]", description="`logprobs`: the log-probability of every token, in `json` and in events."
    )
    chunking_strategy: str = Field(
        "auto",
        description='`auto`, or `{"type": "server_vad", "silence_duration_ms": 500}`: segments end after such a pause.',
    )
    chunk_ms: int = Field(
        DEFAULT_CHUNK_MS,
        json_schema_extra={"enum": list(CHUNK_SIZES_MS)},
        description="Milliseconds of audio that the model sees at once. Not a field of OpenAI's.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest:
    """A checked request.

    Attributes:
        response_format: format of the result.
        words: whether `verbose_json` contains words.
        segments: whether `verbose_json` contains segments.
        stream: whether to send events.
        logprobs: whether to send the log-probability of every token.
        language: as given; None leaves it to the settings.
        phrases: from prompt and keywords.
        pause_seconds: silence that ends a segment; None makes segments of sentences.
        chunk_ms: as given; None leaves it to the settings.
        warnings: fields that are ignored although they would change the result.
    """

    response_format: ResponseFormat = "json"
    words: bool = False
    segments: bool = True
    stream: bool = False
    logprobs: bool = False
    language: str | None = None
    phrases: Sequence[Phrase] = ()
    pause_seconds: float | None = None
    chunk_ms: int | None = None
    warnings: Sequence[str] = ()

    def options(self, settings: Settings) -> StreamOptions:
        """Return the options of the stream."""
        endpoint = None
        if self.pause_seconds is not None:
            endpoint = Endpointing(after_speech=self.pause_seconds, without_speech=math.inf, longest=math.inf)
        return replace(
            settings.defaults,
            language=self.language or settings.language,
            chunk_ms=self.chunk_ms or settings.chunk_ms,
            phrases=self.phrases,
            endpoint=endpoint,
        )


def read_request(form: FormData, settings: Settings) -> TranscriptionRequest:
    """Check the fields of a form; unknown fields are ignored.

    Raises:
        ModelNotFoundError: another model than the served one.
        InvalidValueError: a field with a value that it cannot have.
    """
    fields = FormFields(form)
    name = fields.text("model")
    if name is None:
        raise InvalidValueError("model", "is missing: send the name of the served model, or whisper-1.")
    check_model(name, settings)
    response_format = fields.choice("response_format", get_args(ResponseFormat), "json")
    granularities = fields.choices("timestamp_granularities", get_args(Granularity))
    stream = fields.flag("stream") and response_format in _STREAMED
    logprobs = "logprobs" in fields.choices("include", ("logprobs",))
    fields.number("temperature", -math.inf, math.inf)
    terms = prompt_terms(fields.text("prompt") or "")[: settings.max_phrases]
    chunk_ms = fields.number("chunk_ms", min(CHUNK_SIZES_MS), max(CHUNK_SIZES_MS))
    return TranscriptionRequest(
        response_format=response_format,  # type: ignore[arg-type]  # checked
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        stream=stream,
        logprobs=logprobs,
        language=requested_language(fields.text("language"), fields.texts("languages")),
        phrases=read_weighted([*terms, *fields.texts("keywords")]),
        pause_seconds=_pause(fields),
        chunk_ms=None if chunk_ms is None else round(chunk_ms),
        warnings=_ignored_speakers(fields),
    )


def _ignored_speakers(fields: FormFields) -> list[str]:
    names = [name for name in ("known_speaker_names", "known_speaker_references") if fields.texts(name)]
    return [f"{name}[] is ignored: voices are not compared. Each channel is one speaker." for name in names]


def _pause(fields: FormFields) -> float | None:
    """Return the pause that ends a segment, in seconds, if the chunking strategy has one."""
    strategy: dict[str, Any] = dict(fields.object("chunking_strategy"))
    text = fields.text("chunking_strategy")
    if text is not None and text != "auto":
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise InvalidValueError("chunking_strategy", "is neither auto nor an object.")
        strategy |= read
    if not strategy:
        return None
    if strategy.get("type") != "server_vad":
        raise InvalidValueError("chunking_strategy", "has another type than server_vad.")
    pause = strategy.get("silence_duration_ms", _DEFAULT_PAUSE_MS)
    return number("chunking_strategy.silence_duration_ms", pause, *_PAUSES_MS) / 1000
