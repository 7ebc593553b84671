"""What a client of OpenAI's Realtime interface may configure: in `session.audio.input`, or flat as in its beta.

A session here always transcribes, so of what configures a conversation nothing is understood and nothing refused.
Noise reduction is not done, and the effective configuration says so.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from legato.decode.phrases import Phrase, read_weighted
from legato.options import NEVER, Endpointing
from legato.serve.core.audio_format import Encoding, Wire
from legato.serve.errors import ApiError
from legato.serve.openai.prompt import split_prompt

Json = Mapping[str, object]

_FORMATS: dict[str, Encoding] = {
    "audio/pcm": "pcm16", "pcm16": "pcm16",
    "audio/pcmu": "mulaw", "g711_ulaw": "mulaw",
    "audio/pcma": "alaw", "g711_alaw": "alaw",
}  # fmt: skip
_NEW_NAMES: dict[Encoding, str] = {"pcm16": "audio/pcm", "mulaw": "audio/pcmu", "alaw": "audio/pcma"}
_OLD_NAMES: dict[Encoding, str] = {"pcm16": "pcm16", "mulaw": "g711_ulaw", "alaw": "g711_alaw"}
_RATES = (24_000, 16_000)
_EAGERNESS = {"low": 2.0, "medium": 1.0, "auto": 1.0, "high": 0.5}
"""Seconds of silence that end a turn under `semantic_vad`: we judge by silence there as well."""


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """When the server ends a turn by itself.

    Attributes:
        kind: `server_vad`, or `semantic_vad`, whose eagerness only sets the length of the pause.
        silence_ms: of silence that end it, under `server_vad`.
        padding_ms: by which the told start of speech lies before its first word.
        threshold: kept, and used for nothing: the model itself hears what is speech.
        eagerness: under `semantic_vad`.
    """

    kind: str = "server_vad"
    silence_ms: int = 500
    padding_ms: int = 300
    threshold: float = 0.5
    eagerness: str = "auto"

    def as_dict(self) -> dict[str, object]:
        """Give it as clients see it."""
        if self.kind == "semantic_vad":
            return {"type": self.kind, "eagerness": self.eagerness}
        return {
            "type": self.kind, "threshold": self.threshold,
            "prefix_padding_ms": self.padding_ms, "silence_duration_ms": self.silence_ms,
        }  # fmt: skip

    @property
    def rules(self) -> Endpointing:
        """The same for a stream."""
        seconds = _EAGERNESS[self.eagerness] if self.kind == "semantic_vad" else self.silence_ms / 1000
        return Endpointing(after_speech=seconds, without_speech=math.inf, longest=math.inf)


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """The configuration of a session.

    Attributes:
        wire: how the audio comes.
        language: as asked for; None leaves it to the server.
        prompt: phrases, between commas.
        keywords: phrases, one by one.
        model: what the client calls the model; there is one.
        turns: when the server ends a turn; None: only the client does.
    """

    wire: Wire = field(default_factory=lambda: Wire("pcm16", 24_000))
    language: str | None = None
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    model: str = ""
    turns: TurnDetection | None = field(default_factory=TurnDetection)

    @property
    def phrases(self) -> list[Phrase]:
        """What is to be recognised more readily."""
        return read_weighted([*split_prompt(self.prompt), *self.keywords])

    @property
    def rules(self) -> Endpointing:
        """When a segment of the stream ends."""
        return NEVER if self.turns is None else self.turns.rules

    def updated(self, session: object) -> "RealtimeConfig":
        """Give the configuration with a client's changes, in either shape.

        Raises:
            ApiError: what was wrong; nothing changes.
        """
        given = _mapping(session, "session")
        config = self
        audio = _mapping(given.get("audio") or {}, "session.audio")
        inside = _mapping(audio.get("input") or {}, "session.audio.input")
        for fields, where, names in (
            (inside, "session.audio.input.", ("format", "transcription", "turn_detection")),
            (given, "session.", ("input_audio_format", "input_audio_transcription", "turn_detection")),
        ):
            audio_format, transcription, turns = names
            if audio_format in fields:
                config = replace(config, wire=_wire(fields[audio_format], where + audio_format))
            if transcription in fields:
                config = _transcription(config, fields[transcription], where + transcription)
            if turns in fields:
                config = replace(config, turns=_turns(config.turns, fields[turns], where + turns))
        return config

    def as_new(self, identifier: str) -> dict[str, object]:
        """Give the session object of the present interface."""
        form: dict[str, object] = {"type": _NEW_NAMES[self.wire.encoding]}
        if self.wire.encoding == "pcm16":
            form["rate"] = self.wire.rate
        return {
            "type": "transcription", "object": "realtime.transcription_session", "id": identifier, "include": None,
            "audio": {
                "input": {
                    "format": form, "noise_reduction": None, "transcription": self._as_transcription(),
                    "turn_detection": self.turns.as_dict() if self.turns else None,
                }
            },
        }  # fmt: skip

    def as_old(self, identifier: str) -> dict[str, object]:
        """Give the session object of the beta interface."""
        return {
            "object": "realtime.transcription_session", "id": identifier, "include": None, "modalities": ["text"],
            "input_audio_format": _OLD_NAMES[self.wire.encoding], "input_audio_noise_reduction": None,
            "input_audio_transcription": self._as_transcription(),
            "turn_detection": self.turns.as_dict() if self.turns else None,
        }  # fmt: skip

    def _as_transcription(self) -> dict[str, object]:
        found: dict[str, object] = {"model": self.model, "language": self.language, "prompt": self.prompt}
        return found | {"keywords": list(self.keywords)} if self.keywords else found


def _wire(value: object, param: str) -> Wire:
    if isinstance(value, str) or value is None:
        name, rate = value or "pcm16", None
    else:
        fields = _mapping(value, param)
        name = _text(fields.get("type") or "audio/pcm", f"{param}.type")
        rate = fields.get("rate")
    encoding = _FORMATS.get(name)
    if encoding is None:
        raise _wrong(param, f"Unknown audio format {name[:40]!r}: one of {', '.join(_FORMATS)} is understood.")
    if encoding != "pcm16":
        return Wire(encoding, 8000)
    if rate is None:
        return Wire(encoding, _RATES[0])
    if isinstance(rate, bool) or rate not in _RATES:
        raise _wrong(f"{param}.rate", f"PCM may have a rate of {' or '.join(map(str, _RATES))} Hz.")
    assert isinstance(rate, int | float)
    return Wire(encoding, int(rate))


def _transcription(config: RealtimeConfig, value: object, param: str) -> RealtimeConfig:
    if value is None:
        raise _wrong(param, "There is nothing but transcription here: it cannot be turned off.")
    fields = _mapping(value, param)
    if "language" in fields:
        language = fields["language"]
        config = replace(config, language=None if language is None else _text(language, f"{param}.language") or None)
    if "prompt" in fields:
        config = replace(config, prompt=_text(fields["prompt"] or "", f"{param}.prompt"))
    if "keywords" in fields:
        keywords = fields["keywords"] or []
        if not isinstance(keywords, list):
            raise _wrong(f"{param}.keywords", "It must be a list of texts.")
        config = replace(config, keywords=tuple(_text(each, f"{param}.keywords") for each in keywords))
    if "model" in fields:
        config = replace(config, model=_text(fields["model"] or "", f"{param}.model"))
    return config


def _turns(before: TurnDetection | None, value: object, param: str) -> TurnDetection | None:
    if value is None:
        return None
    fields = _mapping(value, param)
    turns = before or TurnDetection()
    kind = _text(fields.get("type") or turns.kind, f"{param}.type")
    if kind not in {"server_vad", "semantic_vad"}:
        raise _wrong(f"{param}.type", f"Unknown kind {kind[:40]!r}: give server_vad or semantic_vad, or null for none.")
    turns = replace(turns, kind=kind)
    if (silence := fields.get("silence_duration_ms")) is not None:
        turns = replace(turns, silence_ms=round(_number(silence, 10, 60_000, f"{param}.silence_duration_ms")))
    if (padding := fields.get("prefix_padding_ms")) is not None:
        turns = replace(turns, padding_ms=round(_number(padding, 0, 60_000, f"{param}.prefix_padding_ms")))
    if (threshold := fields.get("threshold")) is not None:
        turns = replace(turns, threshold=_number(threshold, 0, 1, f"{param}.threshold"))
    if (eagerness := fields.get("eagerness")) is not None:
        if eagerness not in list(_EAGERNESS):
            raise _wrong(f"{param}.eagerness", f"Give one of {', '.join(_EAGERNESS)}.")
        turns = replace(turns, eagerness=str(eagerness))
    return turns


def _mapping(value: object, param: str) -> Json:
    if not isinstance(value, dict):
        raise _wrong(param, "It must be an object.")
    return value


def _text(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise _wrong(param, "It must be a text.")
    return value


def _number(value: object, least: float, most: float, param: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _wrong(param, f"It must be a number from {least:g} to {most:g}.")
    return value


def _wrong(param: str, message: str) -> ApiError:
    return ApiError(400, f"{param}: {message}", code="invalid_value", param=param)
