"""The channels of a recording: one of them, all averaged, or each for itself, as in calls with a speaker on each."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from legato.text.pieces import join_texts
from legato.types import Transcript

Channels = int | Literal["mix", "split"]
"""`mix` averages all channels, `split` gives each its own transcript, a number hears only that one."""


def speaker_of(channel: int) -> str:
    """Name a channel, counted from 0, as a speaker."""
    return f"channel {channel}"


def merge(transcripts: Sequence[Transcript]) -> Transcript:
    """Join the transcripts of a recording's channels by time.

    Args:
        transcripts: of channel 0, 1, ...

    Returns:
        All segments in the order in which they start, each with its channel as speaker. Words, and with them the text,
        are in the order of the segments, tokens in the order of their times.
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
