"""The configuration of a session of OpenAI's Realtime interface, and the shapes in which clients see it.

A session always transcribes. Options of spoken conversations are ignored, not refused. There is no noise reduction, and
the configuration that clients see says so.
"""

import math
from dataclasses import dataclass, field, replace

from legato.audio.pcm import AudioFormat, Encoding
from legato.decode.phrases import Phrase, read_weighted
from legato.model.bundle import Bundle
from legato.model.languages import AUTO
from legato.options import NEVER, Endpointing
from legato.serve.core.hints import prompt_terms
from legato.serve.core.languages import requested_language

#: The only field that a client may ask to be included.
LOGPROBS = "item.input_audio_transcription.logprobs"
#: Sample rates of PCM in Hz; the first is the default.
RATES = (24_000, 16_000)
#: Seconds of silence that end a turn under `semantic_vad`, by eagerness: turns end by silence there too.
EAGERNESS = {"low": 2.0, "medium": 1.0, "auto": 1.0, "high": 0.5}

_NAMES: dict[Encoding, str] = {"pcm16": "audio/pcm", "mulaw": "audio/pcmu", "alaw": "audio/pcma"}
_BETA_NAMES: dict[Encoding, str] = {"pcm16": "pcm16", "mulaw": "g711_ulaw", "alaw": "g711_alaw"}


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """When the server ends a turn by itself.

    Attributes:
        kind: `server_vad`, or `semantic_vad`, whose eagerness only sets the length of the silence.
        silence_ms: milliseconds of silence that end a turn under `server_vad`.
        padding_ms: milliseconds between the reported start of speech and the first word.
        threshold: reported to clients, but not used: the model itself distinguishes speech from silence.
        eagerness: key of `EAGERNESS`, for `semantic_vad`.
    """

    kind: str = "server_vad"
    silence_ms: int = 500
    padding_ms: int = 300
    threshold: float = 0.5
    eagerness: str = "auto"

    def as_dict(self) -> dict[str, object]:
        """Return the object that clients see."""
        if self.kind == "semantic_vad":
            return {"type": self.kind, "eagerness": self.eagerness}
        return {
            "type": self.kind, "threshold": self.threshold,
            "prefix_padding_ms": self.padding_ms, "silence_duration_ms": self.silence_ms,
        }  # fmt: skip

    @property
    def endpoint(self) -> Endpointing:
        """The endpoint rules of a stream."""
        seconds = EAGERNESS[self.eagerness] if self.kind == "semantic_vad" else self.silence_ms / 1000
        return Endpointing(after_speech=seconds, without_speech=math.inf, longest=math.inf)


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """The configuration of a session.

    Attributes:
        audio_format: the format of the client's audio.
        language: language that the client asked for; None leaves it to the server. See `resolved`.
        languages: possible languages that the client named.
        prompt: phrases, separated by commas, or prose with names.
        keywords: phrases, one per text.
        model: the client's name for the model; there is only one.
        turns: when the server ends a turn; None if only the client ends turns.
        logprobs: whether a completed item contains the log-probability of every token.
    """

    audio_format: AudioFormat = field(default_factory=lambda: AudioFormat("pcm16", RATES[0]))
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    model: str = ""
    turns: TurnDetection | None = field(default_factory=TurnDetection)
    logprobs: bool = False

    @property
    def requested_language(self) -> str | None:
        """The language of the stream, or `auto`; None leaves it to the server."""
        return requested_language(self.language, self.languages)

    @property
    def phrases(self) -> list[Phrase]:
        """Phrases to recognize more readily."""
        return read_weighted([*prompt_terms(self.prompt), *self.keywords])

    @property
    def endpoint(self) -> Endpointing:
        """The endpoint rules of the stream."""
        return NEVER if self.turns is None else self.turns.endpoint

    def resolved(self, default: str, bundle: Bundle) -> "RealtimeConfig":
        """Return the configuration with the name of the language prompt that is used; None if none was asked for.

        Args:
            default: the language for clients that ask for none.
            bundle: has the prompts.

        Raises:
            LanguageError: the model has no such prompt.
        """
        asked = self.requested_language or (None if default == AUTO else default)
        return replace(self, language=None if asked is None else bundle.prompt_name(asked))

    def as_dict(self, session_id: str, *, beta: bool) -> dict[str, object]:
        """Return the session object of the present interface, or of its beta."""
        turns = self.turns.as_dict() if self.turns else None
        session: dict[str, object] = {
            "object": "realtime.transcription_session", "id": session_id,
            "include": [LOGPROBS] if self.logprobs else None,
        }  # fmt: skip
        if beta:
            return session | {
                "modalities": ["text"], "input_audio_format": _BETA_NAMES[self.audio_format.encoding],
                "input_audio_noise_reduction": None, "input_audio_transcription": self._transcription(),
                "turn_detection": turns,
            }  # fmt: skip
        form: dict[str, object] = {"type": _NAMES[self.audio_format.encoding]}
        if self.audio_format.encoding == "pcm16":
            form["rate"] = self.audio_format.rate
        audio = {
            "format": form, "noise_reduction": None, "transcription": self._transcription(), "turn_detection": turns,
        }  # fmt: skip
        return {"type": "transcription", **session, "audio": {"input": audio}}

    def _transcription(self) -> dict[str, object]:
        found: dict[str, object] = {"model": self.model, "language": self.language, "prompt": self.prompt}
        lists = {"languages": self.languages, "keywords": self.keywords}
        return found | {name: list(values) for name, values in lists.items() if values}
