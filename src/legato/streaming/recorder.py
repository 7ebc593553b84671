"""What a decoded step changes in the state of its stream, and the events that it causes."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from legato.chunks import SUBSAMPLING_FACTOR
from legato.decode.dispatch import Decoder
from legato.runtime.vad import WINDOW
from legato.streaming.labels import Labels
from legato.streaming.monitor import LIMIT_SECONDS
from legato.streaming.spans import Span
from legato.streaming.state import StreamState
from legato.types import Event, MelConfig, Partial

logger = logging.getLogger("legato")


class Recorder:
    """Records what the decoder found in the states of streams. It keeps no state between calls."""

    def __init__(self, labels: Labels, decoder: Decoder) -> None:
        self._labels = labels
        self._bundle = labels.bundle
        self._decoder = decoder

    def record(self, state: StreamState, spans: Sequence[Span], first: int) -> list[Event]:
        """Record the spans of a step that began at encoder frame `first`; return the events."""
        events: list[Event] = []
        for span in spans:
            state.decoding = replace(state.decoding, decoder=span.decoder, rules=span.rules)
            self._watch(state, span, first)
            if new := self._labels.add(state, span.emissions, first):
                events.append(Partial(state.segment.text.text, tuple(new), self._used(state)))
            if span.reason is not None:
                if span.reason == "commit":
                    state.commits = state.commits[1:]
                end = (first + span.stop) * self._bundle.frame_seconds
                events.append(self._labels.close(state, end, span.reason, span.rest))
                if span.rest:
                    events.append(Partial(state.segment.text.text, tuple(state.segment.tokens), self._used(state)))
        done = state.audio.encoder.done
        frame_samples = SUBSAMPLING_FACTOR * self._bundle.mel.hop_length
        state.audio = replace(
            state.audio,
            levels=state.audio.levels.after(SUBSAMPLING_FACTOR * (done - 1) + 1),
            speech=state.audio.speech.after(max(0, done - 1) * frame_samples // WINDOW),
        )
        return events

    def _watch(self, state: StreamState, span: Span, first: int) -> None:
        """Run the blank monitor over the frames of a span; it warns once."""
        suspected = state.monitor.suspicious
        tags = self._bundle.language_tags
        emitting = [max(emission.frame, span.start) for emission in span.emissions if emission.token not in tags]
        for frame in range(span.start, span.stop):
            last = SUBSAMPLING_FACTOR * (first + frame)
            loudness = state.audio.levels.between(last - SUBSAMPLING_FACTOR + 1, last + 1)
            if len(loudness):
                state.monitor = state.monitor.after_frame(
                    float(loudness.max()), emitting.count(frame), self._bundle.frame_seconds
                )
        if state.monitor.suspicious and not suspected:
            logger.warning(
                "More than %d s that sound like speech gave next to no text (language: %s). Check the language; music "
                "and noise are other causes.",
                LIMIT_SECONDS,
                state.language,
            )

    def release(self, state: StreamState) -> list[Event]:
        """Release the tokens that the search still holds back: a `Partial` if there are any."""
        emissions, decoder = self._decoder.end(state.decoding.decoder)
        state.decoding = replace(state.decoding, decoder=decoder)
        new = self._labels.add(state, emissions, state.audio.encoder.done)
        return [Partial(state.segment.text.text, tuple(new), self._used(state))] if new else []

    def answer_commits(self, state: StreamState) -> list[Event]:
        """Answer the commits that still wait: the first with all text so far, the others with empty segments."""
        waiting, state.commits = state.commits, ()
        return [self._labels.close(state, self._labels.duration(state), "commit") for _ in waiting]

    def _used(self, state: StreamState) -> float:
        """Return the seconds of audio that the encoder frames so far depend on; independent of how it was divided."""
        seconds = samples_for(self._bundle.mel, state.audio.encoder.done) / self._bundle.mel.sample_rate
        return round(min(seconds, self._labels.duration(state)), 3)


def samples_for(mel: MelConfig, frames: int) -> int:
    """Return the number of samples from the start of a stream that its first `frames` encoder frames depend on."""
    newest_mel_frame = SUBSAMPLING_FACTOR * (frames - 1)
    return newest_mel_frame * mel.hop_length + mel.window_length // 2
