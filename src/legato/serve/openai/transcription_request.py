"""The fields of a transcription request, as OpenAI defines them."""

import json
import math
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field
from starlette.datastructures import FormData, UploadFile

from legato.decode.phrases import read_weighted
from legato.options import Endpointing
from legato.recognizer import Options
from legato.serve.errors import ApiError
from legato.serve.openai.models import check_model
from legato.serve.openai.prompt import split_prompt
from legato.serve.settings import Settings

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["word", "segment"]


class TranscriptionForm(BaseModel):
    """What a client may send; for the description of the interface."""

    file: bytes = Field(
        json_schema_extra={"format": "binary"},
        description="Audio or video of any container and codec that FFmpeg reads; all channels are averaged.",
    )
    model: str = Field(description="The name of the served model, or `whisper-1`, which means the same.")
    language: str = Field("", description="Spoken language, such as `en` or `de-DE`; empty or `auto` detects it.")
    prompt: str = Field(
        "",
        description="Names and terms that are to be recognised more readily, separated by commas, semicolons or line "
        "ends; `TERM=3` gives a weight (2 nats a token by default). It is not text for the model to continue.",
    )
    keywords: list[str] = Field([], alias="keywords[]", description="The same, a term each.")
    response_format: ResponseFormat = Field("json", description="Form of the result.")
    timestamp_granularities: list[Granularity] = Field(
        ["segment"],
        alias="timestamp_granularities[]",
        description="What `verbose_json` times: words, segments (sentences) or both.",
    )
    temperature: float = Field(0.0, ge=0, le=1, description="Has no effect: nothing is drawn by lot.")
    stream: bool = Field(
        False, description="Send the text as server-sent events while it is recognised; with `json` and `text` only."
    )
    include: list[Literal["logprobs"]] = Field(
        [], alias="include[]", description="`logprobs`: the log-probability of every token; with `json` only."
    )
    chunking_strategy: str = Field(
        "auto",
        description='`auto`, or `{"type": "server_vad", "silence_duration_ms": 500}`: segments end after such a pause.',
    )
    chunk_ms: Literal[80, 160, 320, 560, 1120] = Field(320, description="Not OpenAI's: how far ahead the model looks.")


class TranscriptionRequest(BaseModel):
    """What a client asked for, checked.

    Attributes:
        response_format: form of the result.
        words, segments: what `verbose_json` holds.
        stream: send events.
        logprobs: with the log-probability of every token.
        language: as given; None detects it.
        phrases: from prompt and keywords.
        pause_seconds: silence that ends a segment; None for sentences.
        chunk_ms: how far ahead the model looks.
    """

    response_format: ResponseFormat = "json"
    words: bool = False
    segments: bool = True
    stream: bool = False
    logprobs: bool = False
    language: str | None = None
    phrases: list[Any] = []
    pause_seconds: float | None = None
    chunk_ms: int

    def options(self, settings: Settings) -> Options:
        """Give the options of the stream."""
        endpoint = None
        if self.pause_seconds is not None:
            endpoint = Endpointing(after_speech=self.pause_seconds, without_speech=math.inf, longest=math.inf)
        return {
            "language": self.language or settings.language,
            "chunk_ms": self.chunk_ms,
            "phrases": self.phrases,
            "endpoint": endpoint,
        }


