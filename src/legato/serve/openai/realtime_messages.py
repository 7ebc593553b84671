"""The messages of OpenAI's Realtime interface, in both directions, as JSON."""

import itertools
import json
import uuid
from collections.abc import Sequence

from legato.serve.errors import ApiError
from legato.serve.openai.realtime_config import RealtimeConfig
from legato.serve.openai.transcription_format import LogProb
from legato.types import Segment


def read_message(text: str | bytes) -> dict[str, object]:
    """Read a client's message.

    Raises:
        ApiError: it is not a JSON object.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(400, "The message is not JSON.", code="invalid_json") from None
    if not isinstance(message, dict):
        raise ApiError(400, "The message is not a JSON object.", code="invalid_json")
    return message


class Messages:
    """Writes the messages of one session.

    Args:
        beta: whether the client knows the interface in its beta; may change.
    """

    def __init__(self, *, beta: bool) -> None:
        self.beta = beta
        self._session = f"sess_{uuid.uuid4().hex[:20]}"
        self._numbers = itertools.count(1)

    def session(self, what: str, config: RealtimeConfig, warnings: Sequence[str] = (), *, old_type: bool) -> str:
        """Return the message that the session was `created` or `updated`; its type has two names."""
        more = {"warnings": list(warnings)} if warnings else {}
        kind = f"{'transcription_session' if old_type else 'session'}.{what}"
        return self._event(kind, session=config.as_dict(self._session, beta=self.beta), **more)

    def speech_started(self, item: str, milliseconds: int) -> str:
        """Return the message that speech began at a position in the stream."""
        return self._event("input_audio_buffer.speech_started", audio_start_ms=milliseconds, item_id=item)

    def speech_stopped(self, item: str, milliseconds: int) -> str:
        """Return the message that speech ended at a position in the stream."""
        return self._event("input_audio_buffer.speech_stopped", audio_end_ms=milliseconds, item_id=item)

    def cleared(self) -> str:
        """Return the message that the open item was dropped."""
        return self._event("input_audio_buffer.cleared")

    def delta(self, item: str, text: str) -> str:
        """Return the message with more text of the open item."""
        return self._event(
            "conversation.item.input_audio_transcription.delta", item_id=item, content_index=0, delta=text
        )

    def committed(self, item: str, before: str | None) -> list[str]:
        """Return the messages about a new item after the one before."""
        message = {
            "id": item, "object": "realtime.item", "type": "message", "status": "completed", "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }  # fmt: skip
        return [
            self._event("input_audio_buffer.committed", item_id=item, previous_item_id=before),
            *(
                self._event(f"conversation.item.{name}", previous_item_id=before, item=message)
                for name in (("created",) if self.beta else ("added", "done"))
            ),
        ]

    def completed(self, item: str, segment: Segment, logprobs: Sequence[LogProb] | None = None) -> str:
        """Return the message with the whole text of an item, and its language if that is known."""
        code = segment.language.partition("-")[0] if segment.text and segment.language else None
        return self._event(
            "conversation.item.input_audio_transcription.completed",
            item_id=item, content_index=0, transcript=segment.text,
            languages=None if code is None else [{"code": code}],
            logprobs=None if logprobs is None else [each.model_dump() for each in logprobs],
            usage={"type": "duration", "seconds": round(segment.end - segment.start, 3)},
        )  # fmt: skip

    def failed(self, item: str, error: ApiError) -> str:
        """Return the message that an item will not be completed."""
        return self._event(
            "conversation.item.input_audio_transcription.failed",
            item_id=item, content_index=0, error=error.as_dict()["error"],
        )  # fmt: skip

    def error(self, error: ApiError, event_id: str | None = None) -> str:
        """Return the message about an error, with the id of the client's message that caused it."""
        return self._event(
            "error",
            error={
                "type": error.kind, "code": error.code, "message": error.message, "param": error.param,
                "event_id": event_id,
            },
        )  # fmt: skip

    def _event(self, kind: str, **fields: object) -> str:
        return json.dumps({"type": kind, "event_id": f"event_{self._session[5:]}_{next(self._numbers)}", **fields})
