"""From emissions to tokens, transcripts and segments: what the decoded ids of a stream mean."""

from collections.abc import Sequence
from dataclasses import replace

from legato.decode.greedy import Emission
from legato.model.bundle import Bundle
from legato.model.languages import AUTO
from legato.streaming.state import SegmentState, StreamState
from legato.text.sentences import split_segments
from legato.text.words import split_words
from legato.types import Confidence, Reason, Segment, Token, Transcript


class Labels:
    """The vocabulary of a model applied to streams.

    Attributes:
        bundle: pieces, language tags and the length of a frame.
        confidence: how tokens are aggregated to words and segments.
    """

    def __init__(self, bundle: Bundle, confidence: Confidence) -> None:
        self.bundle = bundle
        self.confidence = confidence

    def add(self, state: StreamState, emissions: Sequence[Emission], first: int) -> list[Token]:
        """Add emissions to the open segment.

        Args:
            state: is changed.
            emissions: their frames count from encoder frame `first` of the stream.
            first: see `emissions`.

        Returns:
            The new tokens.
        """
        new = [self.token(emission, first) for emission in emissions]
        if calibration := state.options.calibration(self.bundle):
            new = [replace(token, confidence=calibration(token.confidence)) for token in new]
        self._append(state.segment, new)
        return new

    def text_tokens(self, tokens: Sequence[Token]) -> list[Token]:
        """Return the tokens without language tags."""
        return [token for token in tokens if token.id not in self.bundle.language_tags]

    def transcript(self, state: StreamState) -> Transcript:
        """Return the transcript of the open segment; without endpoints, of the stream so far."""
        bundle, segment = self.bundle, state.segment
        requested = None if state.language == AUTO else state.language
        duration = self.duration(state)
        words = split_words(self.text_tokens(segment.tokens), bundle.frame_seconds, self.confidence, duration)
        fallback = requested or state.closed_language
        return Transcript(
            text=segment.text.text,
            language=segment.language or fallback,
            tokens=tuple(segment.tokens),
            words=words,
            duration=round(duration, 3),
            segments=split_segments(
                segment.text.text, segment.tokens, words, bundle.language_tags, fallback, self.confidence
            ),
            mostly_blank=state.monitor.suspicious,
        )

    def close(self, state: StreamState, end: float, reason: Reason, rest: int = 0) -> Segment:
        """Close the open segment and open the next; return the closed one.

        Args:
            state: is changed.
            end: where the segment ends, in seconds; not used if there is a rest.
            rest: number of text tokens at its end that open the next segment. The segments then meet where the first of
                them was emitted.
        """
        carried: list[Token] = []
        if rest:
            tags = self.bundle.language_tags
            texts = [index for index, token in enumerate(state.segment.tokens) if token.id not in tags]
            border = texts[-rest]
            kept, carried = state.segment.tokens[:border], state.segment.tokens[border:]
            state.segment = SegmentState(start=state.segment.start)
            self._append(state.segment, kept)
            last = self.text_tokens(kept)[-1:]
            end = max([carried[0].time, *(token.time + self.bundle.frame_seconds for token in last)])
        content = self.transcript(state)
        start, end = round(state.segment.start, 3), round(max(state.segment.start, end), 3)
        words = content.words
        segment = Segment(
            text=content.text,
            start=start,
            end=end,
            language=content.language,
            tokens=content.tokens,
            words=words,
            reason=reason,
            mostly_blank=content.mostly_blank,
            confidence=self.confidence.aggregate([word.confidence for word in words]) if words else 1.0,
        )
        state.segment = SegmentState(start=end)
        self._append(state.segment, carried)
        state.closed += 1
        state.closed_language = content.language
        return segment

    def duration(self, state: StreamState) -> float:
        """Return the seconds of audio that a stream has accepted."""
        return state.audio.samples / self.bundle.mel.sample_rate

    def token(self, emission: Emission, first: int) -> Token:
        """Return the token of an emission; its frame counts from encoder frame `first` of the stream."""
        frame = first + emission.frame
        return Token(
            id=emission.token,
            piece=self.bundle.pieces[emission.token],
            time=round(frame * self.bundle.frame_seconds, 3),
            frame=frame,
            confidence=round(emission.confidence, 4),
            logprob=round(emission.logprob, 4),
        )

    def _append(self, segment: SegmentState, tokens: Sequence[Token]) -> None:
        for token in tokens:
            if tag := self.bundle.language_tags.get(token.id):
                segment.language = tag
            else:
                segment.text.add(token.piece)
        segment.tokens += tokens
