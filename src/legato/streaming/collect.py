"""From the events of streams to transcripts: segments joined, channels merged."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from legato.audio.channels import speaker_of
from legato.text.words import join_spoken, join_texts
from legato.types import Event, Final, Segment, Transcript


class Collector:
    """Collects the events of one stream into its transcript.

    Attributes:
        segments: the segments so far, in order.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._final: Transcript | None = None

    def add(self, events: Iterable[Event]) -> None:
        """Add events in their order."""
        for event in events:
            if isinstance(event, Segment):
                self.segments.append(event)
            elif isinstance(event, Final):
                self._final = event.transcript

    @property
    def transcript(self) -> Transcript:
        """The transcript of the finished stream.

        Raises:
            ValueError: the `Final` has not been added.
        """
        if self._final is None:
            raise ValueError("the stream is not finished: its Final is missing")
        return self.with_rest(self._final)

    def with_rest(self, rest: Transcript) -> Transcript:
        """Return the segments together with `rest`, the transcript of what no segment contains."""
        return with_segments(self.segments, rest)


def join_segments(segments: Sequence[Segment], *, duration: float, language: str | None = None) -> Transcript:
    """Make one transcript of the segments of a stream.

    Args:
        segments: in order; those without text are omitted.
        duration: seconds of audio.
        language: the language of the transcript if no segment has one.
    """
    spoken = tuple(segment for segment in segments if segment.text)
    return Transcript(
        text=join_spoken(spoken),
        language=next((segment.language for segment in reversed(spoken) if segment.language), language),
        tokens=tuple(token for segment in segments for token in segment.tokens),
        words=tuple(word for segment in spoken for word in segment.words),
        duration=duration,
        segments=spoken,
        mostly_blank=any(segment.mostly_blank for segment in segments),
        endpointed=True,
    )


def with_segments(segments: Sequence[Segment], rest: Transcript) -> Transcript:
    """Return one transcript of all segments of a stream and of `rest`, which holds what no segment contains."""
    if not segments:
        return rest
    joined = join_segments(segments, duration=rest.duration, language=rest.language)
    return replace(
        joined,
        text=join_spoken([*segments, rest]),
        tokens=(*joined.tokens, *rest.tokens),
        words=(*joined.words, *rest.words),
        segments=(*joined.segments, *rest.segments),
        mostly_blank=rest.mostly_blank,
    )


def merge_channels(transcripts: Sequence[Transcript]) -> Transcript:
    """Join the transcripts of a recording's channels by time.

    Args:
        transcripts: those of channels 0, 1, ...

    Returns:
        All segments in the order of their starts, each with its channel as speaker. Words and text follow the order of
        the segments; tokens follow the order of their times.
    """
    segments = sorted(
        (
            replace(segment, speaker=speaker_of(channel))
            for channel, transcript in enumerate(transcripts)
            for segment in transcript.segments
        ),
        key=lambda segment: segment.start,
    )
    languages = {transcript.language for transcript in transcripts if transcript.words}
    return Transcript(
        text=join_texts(segment.text for segment in segments),
        language=languages.pop() if len(languages) == 1 else None,
        tokens=tuple(sorted((t for each in transcripts for t in each.tokens), key=lambda token: token.frame)),
        words=tuple(word for segment in segments for word in segment.words),
        duration=max((transcript.duration for transcript in transcripts), default=0.0),
        segments=tuple(segments),
        mostly_blank=any(transcript.mostly_blank for transcript in transcripts),
        endpointed=any(transcript.endpointed for transcript in transcripts),
        partial=any(transcript.partial for transcript in transcripts),
    )
