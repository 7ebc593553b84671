"""What our own interface says, in both directions: a JSON object a message."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import ImmutableMultiDict

from legato.options import Endpointing
from legato.recognizer import Options
from legato.serve.core.audio_format import Encoding, Wire
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
    """How something is to be recognised; everything has a default.

    Attributes:
        language: `auto`, or a name that the model has.
        chunk_ms: how far ahead the model may look.
        endpoint: end segments at pauses of so many seconds; true for 1, false for none.
        phrases: that are likely to be said, each with its weight if that is to be another than usual.
    """

    model_config = _STRICT

    language: str | None = None
    chunk_ms: int | None = None
    endpoint: bool | Annotated[float, Field(gt=0)] = True
    phrases: list[str | tuple[str, float]] = []

    def options(self, settings: Settings) -> Options:
        """Give it as the engine takes it.

        Raises:
            ApiError: there are too many phrases.
        """
        if len(self.phrases) > settings.max_phrases:
            message = f"{len(self.phrases)} phrases: at most {settings.max_phrases} can be given."
            raise ApiError(400, message, code="too_many_phrases", param="phrases")
        endpoint = None
        if self.endpoint is not False:
            endpoint = Endpointing() if self.endpoint is True else Endpointing(after_speech=self.endpoint)
        return {
            "language": self.language or settings.language,
            "chunk_ms": settings.chunk_ms if self.chunk_ms is None else self.chunk_ms,
            "phrases": self.phrases,
            "endpoint": endpoint,
        }


class Start(Asked):
    """The first message of a live stream.

    Attributes:
        encoding, sample_rate, channels: of its audio; several channels are averaged.
    """

    type: Literal["start"] = "start"
    encoding: Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"] = "pcm_s16le"
    sample_rate: int = 16_000
    channels: int = 1

    def wire(self) -> Wire:
        """Give what the audio is like.

        Raises:
            ApiError: no such audio is understood.
        """
        try:
            return Wire(_ENCODINGS[self.encoding], self.sample_rate, self.channels)
        except ValueError as error:
            raise ApiError(400, str(error), code="invalid_value") from None


class Commit(BaseModel):
    """End the segment here; always answered by one."""

    model_config = _STRICT
    type: Literal["commit"]


class Language(BaseModel):
    """Go on in another language."""

    model_config = _STRICT
    type: Literal["language"]
    language: str


class End(BaseModel):
    """No more audio comes."""

    model_config = _STRICT
    type: Literal["end"]


Message = Annotated[Commit | Language | End, Field(discriminator="type")]
_MESSAGE: TypeAdapter[Commit | Language | End] = TypeAdapter(Message)


def read_start(text: str | bytes) -> Start:
    """Read a first message. Errors as for `checked`."""
    return checked(Start.model_validate_json, text)


def read_message(text: str | bytes) -> Commit | Language | End:
    """Read a later message. Errors as for `checked`."""
    return checked(_MESSAGE.validate_json, text)


def read_fields(fields: ImmutableMultiDict[str, str], kind: type[_Asked]) -> _Asked:
    """Read the options in a query or a form, where `phrases` may come several times. Errors as for `checked`."""
    many = {"phrases": fields.getlist("phrases")} if "phrases" in fields else {}
    return checked(kind.model_validate, {**fields, **many})


def checked(read: Callable[[_Given], _Read], given: _Given) -> _Read:
    """Give what a reader of pydantic's makes of something.

    Raises:
        ApiError: it is not of the form; which field, and why.
    """
    try:
        return read(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(map(str, first["loc"]))
        message = f"{name}: {first['msg']}." if name else f"{first['msg']}."
        raise ApiError(400, message, code="invalid_value", param=name or None) from None


def event_line(event: Event, settings: Settings, told: Sequence[str] = (), warnings: Sequence[str] = ()) -> str:
    """Give an event as JSON on a line.

    Args:
        event: of a stream with segments.
        settings: they name the model.
        told: for a `Final`: texts of the segments that it does not hold.
        warnings: for a `Final`: what is wrong with the audio.
    """
    if not isinstance(event, Final):
        return json_line(event_as_dict(event))
    rest = event.transcript
    final: dict[str, object] = {
        "type": "final",
        "model": settings.model,
        "language": rest.language,
        "duration": round(rest.duration, 3),
        "text": join_texts([*told, rest.text]),
    }
    return json_line({**final, "warnings": list(warnings)} if warnings else final)


def error_line(error: Exception) -> str:
    """Give an error as JSON on a line."""
    return json_line({"type": "error", **as_api_error(error).as_dict()})
