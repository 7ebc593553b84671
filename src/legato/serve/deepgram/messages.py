"""The messages of Deepgram's interface to its clients, as JSON."""

import json
import math
import unicodedata
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from legato.serve.errors import ApiError, TooManyPhrasesError
from legato.types import Word
from legato.version import __version__


class Messages:
    """Writes the messages of one connection.

    Args:
        channels: number of channels that are recognized separately.

    Attributes:
        warnings: what of the request was ignored, for `Metadata`.
    """

    def __init__(self, request_id: str, model: str, channels: int) -> None:
        self._request_id = request_id
        self._channels = channels
        self._model = {"name": model, "version": __version__, "arch": "legato"}
        self._model_id = str(uuid.uuid5(uuid.NAMESPACE_OID, model))
        self.warnings: list[str] = []
        self._created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def results(
        self,
        channel: int,
        text: str,
        words: Sequence[Word],
        confidence: float,
        start: float,
        end: float,
        *,
        final: bool = False,
        speech_final: bool = False,
        from_finalize: bool = False,
        language: str | None = None,
    ) -> str:
        """Return a text with its words; it covers the stream from `start` to `end`, in seconds.

        A language is given if it was detected.
        """
        alternative: dict[str, object] = {
            "transcript": text, "confidence": confidence, "words": word_objects(words, language),
        }  # fmt: skip
        if language is not None:
            alternative["languages"] = [language] if text else []
        return _json(
            "Results",
            channel_index=[channel, self._channels], start=round(start, 3), duration=round(max(0.0, end - start), 3),
            is_final=final, speech_final=speech_final, from_finalize=from_finalize,
            channel={"alternatives": [alternative]},
            metadata={"request_id": self._request_id, "model_info": self._model, "model_uuid": self._model_id},
        )  # fmt: skip

    def speech_started(self, channel: int, seconds: float) -> str:
        """Return the message that speech began at a position in the stream."""
        return _json("SpeechStarted", channel=[channel, self._channels], timestamp=seconds)

    def utterance_end(self, channel: int, seconds: float) -> str:
        """Return the message that no word has followed the last one, which ended at a position in the stream."""
        return _json("UtteranceEnd", channel=[channel, self._channels], last_word_end=seconds)

    def configured(self, keyterms: list[str] | None, warnings: Sequence[str] = ()) -> str:
        """Return the message that a `Configure` is in effect."""
        more: dict[str, object] = {} if keyterms is None else {"keyterms": list(keyterms)}
        if warnings:
            more["warnings"] = list(warnings)
        return _json("ConfigureSuccess", request_id=self._request_id, **more)

    def not_configured(self, error: ApiError) -> str:
        """Return the message that a `Configure` was refused."""
        limit = isinstance(error, TooManyPhrasesError)
        code = "CONFIGURE_KEYTERM_LIMIT_EXCEEDED" if limit else "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
        return _json("ConfigureFailure", request_id=self._request_id, code=code, description=error.message)

    def error(self, variant: str, description: str, message: str | None = None) -> str:
        """Return the message about an error, with the client's message if that caused it."""
        more = {} if message is None else {"message": message[:200]}
        return _json("Error", variant=variant, description=description, **more)

    def refusal(self, error: ApiError) -> dict[str, object]:
        """Return the body of the response to a request that is refused."""
        return {"err_code": (error.code or "").upper(), "err_msg": error.message, "request_id": self._request_id}

    def metadata(self, sha256: str, seconds: float, language: str) -> str:
        """Return the last message, about all audio that was accepted, and the language prompt that was used."""
        more: dict[str, object] = {"warnings": self.warnings} if self.warnings else {}
        return _json("Metadata", **self.summary(sha256, seconds), language=language, **more)

    def summary(self, sha256: str, seconds: float) -> dict[str, object]:
        """Return the object `metadata`.

        Args:
            sha256: SHA-256 of the audio as it was sent.
            seconds: length of the audio.
        """
        return {
            "transaction_key": "deprecated", "request_id": self._request_id, "sha256": sha256,
            "created": self._created, "duration": round(seconds, 3), "channels": self._channels,
            "models": [self._model_id], "model_info": {self._model_id: self._model},
        }  # fmt: skip


def read_command(text: str) -> dict[str, object]:
    """Return a client's message; an empty one if it is not a JSON object."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def word_objects(words: Sequence[Word], language: str | None = None) -> list[dict[str, object]]:
    """Return successive words as objects of the interface, with their language if it was detected.

    Two words may be emitted on one frame. Clients expect words that do not overlap, so a word ends where the next one
    starts at the latest.
    """
    starts = [*(word.start for word in words[1:]), math.inf]
    more = {} if language is None else {"language": language}
    return [
        {
            "word": bare(word.text), "start": word.start, "end": max(word.start, min(word.end, start)),
            "confidence": word.confidence, "punctuated_word": word.text, **more,
        }
        for word, start in zip(words, starts, strict=False)
    ]  # fmt: skip


def bare(text: str) -> str:
    """Return a word in lower case and without the punctuation around it; punctuation alone stays."""
    letters = [n for n, character in enumerate(text) if not unicodedata.category(character).startswith("P")]
    return text[letters[0] : letters[-1] + 1].lower() if letters else text


def _json(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields})
