"""Decoding of the frames of a step, divided where a segment ends or the search restarts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from legato.chunks import SUBSAMPLING_FACTOR
from legato.decode.dispatch import Decoder, DecoderState
from legato.decode.greedy import Emission
from legato.options import NEVER, Endpointing
from legato.runtime.vad import WINDOW
from legato.streaming.endpointing import EndpointState, Stop, next_segment, next_stop
from legato.streaming.labels import Labels
from legato.streaming.state import StreamState
from legato.streaming.word_border import Border, border_of_commit, border_of_longest
from legato.types import Frames, Reason, Token


@dataclass(frozen=True)
class Span:
    """The result of decoding consecutive frames of one step.

    Attributes:
        start, stop: the frames, counted from the first of the step; `stop` is excluded.
        emissions: in order, with frames counted in the same way; beam search releases them late, even before frame 0.
        decoder, rules: the states after them.
        reason: why the segment ends with them; None if it continues.
        rest: text tokens at their end that open the next segment; see `legato.streaming.word_border`.
    """

    start: int
    stop: int
    emissions: list[Emission]
    decoder: DecoderState
    rules: EndpointState
    reason: Reason | None
    rest: int = 0


@dataclass
class _Open:
    """The open segment of a stream as far as it is decoded: its text tokens, and the commits that wait for its end."""

    tokens: list[Token]
    commits: tuple[int, ...]


class SpanDecoder:
    """Decodes the next frames of several streams and divides them at endpoints. It keeps no state between calls."""

    def __init__(self, labels: Labels, decoder: Decoder) -> None:
        self._labels = labels
        self._bundle = labels.bundle
        self._decoder = decoder

    def decode(self, rows: Sequence[Frames], states: Sequence[StreamState], firsts: Sequence[int]) -> list[list[Span]]:
        """Decode frames; the states stay as they are.

        Args:
            rows: float32[n, width] per stream.
            firsts: index of each row's first frame in its stream.

        Returns:
            Per stream its spans in order, at least one.
        """
        spans: list[list[Span]] = [[] for _ in rows]
        starts = [
            min(max(0, state.decoding.done - first), len(row))
            for row, state, first in zip(rows, states, firsts, strict=True)
        ]
        decoders = [state.decoding.decoder for state in states]
        rules = [state.decoding.rules for state in states]
        opened = [_Open(self._labels.text_tokens(state.segment.tokens), state.commits) for state in states]
        active = list(range(len(rows)))
        while active:
            found = self._decoder.decode([rows[i][starts[i] :] for i in active], [decoders[i] for i in active])
            restarted = []
            for i, (emissions, decoder) in zip(active, found, strict=True):
                moved = [replace(e, frame=e.frame + starts[i]) for e in emissions] if starts[i] else emissions
                whole = Span(starts[i], len(rows[i]), moved, decoder, rules[i], None)
                # Searches that release tokens late have no endpoint rules (see `StreamOptions.decoding`).
                holds_back = states[i].options.holds_back
                divided = [whole] if holds_back else self._divide(states[i], opened[i], firsts[i], whole)
                spans[i] += divided
                # Where the search restarts, what it found after that frame does not count.
                if (stop := divided[-1].stop) < len(rows[i]):
                    starts[i], decoders[i], rules[i] = stop, divided[-1].decoder, divided[-1].rules
                    restarted.append(i)
            active = restarted
        return spans

    def _divide(self, state: StreamState, opened: "_Open", first: int, whole: Span) -> list[Span]:
        """Divide a span at its endpoints, up to the first after which the search restarts."""
        endpoint, frame_seconds = state.endpoint or NEVER, self._bundle.frame_seconds
        speech = self._speech(state, first, whole)
        divided: list[Span] = []
        start, rules = whole.start, whole.rules
        while True:
            # All frames up to a commit that waits, then one after the other.
            limit = min(whole.stop, max(start + 1, opened.commits[0] - first)) if opened.commits else whole.stop
            rest = map(bool, speech[start - whole.start : limit - whole.start])
            found = next_stop(endpoint, rules, rest, frame_seconds)
            stop, rules = start + found.frames, found.state
            emissions = [emission for emission in whole.emissions if start <= emission.frame < stop]
            opened.tokens += self._labels.text_tokens([self._labels.token(each, first) for each in emissions])
            reason, border = self._border(opened, endpoint, found, first + stop)
            carried = 0
            if border is not None:
                rules = next_segment(endpoint, rules, 0 if border.frame is None else first + stop - border.frame)
                carried = len(opened.tokens) - border.kept
            if reason is not None:
                opened.tokens = opened.tokens[len(opened.tokens) - carried :]
            decoder = state.decoding.fresh if found.reset else whole.decoder
            divided.append(Span(start, stop, emissions, decoder, rules, reason, carried))
            if found.reset or stop == whole.stop:
                return divided
            start = stop

    def _border(
        self, opened: "_Open", endpoint: Endpointing, found: Stop, now: int
    ) -> tuple[Reason | None, Border | None]:
        """Return why the segment ends before frame `now`, if it does, and the border if that is between two words."""
        frame_seconds = self._bundle.frame_seconds
        reason, border = found.reason, None
        if reason == "length":
            border = border_of_longest(opened.tokens, now, endpoint.longest / frame_seconds)
            reason = reason if border else None
        if opened.commits and now > opened.commits[0]:
            if reason is None:
                border = border_of_commit(opened.tokens, now, opened.commits[0], frame_seconds)
            if reason or border:
                opened.commits = opened.commits[1:]
                return "commit", border
        return reason, border

    def _speech(self, state: StreamState, first: int, whole: Span) -> NDArray[np.bool_]:
        """Return whether each frame of a span contains speech."""
        speech = np.zeros(whole.stop - whole.start, bool)
        for emission in whole.emissions:
            if emission.token not in self._bundle.language_tags:
                speech[emission.frame - whole.start] = True
        if state.audio.vad is not None:
            # Frame q depends on audio up to its start, and comes no earlier than the windows that are complete by then.
            samples = SUBSAMPLING_FACTOR * self._bundle.mel.hop_length
            for number in range(len(speech)):
                end = (first + whole.start + number) * samples
                windows = state.audio.speech.between(max(0, end - samples) // WINDOW, end // WINDOW)
                speech[number] |= bool(windows.any())
        return speech
