"""The channels of a recording: read one, average all, or transcribe each, as in calls with one speaker per channel."""

from typing import Literal

Channels = int | Literal["mix", "split"]
"""`mix` averages all channels; `split` transcribes each channel; a number, from 0, reads only that channel."""


def speaker_of(channel: int) -> str:
    """Return the name of the speaker on a channel, counted from 0."""
    return f"channel {channel}"
