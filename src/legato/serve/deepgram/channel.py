"""From the events of a stream to the messages about its channel.

Growing text is an interim result, and a segment is a final result. Speech is final too if the segment ended by silence,
with the stream, or by `Finalize`, which is always answered.
"""

from legato.options import Endpointing
from legato.recognizer import Recognizer
from legato.serve.deepgram.messages import Messages
from legato.serve.deepgram.options import ListenOptions
from legato.text.words import split_words
from legato.types import Event, Partial, Segment, Token


class Channel:
    """Makes the messages about one channel.

    Args:
        number: index of the channel.
        options: what the client wants to receive.
        recognizer: has the language tags and the confidence measure.
        detects: whether the model detects the language.
    """

    def __init__(
        self, number: int, options: ListenOptions, messages: Messages, recognizer: Recognizer, *, detects: bool
    ) -> None:
        self._number = number
        self._options = options
        self._messages = messages
        self._recognizer = recognizer
        self._detects = detects
        self._language: str | None = None
        self._tokens: list[Token] = []
        self._border = 0.0
        self._speaking = False
        self._last_word: float | None = None
        self._endpoint = options.endpoint

    def messages(self, event: Event) -> list[str]:
        """Return the messages about an event."""
        if isinstance(event, Partial):
            return self._grow(event)
        return self._close(event) if isinstance(event, Segment) else []

    def next_endpoint(self, event: Event) -> Endpointing | None:
        """Return the endpoint rules that the stream needs after an event; None if it has them.

        The rules count silence from the start of the segment. An `UtteranceEnd` counts from the last word, which a
        `Finalize` may follow later.
        """
        if not isinstance(event, Segment):
            return None
        wanted = self._options.endpoint
        if event.reason == "commit" and self._last_word is not None:
            wanted = self._options.endpoint_after(event.end - self._last_word)
        if wanted == self._endpoint:
            return None
        self._endpoint = wanted
        return wanted

    def _grow(self, event: Partial) -> list[str]:
        bundle, confidence = self._recognizer.bundle, self._recognizer.confidence
        for token in event.tokens:
            if token.id not in bundle.language_tags:
                self._tokens.append(token)
            elif self._detects:
                self._language = bundle.language_tags[token.id]
        if not event.text:
            return []
        found = []
        if not self._speaking and self._options.vad_events:
            found.append(self._messages.speech_started(self._number, self._tokens[0].time))
        self._speaking = True
        if self._options.interim:
            words = split_words(self._tokens, bundle.frame_seconds, confidence, event.time)
            overall = round(confidence.aggregate([word.confidence for word in words]), 4) if words else 0.0
            found.append(
                self._messages.results(
                    self._number, event.text, words, overall, self._border, event.time, language=self._language
                )
            )
        return found

    def _close(self, segment: Segment) -> list[str]:
        found = []
        finalized = segment.reason == "commit"
        if segment.text or finalized:
            paused = segment.reason == "pause" and self._options.endpointing is not None
            found.append(
                self._messages.results(
                    self._number, segment.text, segment.words, segment.confidence if segment.text else 0.0,
                    segment.start, segment.end,
                    final=True, speech_final=paused or finalized or segment.reason == "end", from_finalize=finalized,
                    language=segment.language if self._detects else None,
                )
            )  # fmt: skip
        if segment.words:
            self._last_word = segment.words[-1].end
        quiet = segment.reason == "silence" or (segment.reason == "pause" and self._options.ends_with_speech)
        if quiet and self._last_word is not None and self._options.utterance_end is not None:
            found.append(self._messages.utterance_end(self._number, self._last_word))
            self._last_word = None
        self._tokens = []
        self._border = segment.end
        self._speaking = self._speaking and segment.reason == "length"
        return found