def read_request(form: FormData, settings: Settings) -> TranscriptionRequest:
    """Check the fields of a form; those that are not OpenAI's, nor ours, are passed over.

    Raises:
        ApiError: names the field, and says what it may be.
    """
    fields = _Fields(form)
    name = fields.text("model")
    if name is None:
        raise _invalid("model", "is missing: give the name of the served model, or whisper-1")
    check_model(name, settings)
    _refuse_speakers(fields)
    response_format = fields.choice("response_format", get_args(ResponseFormat), "json")
    granularities = fields.choices("timestamp_granularities", get_args(Granularity))
    if granularities and response_format != "verbose_json":
        raise _invalid("timestamp_granularities[]", "needs the response_format verbose_json")
    stream = fields.flag("stream")
    if stream and response_format not in {"json", "text"}:
        raise _invalid("stream", f"works with the response formats json and text, not {response_format}")
    logprobs = "logprobs" in fields.choices("include", ("logprobs",))
    if logprobs and response_format != "json":
        raise _invalid("include[]", "logprobs needs the response_format json")
    fields.number("temperature", 0, 1)
    phrases = read_weighted([*split_prompt(fields.text("prompt") or ""), *fields.several("keywords")])
    if len(phrases) > settings.max_phrases:
        raise _invalid("prompt", f"holds {len(phrases)} phrases: at most {settings.max_phrases} can be given")
    chunk_ms = fields.number("chunk_ms", 80, 1120)
    return TranscriptionRequest(
        response_format=response_format,  # type: ignore[arg-type]  # checked
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        stream=stream,
        logprobs=logprobs,
        language=_language(fields),
        phrases=phrases,
        pause_seconds=_pause(fields),
        chunk_ms=settings.chunk_ms if chunk_ms is None else round(chunk_ms),
    )


def file_of(form: FormData) -> UploadFile:
    """Give the uploaded file.

    Raises:
        ApiError: there is none.
    """
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise _invalid("file", "is missing: send the audio as a form field with a file name")
    return file


class _Fields:
    """The text fields of a form; lists may be given as `name[]` or `name`."""

    def __init__(self, form: FormData) -> None:
        self._items = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]

    def text(self, name: str) -> str | None:
        """The field's last value; None when it is missing or empty."""
        return next((value for key, value in reversed(self._items) if key == name and value.strip()), None)

    def several(self, name: str) -> list[str]:
        """All values of a list that are not empty."""
        return [value for key, value in self._items if key in {name, f"{name}[]"} and value.strip()]

    def inner(self, name: str) -> dict[str, str]:
        """The fields of an object, given as `name[field]`."""
        start = f"{name}["
        return {key[len(start) : -1]: value for key, value in self._items if key.startswith(start) and key[-1] == "]"}

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name) or default
        if value not in allowed:
            raise _invalid(name, f"{value[:50]!r} is none of {', '.join(allowed)}")
        return value

    def choices(self, name: str, allowed: tuple[str, ...]) -> list[str]:
        values = self.several(name)
        for value in values:
            if value not in allowed:
                raise _invalid(f"{name}[]", f"{value[:50]!r} is none of {', '.join(allowed)}")
        return values

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "false").strip().lower()
        if value not in {"true", "false", "1", "0"}:
            raise _invalid(name, f"{value[:50]!r} is neither true nor false")
        return value in {"true", "1"}

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.text(name)
        return None if value is None else _number(name, value, least, most)


def _number(name: str, value: object, least: float, most: float) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]  # of what is no number, it says so
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not least <= number <= most:
        raise _invalid(name, f"{str(value)[:50]!r} is no number from {least:g} to {most:g}")
    return number


def _refuse_speakers(fields: _Fields) -> None:
    for name in ("known_speaker_names", "known_speaker_references"):
        if fields.several(name):
            raise _invalid(f"{name}[]", "is not supported: speakers are not told apart")


def _language(fields: _Fields) -> str | None:
    """The language that is asked for; of several possible ones none, as any can be detected."""
    several = fields.several("languages")
    return fields.text("language") or (several[0] if len(several) == 1 else None)


def _pause(fields: _Fields) -> float | None:
    """The pause that ends a segment, if the chunking strategy says one."""
    strategy: dict[str, Any] = dict(fields.inner("chunking_strategy"))
    text = fields.text("chunking_strategy")
    if text is not None and text != "auto":
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise _invalid("chunking_strategy", "is neither auto nor an object")
        strategy |= read
    if not strategy:
        return None
    if strategy.get("type") != "server_vad":
        raise _invalid("chunking_strategy", "has another type than server_vad")
    pause = strategy.get("silence_duration_ms", 200)
    return _number("chunking_strategy.silence_duration_ms", pause, 80, 60_000) / 1000


def _invalid(name: str, what: str) -> ApiError:
    return ApiError(400, f"{name}: {what}.", code="invalid_value", param=name)
