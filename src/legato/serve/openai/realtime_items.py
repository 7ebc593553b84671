"""From the events of a stream to the messages about its items, one item per turn.

    [speech_started] delta... [speech_stopped] committed, item, completed

Deltas come while the audio is recognized, before the item is committed, and `completed` follows the commit closely.
"""

import uuid
from collections import deque
from collections.abc import Collection
from typing import Literal

from legato.serve.errors import ShuttingDownError
from legato.serve.openai.realtime_config import RealtimeConfig, TurnDetection
from legato.serve.openai.realtime_messages import Messages
from legato.serve.openai.transcription_format import log_probs
from legato.types import Event, Final, Partial, Segment

Request = Literal["commit", "clear"]


class Items:
    """Makes the messages about the items of one session.

    Args:
        tags: ids of the language tags.

    Attributes:
        open_id: id of the open item.
    """

    def __init__(self, messages: Messages, tags: Collection[int]) -> None:
        self._messages = messages
        self._tags = tags
        #: Requests that the stream has not answered yet, in order, with the ids of the client's messages.
        self._pending: deque[tuple[Request, str | None]] = deque()
        self._last_id: str | None = None
        self._begin()

    def expect(self, request: Request, event_id: str | None) -> None:
        """Note that the client commits or clears the open item; the next segment of a commit is the answer."""
        self._pending.append((request, event_id))

    def messages(self, event: Event, config: RealtimeConfig) -> list[str]:
        """Return the messages about an event."""
        if isinstance(event, Final):
            return []
        answers = isinstance(event, Segment) and event.reason == "commit"
        if self._pending and self._pending[0][0] == "clear" and not answers:
            self._begin()  # the text is about to be dropped
            return []
        if isinstance(event, Partial):
            return self._grow(event, config.turns)
        return self._close(event, logprobs=config.logprobs)

    def refusal(self) -> str | None:
        """Return the error for a request that the stream will not answer, because it has ended; None after the last."""
        return self._messages.error(ShuttingDownError(), self._pending.popleft()[1]) if self._pending else None

    def _begin(self) -> None:
        self.open_id = f"item_{uuid.uuid4().hex[:20]}"
        self._told = ""
        self._speaking = False

    def _grow(self, event: Partial, turns: TurnDetection | None) -> list[str]:
        if not event.text:  # a language tag
            return []
        started = []
        if turns is not None and not self._speaking:
            first = round(event.tokens[0].time * 1000) - turns.padding_ms if event.tokens else 0
            started = [self._messages.speech_started(self.open_id, max(0, first))]
            self._speaking = True
        return [*started, *self._delta(event.text)]

    def _delta(self, text: str) -> list[str]:
        if len(text) <= len(self._told):
            return []
        delta, self._told = text[len(self._told) :], text
        return [self._messages.delta(self.open_id, delta)]

    def _close(self, segment: Segment, *, logprobs: bool) -> list[str]:
        request = self._pending.popleft()[0] if segment.reason == "commit" and self._pending else None
        if request == "clear":
            found = [self._messages.cleared()]
        elif request is None and not segment.text:
            found = []
        else:
            found = self._delta(segment.text)
            if self._speaking and request is None:
                found.append(self._messages.speech_stopped(self.open_id, round(segment.end * 1000)))
            found += self._messages.committed(self.open_id, self._last_id)
            found.append(
                self._messages.completed(
                    self.open_id, segment, log_probs(segment.tokens, self._tags) if logprobs else None
                )
            )
            self._last_id = self.open_id
        self._begin()
        return found
