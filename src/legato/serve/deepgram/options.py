"""The options of Deepgram's interface, from the query of `/v1/listen`.

Options are refused if ignoring them would break a promise of privacy. Others that would change the result and are not
supported are ignored with a warning. Options that only tune Deepgram's own models are ignored.
"""

import math
from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams

from legato.audio.pcm import AudioFormat, Encoding
from legato.decode.phrases import Phrase
from legato.model.languages import AUTO
from legato.options import Endpointing, StreamOptions
from legato.serve.core.fields import parse_flag, parse_number
from legato.serve.core.languages import requested_language
from legato.serve.errors import InvalidValueError

ENCODINGS: dict[str, Encoding] = {"linear16": "pcm16", "linear32": "float32", "mulaw": "mulaw", "alaw": "alaw"}
#: Encodings in Deepgram's words that are containers for us.
CONTAINERS = frozenset({"ogg-opus", "flac"})
_REFUSED = {
    "callback": "results are sent to the client only",
    "redact": "nothing is removed from the text",
}
_IGNORED = {
    "diarize": "voices are not compared; channels are distinguished, with multichannel=true",
    "diarize_model": "voices are not compared; channels are distinguished, with multichannel=true",
    "profanity_filter": "nothing is removed from the text",
    "numerals": "numbers are written as the model writes them",
    "measurements": "units are written as the model writes them",
    "dictation": "spoken punctuation is written as words",
    "detect_entities": "entities are not detected",
    "summarize": "there is only a transcript",
    "sentiment": "there is only a transcript",
    "topics": "there is only a transcript",
    "intents": "there is only a transcript",
    "translate": "there is only a transcript",
}
#: Options that are obeyed, that describe what is done anyway, or that only tune or bill Deepgram's own models.
_KNOWN = frozenset(
    {
        "encoding", "sample_rate", "channels", "multichannel", "language", "detect_language", "interim_results",
        "endpointing", "utterance_end_ms", "vad_events", "keyterm", "keywords", "utterances", "utt_split", "paragraphs",
        "search", "replace", "model", "version", "tier", "punctuate", "smart_format", "filler_words", "no_delay",
        "mip_opt_out", "tag", "extra", "callback_method", "vad_turnoff", "alternatives",
    }
)  # fmt: skip
_NO = frozenset({"", "false", "0", "none", "null"})
_MOST_WARNINGS = 50
#: Seconds of silence that end a segment, by default and at least. Between any two words there are quiet frames.
_ENDPOINTING = 0.5
_SHORTEST = 0.3
_SHORTEST_UTTERANCE_END = 1.0
_SHORTEST_REST = 0.08
_LONGEST = 20.0


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """The options of a connection.

    Attributes:
        audio_format: format of raw audio; None for audio in a container.
        multichannel: whether every channel is recognized separately.
        language: requested language, or `auto`; None leaves it to the server.
        interim: whether results that are not final are sent.
        endpointing: seconds of silence after which speech is final; None if silence is ignored.
        utterance_end: seconds without a word after which an `UtteranceEnd` is sent; None for no such message.
        vad_events: whether a `SpeechStarted` is sent.
        phrases: phrases to recognize more readily.
        detects_language: whether the client asked for detection of the language.
        warnings: a text for each option that is ignored.
    """

    audio_format: AudioFormat | None
    multichannel: bool
    language: str | None
    interim: bool
    endpointing: float | None
    utterance_end: float | None
    vad_events: bool
    phrases: tuple[Phrase, ...]
    detects_language: bool
    warnings: tuple[str, ...]

    @property
    def ends_with_speech(self) -> bool:
        """Whether the silence that ends a segment is long enough for an `UtteranceEnd` too."""
        return self.utterance_end is not None and self._silence >= self.utterance_end

    @property
    def endpoint(self) -> Endpointing:
        """The endpoint rules of the stream.

        An `UtteranceEnd` that comes later than the end of a segment is the end of an empty segment after it.
        """
        rest = math.inf if self.utterance_end is None else self.utterance_end
        if self.endpointing is not None:
            rest = max(_SHORTEST_REST, rest - self.endpointing)
        return Endpointing(after_speech=self._silence, without_speech=rest, longest=_LONGEST)

    def endpoint_after(self, passed: float) -> Endpointing:
        """Return the endpoint rules for a segment that begins some seconds after the last word."""
        if self.utterance_end is None:
            return self.endpoint
        return replace(self.endpoint, without_speech=max(_SHORTEST_REST, self.utterance_end - passed))

    def stream_options(self, defaults: StreamOptions) -> StreamOptions:
        """Return the options of a live stream, given those of the server."""
        language = defaults.language if self.language is None else self.language
        return replace(defaults, language=language, endpoint=self.endpoint, phrases=self.phrases)

    @property
    def _silence(self) -> float:
        if self.endpointing is not None:
            return self.endpointing
        return math.inf if self.utterance_end is None else self.utterance_end


