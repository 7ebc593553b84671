"""What a client of Deepgram's interface asks for in the query of `/v1/listen`.

What would change the result and is not done here is refused; what only tunes Deepgram's own models is passed over.
"""

import math
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from legato.decode.phrases import Phrase
from legato.options import Endpointing
from legato.serve.core.audio_format import Encoding, Wire
from legato.serve.errors import ApiError

_ENCODINGS: dict[str, Encoding] = {"linear16": "pcm16", "mulaw": "mulaw", "alaw": "alaw"}
_CONTAINERS = frozenset({"ogg-opus", "flac"})
"""What Deepgram calls encodings, and says itself what it is, as containers without an encoding do."""
_REFUSED = {
    "callback": "results are sent to nobody but the client",
    "diarize": "speakers are not told apart; several channels are, with multichannel=true",
    "diarize_model": "speakers are not told apart; several channels are, with multichannel=true",
    "redact": "nothing is taken out of the text",
    "profanity_filter": "nothing is taken out of the text",
    "replace": "words are not replaced",
    "search": "nothing is searched for",
    "detect_entities": "entities are not detected",
    "summarize": "there is only a transcript",
    "sentiment": "there is only a transcript",
    "topics": "there is only a transcript",
    "intents": "there is only a transcript",
    "translate": "there is only a transcript",
}
_AUTO = frozenset({"multi", "auto"})
_ENDPOINTING = 0.5
_SHORTEST = 0.3
_SHORTEST_UTTERANCE_END = 1.0
_LONGEST = 20.0


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """The options of a connection.

    Attributes:
        wire: how the audio comes; None: in a container that says it itself.
        multichannel: every channel is recognised for itself.
        language: as asked for, or `auto`; None leaves it to the server.
        interim: results that are not final are wanted.
        endpointing: seconds of silence behind which speech is final; None: it is not looked for.
        utterance_end: seconds without a word behind which an `UtteranceEnd` is sent; None: none is.
        vad_events: a `SpeechStarted` is wanted.
        phrases: what is to be recognised more readily.
        detects_language: the language that was found is wanted, of a file.
        utterances: segments are wanted, of a file.
    """

    wire: Wire | None
    multichannel: bool
    language: str | None
    interim: bool
    endpointing: float | None
    utterance_end: float | None
    vad_events: bool
    phrases: tuple[Phrase, ...]
    detects_language: bool
    utterances: bool

    @property
    def ends_with_speech(self) -> bool:
        """Whether a pause that ends a segment is long enough for an `UtteranceEnd` too."""
        return self.utterance_end is not None and self._pause >= self.utterance_end

    @property
    def rules(self) -> Endpointing:
        """When a segment of the stream ends.

        An `UtteranceEnd` that comes later than the end of a segment is the end of an empty segment behind it.
        """
        rest = math.inf if self.utterance_end is None else self.utterance_end
        if self.endpointing is not None:
            rest = max(0.08, rest - self.endpointing)
        return Endpointing(after_speech=self._pause, without_speech=rest, longest=_LONGEST)

    @property
    def _pause(self) -> float:
        if self.endpointing is not None:
            return self.endpointing
        return math.inf if self.utterance_end is None else self.utterance_end


def listen_options(query: QueryParams) -> ListenOptions:
    """Read the query.

    Raises:
        ApiError: an option is wrong, or asks for what is not done here.
    """
    for name, reason in _REFUSED.items():
        if any(value.lower() not in {"", "false", "0"} for value in query.getlist(name)):
            raise _wrong(name, f"Not done here: {reason}. Leave it out.")
    wire = _wire(query)
    multichannel = _flag(query, "multichannel")
    if multichannel and wire is None:
        raise _wrong("multichannel", "It needs raw audio, with an encoding; the channels of a container are averaged.")
    language = query.get("language") or None
    detects_language = _flag(query, "detect_language")
    if detects_language or (language is not None and language.lower() in _AUTO):
        language = "auto"
    utterance_end = None
    if query.get("utterance_end_ms"):
        utterance_end = max(_SHORTEST_UTTERANCE_END, _number(query, "utterance_end_ms", 0, 60_000) / 1000)
    return ListenOptions(
        wire=wire,
        multichannel=multichannel,
        language=language,
        interim=_flag(query, "interim_results"),
        endpointing=_endpointing(query),
        utterance_end=utterance_end,
        vad_events=_flag(query, "vad_events"),
        phrases=(*query.getlist("keyterm"), *_keywords(query.getlist("keywords"))),
        detects_language=detects_language,
        utterances=_flag(query, "utterances"),
    )


def _wire(query: QueryParams) -> Wire | None:
    name = query.get("encoding")
    channels = round(_number(query, "channels", 1, 16, default=1))
    if not name or name.lower() in _CONTAINERS:
        return None
    encoding = _ENCODINGS.get(name.lower())
    if encoding is None:
        known = ", ".join(_ENCODINGS)
        raise _wrong(
            "encoding", f"Unknown: {known} are understood, and containers (Ogg, WebM, WAV) without an encoding."
        )
    if not query.get("sample_rate"):
        raise _wrong("sample_rate", "It must be given with the encoding.")
    return Wire(encoding, round(_number(query, "sample_rate", 4000, 192_000)), channels)


def _endpointing(query: QueryParams) -> float | None:
    """Seconds; silence here is frames without text, of which there are some between any two words."""
    value = query.get("endpointing", "").lower()
    if value == "false":
        return None
    if value in {"", "true"}:
        return _ENDPOINTING
    return max(_SHORTEST, _number(query, "endpointing", 0, 60_000) / 1000)


def _keywords(values: list[str]) -> list[Phrase]:
    """Words, without Deepgram's intensifiers (`word:2`); those that are to be heard less are left out."""
    found: list[Phrase] = []
    for value in values:
        word, colon, factor = value.rpartition(":")
        try:
            if not colon:
                found.append(value)
            elif float(factor) > 0:
                found.append(word)
        except ValueError:
            found.append(value)
    return found


def _flag(query: QueryParams, name: str) -> bool:
    value = query.get(name, "").lower()
    if value not in {"", "true", "false", "1", "0"}:
        raise _wrong(name, "It must be true or false.")
    return value in {"true", "1"}


def _number(query: QueryParams, name: str, least: float, most: float, default: float | None = None) -> float:
    given = query.get(name)
    if not given and default is not None:
        return default
    try:
        value = float(given or "")
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise _wrong(name, f"It must be a number from {least:g} to {most:g}.")
    return value


def _wrong(name: str, message: str) -> ApiError:
    return ApiError(400, f"{name}: {message}", code="invalid_value", param=name)
