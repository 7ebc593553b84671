"""The messages of the native protocol, in both directions: one JSON object per message."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError
from starlette.datastructures import ImmutableMultiDict

from legato.audio.pcm import AudioFormat, Encoding
from legato.chunks import CHUNK_SIZES_MS
from legato.options import Endpointing, StreamOptions
from legato.serve.core.languages import requested_language
from legato.serve.core.options import check_phrases
from legato.serve.errors import ApiError, InvalidValueError, as_api_error
from legato.serve.problems import must_be, problem_of
from legato.serve.settings import Settings
from legato.text.formats import event_as_dict, json_line
from legato.text.words import append_spoken
from legato.types import Event, Final

_ENCODINGS: dict[str, Encoding] = {"pcm_s16le": "pcm16", "pcm_f32le": "float32", "mulaw": "mulaw", "alaw": "alaw"}
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_Read = TypeVar("_Read", bound=BaseModel)
_Asked = TypeVar("_Asked", bound="Asked")


class Asked(BaseModel):
    """The options of a live stream or a file; all have a default.

    Attributes:
        language: a locale or language code, or `auto`.
        chunk_ms: milliseconds of audio that the model sees at once.
        endpoint: seconds of silence after speech that end a segment; true for 1 s, false for no endpoints.
        phrases: phrases to recognize more readily, each a text or a pair of a text and its weight.
    """

    model_config = _STRICT

    language: str | None = None
    chunk_ms: Annotated[int | None, must_be(f"one of {', '.join(map(str, CHUNK_SIZES_MS))}")] = None
    endpoint: Annotated[
        bool | Annotated[float, Field(gt=0)], must_be("true, false, or the seconds of a pause (above 0)")
    ] = True
    phrases: Annotated[
        list[str | tuple[str, float]], must_be("a list of texts, or of pairs of a text and its weight")
    ] = []

    def options(self, settings: Settings) -> StreamOptions:
        """Return the options of the stream, with the defaults of the settings.

        Raises:
            TooManyPhrasesError: there are more phrases than the settings allow.
        """
        check_phrases(self.phrases, settings, "phrases")
        endpoint = None
        if self.endpoint is not False:
            endpoint = Endpointing() if self.endpoint is True else Endpointing(after_speech=self.endpoint)
        language = requested_language(self.language) or settings.language
        options = replace(settings.defaults, language=language, endpoint=endpoint, phrases=self.phrases)
        return options if self.chunk_ms is None else replace(options, chunk_ms=self.chunk_ms)


class Start(Asked):
    """The first message of a live stream. Unknown fields are ignored, with a warning.

    Attributes:
        encoding: encoding of the audio.
        sample_rate: sample rate in Hz.
        channels: number of channels, which are averaged.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    type: Annotated[Literal["start"], must_be("'start' in a first message that is not audio")] = "start"
    encoding: Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"] = "pcm_s16le"
    sample_rate: int = 16_000
    channels: int = 1

    @property
    def warnings(self) -> list[str]:
        """What was ignored."""
        return [f"{name[:60]}: this option is not known, and was ignored." for name in (self.model_extra or {})][:20]

    def audio_format(self) -> AudioFormat:
        """Return the format of the audio.

        Raises:
            ApiError: a number is out of range.
        """
        try:
            return AudioFormat(_ENCODINGS[self.encoding], self.sample_rate, self.channels)
        except ValueError as error:
            raise ApiError(400, str(error), code="invalid_value") from None


class CommitMessage(BaseModel):
    """Close the current segment, with `wait` after the word that is being spoken; always answered by one."""

    model_config = _STRICT
    type: Literal["commit"]
    wait: StrictBool = False


class LanguageMessage(BaseModel):
    """Continue in another language; null or empty for that of the server."""

    model_config = _STRICT
    type: Literal["language"]
    language: str | None


class EndMessage(BaseModel):
    """End the audio."""

    model_config = _STRICT
    type: Literal["end"]


class _AnyMessage(BaseModel):
    type: Literal["commit", "language", "end"] = Field(None, validate_default=True)  # so that the error names them


Message = CommitMessage | LanguageMessage | EndMessage
_MESSAGES: dict[str, type[Message]] = {"commit": CommitMessage, "language": LanguageMessage, "end": EndMessage}


def read_start(text: str | bytes) -> Start:
    """Read a first message. Errors as for `checked`."""
    return checked(Start, text)


def read_message(text: str | bytes) -> Message:
    """Read a later message. Errors as for `checked`."""
    return checked(_MESSAGES[checked(_AnyMessage, text).type], text)


def read_fields(fields: ImmutableMultiDict[str, str], kind: type[_Asked]) -> _Asked:
    """Read the options of a query or a form, where `phrases` may occur several times. Errors as for `checked`."""
    several = {"phrases": fields.getlist("phrases")} if "phrases" in fields else {}
    return checked(kind, {**fields, **several})


def checked(kind: type[_Read], given: str | bytes | Mapping[str, Any]) -> _Read:
    """Return JSON, or values, as a model of pydantic.

    Raises:
        InvalidValueError: something is not valid; the message says which field, and what it may be.
    """
    try:
        return kind.model_validate_json(given) if isinstance(given, str | bytes) else kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidValueError(name or None, problem_of(first, tuple(kind.model_fields))) from None


def event_line(
    event: Event, settings: Settings, text: str = "", language: str | None = None, warnings: Sequence[str] = ()
) -> str:
    """Return an event as a line of JSON.

    Args:
        event: event of a stream with segments.
        settings: have the name of the model.
        text: of the segments before a `Final`, which does not hold them.
        language: of the last of these segments.
        warnings: what is wrong with the audio, for a `Final`.
    """
    if not isinstance(event, Final):
        return json_line(event_as_dict(event))
    rest = event.transcript
    final: dict[str, object] = {
        "type": "final",
        "model": settings.model,
        "language": rest.language if rest.tokens else language or rest.language,
        "duration": round(rest.duration, 3),
        "text": append_spoken(text, rest),
    }
    return json_line({**final, "warnings": list(warnings)} if warnings else final)


def error_line(error: Exception) -> str:
    """Return an error as a line of JSON."""
    return json_line({"type": "error", **as_api_error(error).as_dict()})
