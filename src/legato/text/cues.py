"""Subtitle cues of a transcript: which units are shown together, on which lines, from when to when.

The borders of the cues are those with the least cost: at the ends of sentences and clauses and in the longest gaps,
with cues that are neither short nor faster than one can read. A cue holds at most 6 seconds of speech and stays for at
most 7, and a pause of a second always starts a new one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from legato.text.lines import break_lines, width
from legato.text.sentences import CLAUSE_ENDS, SENTENCE_ENDS
from legato.text.style import STYLE, SubtitleStyle
from legato.text.units import CLOSING, PAUSE_MS, Unit, columns, units_of
from legato.text.words import join_texts
from legato.types import Transcript

SPOKEN_MS, SHOWN_MS = 6000, 7000
_LINGER_MS = 1000  # a cue stays so long after its last word, if the next one does not come before
_READABLE_MS = 1000  # a short cue stays so long when nothing follows
_FLASH_MS = 500  # a shorter gap between two cues is closed
_SHORTEST_MS = 10
_SHORT_COLUMNS = 16

# Costs of a border: what a reader would rather not see. A cue costs 2 by itself, so that there are few.
_CUE, _CLAUSE, _ELSEWHERE, _INNER_SENTENCE = 2.0, 2.0, 6.0, 2.0
_SHORT, _FAST = 4.0, 8.0
_GAP_MS, _GAP_MOST = 160, 5.0  # each such gap lessens the cost of a border by 1, up to the second number


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle.

    Attributes:
        rows: its lines, each a sequence of units.
        start, end: when it appears and disappears, in milliseconds.
        speaker: who speaks, if known.
    """

    rows: tuple[tuple[Unit, ...], ...]
    start: int
    end: int
    speaker: str | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Its lines as text."""
        return tuple(
            "".join((" " if unit.spaced and number else "") + unit.text for number, unit in enumerate(row))
            for row in self.rows
        )


def cues_of(transcript: Transcript, style: SubtitleStyle = STYLE) -> list[Cue]:
    """Lay out a transcript's words as subtitles.

    Returns:
        Cues in order of their starts. Each ends after it starts and before or when the next one of its speaker starts.
        Cues of different speakers may overlap.
    """
    speakers = dict.fromkeys(segment.speaker for segment in transcript.segments)
    if set(speakers) <= {None}:
        return _cues(transcript, None, style)
    result = [cue for speaker in speakers for cue in _cues(_of_speaker(transcript, speaker), speaker, style)]
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


def _cues(transcript: Transcript, speaker: str | None, style: SubtitleStyle) -> list[Cue]:
    indent = columns(label(speaker))
    units = list(units_of(transcript, style.columns))
    groups = [units[start:end] for start, end in _borders(units, indent, style)]
    lead = round(style.lead * 1000)
    starts: list[int] = []
    for group in groups:
        starts.append(max(0, group[0].start - lead, starts[-1] + _SHORTEST_MS if starts else 0))
    result = []
    for number, (group, start) in enumerate(zip(groups, starts, strict=True)):
        wanted = max(_READABLE_MS, _reading_ms(sum(map(width, group)), style))
        end = max(group[-1].end + _LINGER_MS, start + wanted)
        if number + 1 < len(groups) and end > starts[number + 1] - _FLASH_MS:
            end = starts[number + 1]
        end = min(end, start + SHOWN_MS)
        rows = tuple(tuple(row) for row in break_lines(group, style.columns, indent))
        result.append(Cue(rows, start, end, speaker))
    return result


def _borders(units: Sequence[Unit], indent: int, style: SubtitleStyle) -> list[tuple[int, int]]:
    """Return the first and the last unit (excluded) of each cue, such that the costs are least."""
    best = [0.0] + [math.inf] * len(units)
    begins = [0] * (len(units) + 1)
    border = [_border_cost(units, end) for end in range(len(units) + 1)]
    sentence = [_ends_sentence(units, number) for number in range(len(units))]
    for start, first in enumerate(units):
        total = inner = lines = 0
        room = -1
        for end in range(start + 1, len(units) + 1):
            unit = units[end - 1]
            if end > start + 1:
                before = units[end - 2]
                if unit.start - before.end > PAUSE_MS or unit.end - first.start > SPOKEN_MS:
                    break
                inner += sentence[end - 2]
            each = width(unit)
            total += each
            if each <= room:
                room -= each
            else:
                lines += 1
                room = style.columns - (indent if lines == 1 else 0) - (each - unit.spaced)
                if lines > style.lines:
                    break
            cost = best[start] + _CUE + border[end] + _INNER_SENTENCE * inner
            following = units[end].start if end < len(units) else unit.end + _LINGER_MS
            shown = max(1, min(following, unit.end + _LINGER_MS) - first.start)
            cost += _SHORT * max(0.0, 1 - total / _SHORT_COLUMNS, 1 - shown / _READABLE_MS)
            cost += _FAST * min(2.0, max(0.0, _reading_ms(total, style) / shown - 1))
            if cost < best[end]:
                best[end], begins[end] = cost, start
    found: list[tuple[int, int]] = []
    end = len(units)
    while end:
        found.append((begins[end], end))
        end = begins[end]
    return found[::-1]


def _border_cost(units: Sequence[Unit], end: int) -> float:
    """Return the cost of a cue that ends before unit `end`."""
    if end in (0, len(units)):
        return 0.0
    gap = units[end].start - units[end - 1].end
    if gap > PAUSE_MS or _ends_sentence(units, end - 1):
        return 0.0
    cost = _CLAUSE if units[end - 1].text.endswith(CLAUSE_ENDS) else _ELSEWHERE
    return cost - min(_GAP_MOST, max(0, gap) / _GAP_MS)


def _ends_sentence(units: Sequence[Unit], number: int) -> bool:
    over = units[number].text.endswith(SENTENCE_ENDS)
    return over and not (number + 1 < len(units) and units[number + 1].text[0] in CLOSING)


def _reading_ms(characters: int, style: SubtitleStyle) -> int:
    return round(characters * 1000 / style.speed)
