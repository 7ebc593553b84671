"""Changes of a session's configuration: under `session.audio.input`, or under the flat names of the beta."""

from collections.abc import Mapping
from dataclasses import replace

from legato.audio.pcm import AudioFormat, Encoding
from legato.serve.core.fields import as_mapping, as_number, as_text, as_texts
from legato.serve.errors import InvalidValueError
from legato.serve.openai.realtime_config import EAGERNESS, LOGPROBS, RATES, RealtimeConfig, TurnDetection

_FORMATS: dict[str, Encoding] = {
    "audio/pcm": "pcm16", "pcm16": "pcm16",
    "audio/pcmu": "mulaw", "g711_ulaw": "mulaw",
    "audio/pcma": "alaw", "g711_alaw": "alaw",
}  # fmt: skip


def updated(config: RealtimeConfig, session: object) -> RealtimeConfig:
    """Return a configuration with a client's changes, which may be in either shape.

    Args:
        session: the field `session` of the client's message.

    Raises:
        InvalidValueError: a field is wrong.
    """
    given = as_mapping(session, "session")
    if "include" in given:  # other fields to include belong to spoken conversations
        config = replace(config, logprobs=LOGPROBS in as_texts(given["include"] or [], "session.include"))
    audio = as_mapping(given.get("audio") or {}, "session.audio")
    inside = as_mapping(audio.get("input") or {}, "session.audio.input")
    config = _updated(config, inside, "session.audio.input.", "format", "transcription")
    return _updated(config, given, "session.", "input_audio_format", "input_audio_transcription")


def _updated(
    config: RealtimeConfig, fields: Mapping[str, object], where: str, audio_format: str, transcription: str
) -> RealtimeConfig:
    """Take over the fields of one shape; the last two arguments are their names."""
    if audio_format in fields:
        config = replace(config, audio_format=_audio_format(fields[audio_format], where + audio_format))
    if transcription in fields:
        config = _transcription(config, fields[transcription], where + transcription)
    if "turn_detection" in fields:
        config = replace(config, turns=_turns(config.turns, fields["turn_detection"], f"{where}turn_detection"))
    return config


def _audio_format(value: object, param: str) -> AudioFormat:
    if isinstance(value, str) or value is None:
        name, rate = value or "pcm16", None
    else:
        fields = as_mapping(value, param)
        name = as_text(fields.get("type") or "audio/pcm", f"{param}.type")
        rate = fields.get("rate")
    encoding = _FORMATS.get(name)
    if encoding is None:
        problem = f"The audio format {name[:40]!r} is not known. Use one of {', '.join(_FORMATS)}."
        raise InvalidValueError(param, problem)
    if encoding != "pcm16":
        return AudioFormat(encoding, 8000)
    if rate is None:
        return AudioFormat(encoding, RATES[0])
    if isinstance(rate, bool) or rate not in RATES:
        raise InvalidValueError(f"{param}.rate", f"The rate of PCM must be {' or '.join(map(str, RATES))} Hz.")
    assert isinstance(rate, int | float)
    return AudioFormat(encoding, int(rate))


def _transcription(config: RealtimeConfig, value: object, param: str) -> RealtimeConfig:
    fields = as_mapping(value or {}, param)  # null does not turn transcription off: there is nothing else
    if "language" in fields or "languages" in fields:
        language = as_text(fields.get("language") or "", f"{param}.language") or None
        config = replace(config, language=language)
    if "languages" in fields:
        config = replace(config, languages=tuple(as_texts(fields["languages"] or [], f"{param}.languages")))
    if "prompt" in fields:
        config = replace(config, prompt=as_text(fields["prompt"] or "", f"{param}.prompt"))
    if "keywords" in fields:
        config = replace(config, keywords=tuple(as_texts(fields["keywords"] or [], f"{param}.keywords")))
    if "model" in fields:
        config = replace(config, model=as_text(fields["model"] or "", f"{param}.model"))
    return config


def _turns(before: TurnDetection | None, value: object, param: str) -> TurnDetection | None:
    if value is None:
        return None
    fields = as_mapping(value, param)
    turns = before or TurnDetection()
    kind = as_text(fields.get("type") or turns.kind, f"{param}.type")
    if kind not in {"server_vad", "semantic_vad"}:
        problem = f"The kind {kind[:40]!r} is not known. Use server_vad or semantic_vad, or null for none."
        raise InvalidValueError(f"{param}.type", problem)
    turns = replace(turns, kind=kind)
    if (silence := fields.get("silence_duration_ms")) is not None:
        turns = replace(turns, silence_ms=round(as_number(silence, 10, 60_000, f"{param}.silence_duration_ms")))
    if (padding := fields.get("prefix_padding_ms")) is not None:
        turns = replace(turns, padding_ms=round(as_number(padding, 0, 60_000, f"{param}.prefix_padding_ms")))
    if (threshold := fields.get("threshold")) is not None:
        turns = replace(turns, threshold=as_number(threshold, 0, 1, f"{param}.threshold"))
    if (eagerness := fields.get("eagerness")) is not None:
        if eagerness not in list(EAGERNESS):
            raise InvalidValueError(f"{param}.eagerness", f"Use one of {', '.join(EAGERNESS)}.")
        turns = replace(turns, eagerness=str(eagerness))
    return turns
