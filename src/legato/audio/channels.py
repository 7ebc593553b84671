"""The channels of a recording: read one, average all, or transcribe each, as in calls with one speaker per channel."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from legato.text.pieces import join_texts
from legato.types import Transcript

Channels = int | Literal["mix", "split"]
"""`mix` averages all channels; `split` transcribes each channel; a number, from 0, reads only that channel."""


def speaker_of(channel: int) -> str:
    """Return the name of the speaker on a channel, counted from 0."""
    return f"channel {channel}"


def merge(transcripts: Sequence[Transcript]) -> Transcript:
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
    )