def listen_options(query: QueryParams) -> ListenOptions:
    """Read the query.

    Raises:
        InvalidValueError: an option is wrong, or ignoring it would break a promise of privacy.
    """
    refuse_private(query)
    audio_format = audio_format_of(query)
    # `detect_language` may be a flag, or the possible languages.
    detect = [value for value in query.getlist("detect_language") if value.lower() not in {"", "false", "0"}]
    languages = [value for value in detect if value.lower() not in {"true", "1"}]
    language = requested_language(query.get("language"), languages, detect=len(detect) > len(languages))
    utterance_end = None
    if value := query.get("utterance_end_ms"):
        utterance_end = max(_SHORTEST_UTTERANCE_END, parse_number(value, 0, 60_000, "utterance_end_ms") / 1000)
    return ListenOptions(
        audio_format=audio_format,
        multichannel=_flag(query, "multichannel"),
        language=language,
        interim=_flag(query, "interim_results"),
        endpointing=_endpointing(query),
        utterance_end=utterance_end,
        vad_events=_flag(query, "vad_events"),
        phrases=(*query.getlist("keyterm"), *_keywords(query.getlist("keywords"))),
        detects_language=bool(detect) or language == AUTO,
        warnings=ignored(query, _KNOWN),
    )


def refuse_private(query: QueryParams) -> None:
    """Refuse options of which ignoring would break a promise of privacy.

    Raises:
        InvalidValueError: there is such an option.
    """
    for name, reason in _REFUSED.items():
        if _is_set(query, name):
            raise InvalidValueError(name, f"This option is not supported: {reason}. Omit it.")


def ignored(query: QueryParams, known: frozenset[str]) -> tuple[str, ...]:
    """Return a text for each option that is ignored although the client asks for it.

    Args:
        known: names of the options that are not worth a text.
    """
    channels = _is_set(query, "multichannel")
    found = [
        f"{name} is ignored: {reason}."
        for name, reason in _IGNORED.items()
        if _is_set(query, name) and not (channels and name.startswith("diarize"))
    ]
    unknown = sorted(query.keys() - known - _IGNORED.keys() - _REFUSED.keys())
    return tuple([*found, *(f"{name[:60]} is ignored: there is no such option." for name in unknown)][:_MOST_WARNINGS])


def audio_format_of(query: QueryParams) -> AudioFormat | None:
    """Return the format of raw audio; None for a container. Errors as for `listen_options`."""
    name = query.get("encoding")
    channels = round(parse_number(query.get("channels") or "1", 1, 16, "channels"))
    if not name or name.lower() in CONTAINERS:
        return None
    encoding = ENCODINGS.get(name.lower())
    if encoding is None:
        problem = f"It is not known. Use {', '.join(ENCODINGS)}, or a container (Ogg, WebM, WAV) without an encoding."
        raise InvalidValueError("encoding", problem)
    rate = query.get("sample_rate")
    if not rate:
        raise InvalidValueError("sample_rate", "It must be given with the encoding.")
    return AudioFormat(encoding, round(parse_number(rate, 4000, 192_000, "sample_rate")), channels)


def _endpointing(query: QueryParams) -> float | None:
    """Return the seconds of silence after which speech is final."""
    value = query.get("endpointing", "").lower()
    if value == "false":
        return None
    if value in {"", "true"}:
        return _ENDPOINTING
    return max(_SHORTEST, parse_number(value, 0, 60_000, "endpointing") / 1000)


def _keywords(values: list[str]) -> list[Phrase]:
    """Return words without Deepgram's intensifiers (`word:2`), except those to be recognized less readily."""
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


def _is_set(query: QueryParams, name: str) -> bool:
    return any(value.lower() not in _NO for value in query.getlist(name))


def _flag(query: QueryParams, name: str) -> bool:
    return parse_flag(query.get(name, ""), name)
