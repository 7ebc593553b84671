"""Subtitle cues of a transcript: which units are shown together, on which lines, from when to when.

A cue has at most two lines of 42 columns and stays for at most 6 seconds. A pause starts a new one.
"""

from dataclasses import dataclass, replace

from legato.text.sentences import SENTENCE_ENDS
from legato.text.units import CLOSING, PAUSE_MS, Unit, columns, units_of
from legato.text.words import join_texts
from legato.types import Transcript

MAX_COLUMNS = 42
MAX_LINES = 2
MAX_MS = 6000
_READABLE_MS = 800  # a short cue stays so long when nothing follows
_SHORTEST_MS = 10


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle.

    Attributes:
        lines: its text.
        start, end: when it appears and disappears, in milliseconds.
        speaker: who speaks, if known.
    """

    lines: tuple[str, ...]
    start: int
    end: int
    speaker: str | None = None


def cues_of(transcript: Transcript) -> list[Cue]:
    """Lay out a transcript's words as subtitles.

    Returns:
        Cues in order of their starts. Each ends after it starts and before or when the next one of its speaker starts.
        Cues of different speakers may overlap.
    """
    speakers = dict.fromkeys(segment.speaker for segment in transcript.segments)
    if set(speakers) <= {None}:
        return _cues(transcript, None)
    result = [cue for speaker in speakers for cue in _cues(_of_speaker(transcript, speaker), speaker)]
    return sorted(result, key=lambda cue: cue.start)


def label(speaker: str | None) -> str:
    """Return the text before a speaker's words, for formats without a field for speakers."""
    return f"{speaker}: " if speaker else ""


def _of_speaker(transcript: Transcript, speaker: str | None) -> Transcript:
    segments = [segment for segment in transcript.segments if segment.speaker == speaker]
    words = tuple(word for segment in segments for word in segment.words)
    # A token does not say who spoke it. Words have times too.
    return replace(
        transcript, text=join_texts(segment.text for segment in segments), tokens=(), words=words, segments=()
    )


def _cues(transcript: Transcript, speaker: str | None) -> list[Cue]:
    indent = columns(label(speaker))
    groups: list[list[Unit]] = []
    for unit in units_of(transcript, MAX_COLUMNS):
        if not groups or _starts_cue(groups[-1], unit, indent):
            groups.append([])
        groups[-1].append(unit)
    result: list[Cue] = []
    for group, following in zip(groups, [*groups[1:], None], strict=False):
        start = max(group[0].start, result[-1].end if result else 0)
        end = max(group[-1].end, start + _READABLE_MS)
        if following is not None:
            end = min(end, following[0].start)
        end = max(min(end, start + MAX_MS), start + _SHORTEST_MS)
        result.append(Cue(tuple(_lines(group, indent)), start, end, speaker))
    return result


def _starts_cue(group: list[Unit], unit: Unit, indent: int) -> bool:
    """Return whether a unit starts a new cue, instead of joining the group before it."""
    last = group[-1]
    if unit.start - last.end > PAUSE_MS or unit.end - group[0].start > MAX_MS:
        return True
    if len(_lines([*group, unit], indent)) > MAX_LINES:
        return True
    sentence_over = last.text.endswith(SENTENCE_ENDS) and unit.text[0] not in CLOSING
    return sentence_over and sum(columns(each.text) + each.spaced for each in group) >= MAX_COLUMNS // 2


def _lines(units: list[Unit], indent: int) -> list[str]:
    """Break units into lines. A line exceeds 42 columns only if a label stands before a unit that fills it.

    Args:
        units: what the cue shows.
        indent: columns that the first line leaves for the speaker's label.
    """
    lines: list[str] = []
    for unit in units:
        if not lines:
            lines.append(unit.text)
            continue
        longer = lines[-1] + (" " if unit.spaced else "") + unit.text
        if columns(longer) <= MAX_COLUMNS - (indent if len(lines) == 1 else 0):
            lines[-1] = longer
        else:
            lines.append(unit.text)
    return lines
