"""From the events of a stream to Deepgram's events about turns.

    StartOfTurn Update... [EagerEndOfTurn [TurnResumed Update...]] EndOfTurn

A turn may consist of several segments of the stream: after an `EagerEndOfTurn` another one is open.
"""

import json
from typing import Literal

from legato.recognizer import Recognizer
from legato.serve.deepgram.flux_options import Thresholds
from legato.text.words import join_texts, split_words
from legato.types import Event, Partial, Segment, Token, Word

Trigger = Literal["model", "manual", "timeout"]


class Turns:
    """Makes the messages about the turns of one connection.

    Args:
        recognizer: has the language tags and the confidence measure.
        thresholds: when a turn ends; may change.
        detects: whether the model detects the language; may change.
        hints: languages that the client expects; may change.
    """

    def __init__(
        self,
        request_id: str,
        recognizer: Recognizer,
        thresholds: Thresholds,
        *,
        detects: bool,
        hints: tuple[str, ...] = (),
    ) -> None:
        self.thresholds = thresholds
        self.detects = detects
        self.hints = hints
        self._request_id = request_id
        self._recognizer = recognizer
        self._sequence = 0
        self._index = 0
        self._start = 0.0
        self._begin()

    def message(self, kind: str, **fields: object) -> str:
        """Return a message with the next sequence number."""
        number, self._sequence = self._sequence, self._sequence + 1
        return json.dumps({"type": kind, "request_id": self._request_id, "sequence_id": number, **fields})

    def warning(self, code: str, description: str) -> str:
        """Return a warning."""
        return self.message("Warning", code=code, description=description)

    def messages(self, event: Event) -> list[str]:
        """Return the messages about an event."""
        if isinstance(event, Partial):
            return self._grow(event)
        return self._close(event) if isinstance(event, Segment) else []

    def _begin(self) -> None:
        """Wait for the next turn."""
        self._open = self._eager = False
        self._texts: list[str] = []
        self._words: list[Word] = []
        self._tokens: list[Token] = []
        self._languages: list[str] = []

    def _grow(self, event: Partial) -> list[str]:
        bundle = self._recognizer.bundle
        self._tokens += [token for token in event.tokens if token.id not in bundle.language_tags]
        if not event.text:
            return []
        words = split_words(self._tokens, bundle.frame_seconds, self._recognizer.confidence, event.time)
        kind = "TurnResumed" if self._eager else "Update" if self._open else "StartOfTurn"
        self._open, self._eager = True, False
        return [self._info(kind, event.time, [*self._texts, event.text], [*self._words, *words], 0.0)]

    def _close(self, segment: Segment) -> list[str]:
        self._tokens = []
        if segment.text:
            self._open = True
            self._texts.append(segment.text)
            self._words += segment.words
            if segment.language is not None:
                self._languages.append(segment.language)
        if not self._open:
            if segment.reason == "commit":
                return [self.warning("NO_OPEN_TURN", "There is no turn to end: nothing was said since the last one.")]
            return []
        if segment.reason == "pause" and self.thresholds.eager_silence is not None:
            self._eager = True
            return [self._info("EagerEndOfTurn", segment.end, self._texts, self._words, self.thresholds.eager or 0.0)]
        trigger: Trigger = "manual"
        if segment.reason in {"pause", "silence"}:
            trigger = "timeout" if self.thresholds.by_timeout else "model"
        confidence = self.thresholds.end if trigger == "model" else 1.0
        ended = self._info("EndOfTurn", segment.end, self._texts, self._words, confidence, trigger=trigger)
        self._index += 1
        self._start = segment.end
        self._begin()
        return [ended]

    def _info(
        self, kind: str, end: float, texts: list[str], words: list[Word], confidence: float, **more: object
    ) -> str:
        """Return a `TurnInfo`.

        Args:
            end: seconds of the stream that were recognized.
            texts: texts of the segments of the turn.
            confidence: threshold that the silence stands for.
        """
        if self.detects and self._languages:
            more["languages"] = sorted(set(self._languages), key=self._languages.count, reverse=True)
        if self.hints:
            more["languages_hinted"] = list(self.hints)
        starts = [*(word.start for word in words[1:]), end]
        return self.message(
            "TurnInfo", event=kind, turn_index=self._index,
            audio_window_start=round(self._start, 3), audio_window_end=round(end, 3), transcript=join_texts(texts),
            words=[
                {
                    "word": word.text, "confidence": word.confidence, "start": word.start,
                    "end": max(word.start, min(word.end, start)),
                }
                for word, start in zip(words, starts, strict=False)
            ],
            end_of_turn_confidence=confidence, **more,
        )  # fmt: skip
