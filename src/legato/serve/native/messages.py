"""The messages of the native protocol, in both directions: one JSON object per message."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import ImmutableMultiDict

from legato.options import Endpointing, StreamOptions
from legato.serve.core.audio_format import AudioFormat, Encoding
from legato.serve.core.languages import requested_language
from legato.serve.core.options import check_phrases
from legato.serve.errors import ApiError, as_api_error
from legato.serve.settings import Settings
from legato.text.formats import event_as_dict, json_line
from legato.text.words import join_texts
from legato.types import Event, Final

_ENCODINGS: dict[str, Encoding] = {"pcm_s16le": "pcm16", "pcm_f32le": "float32", "mulaw": "mulaw", "alaw": "alaw"}
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_Given = TypeVar("_Given")
_Read = TypeVar("_Read")
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
    chunk_ms: int | None = None
    endpoint: bool | Annotated[float, Field(gt=0)] = True
    phrases: list[str | tuple[str, float]] = []

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

    type: Literal["start"] = "start"
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
    """Close the current segment; always answered by one."""

    model_config = _STRICT
    type: Literal["commit"]


class LanguageMessage(BaseModel):
    """Continue in another language; null or empty for that of the server."""

    model_config = _STRICT
    type: Literal["language"]
    language: str | None


class EndMessage(BaseModel):
    """End the audio."""

    model_config = _STRICT
    type: Literal["end"]


Message = CommitMessage | LanguageMessage | EndMessage
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def read_start(text: str | bytes) -> Start:
    """Read a first message. Errors as for `checked`."""
    return checked(Start.model_validate_json, text)


def read_message(text: str | bytes) -> Message:
    """Read a later message. Errors as for `checked`."""
    return checked(_MESSAGE.validate_json, text)


def read_fields(fields: ImmutableMultiDict[str, str], kind: type[_Asked]) -> _Asked:
    """Read the options of a query or a form, where `phrases` may occur several times. Errors as for `checked`."""
    several = {"phrases": fields.getlist("phrases")} if "phrases" in fields else {}
    return checked(kind.model_validate, {**fields, **several})


def checked(read: Callable[[_Given], _Read], given: _Given) -> _Read:
    """Return what a validator of pydantic makes of a value.

    Raises:
        ApiError: the value is not valid; the message says which field, and why.
    """
    try:
        return read(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(map(str, first["loc"]))
        message = f"{name}: {first['msg']}." if name else f"{first['msg']}."
        raise ApiError(400, message, code="invalid_value", param=name or None) from None


def event_line(event: Event, settings: Settings, texts: Sequence[str] = (), warnings: Sequence[str] = ()) -> str:
    """Return an event as a line of JSON.

    Args:
        event: event of a stream with segments.
        settings: have the name of the model.
        texts: texts of the segments before a `Final`, which does not hold them.
        warnings: what is wrong with the audio, for a `Final`.
    """
    if not isinstance(event, Final):
        return json_line(event_as_dict(event))
    rest = event.transcript
    final: dict[str, object] = {
        "type": "final",
        "model": settings.model,
        "language": rest.language,
        "duration": round(rest.duration, 3),
        "text": join_texts([*texts, rest.text]),
    }
    return json_line({**final, "warnings": list(warnings)} if warnings else final)


def error_line(error: Exception) -> str:
    """Return an error as a line of JSON."""
    return json_line({"type": "error", **as_api_error(error).as_dict()})
