"""Subtitle cues of a transcript: which words are shown together, on which lines, from when to when.

A cue has at most two lines of 42 columns and stays for at most 6 seconds; a pause starts a new one. Words of scripts
that are written without spaces are taken apart into characters, timed by the tokens that spelled them.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from legato.text.pieces import join_texts
from legato.text.sentences import SENTENCE_ENDS, spaced
from legato.types import Transcript, Word

MAX_COLUMNS = 42
MAX_LINES = 2
MAX_MS = 6000
PAUSE_MS = 1000
_READABLE_MS = 800  # a short cue stays so long when nothing follows
_SHORTEST_MS = 10

_CLOSING = set(".,;:!?%)]}»”’…、。，．！？：；）］｝」』】〉》ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ")
"""Characters that do not begin a line, beside combining marks."""

_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x312F),  # CJK radicals and punctuation, Hiragana, Katakana, Bopomofo
    (0x31F0, 0x9FFF),  # Katakana extensions, CJK ideographs
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFF00, 0xFFEF),  # full and half width forms
    (0x20000, 0x3FFFF),  # further CJK ideographs
)


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: its lines, when it appears and disappears, in milliseconds, and who speaks, where it is known."""

    lines: tuple[str, ...]
    start: int
    end: int
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is never cut: a word, or a character of a script without spaces. Times in milliseconds."""

    text: str
    start: int
    end: int
    spaced: bool  # a space goes before it


def cues(transcript: Transcript) -> list[Cue]:
    """Lay out a transcript's words as subtitles.

    Returns:
        Cues in order of their starts. Each ends after it starts and not after the next one starts; those of different
        speakers may overlap, as their speech does.
    """
    speakers = dict.fromkeys(segment.speaker for segment in transcript.segments)
    if set(speakers) <= {None}:
        return _cues(transcript, None)
    result = [cue for speaker in speakers for cue in _cues(_of_speaker(transcript, speaker), speaker)]
    return sorted(result, key=lambda cue: cue.start)


def label(speaker: str | None) -> str:
    """Give what stands before a speaker's words where a format has no place of its own for it."""
    return f"{speaker}: " if speaker else ""


def _of_speaker(transcript: Transcript, speaker: str | None) -> Transcript:
    segments = [segment for segment in transcript.segments if segment.speaker == speaker]
    words = tuple(word for segment in segments for word in segment.words)
    # Tokens do not say whose they are; the words have times too.
    return replace(
        transcript, text=join_texts(segment.text for segment in segments), tokens=(), words=words, segments=()
    )


def _cues(transcript: Transcript, speaker: str | None) -> list[Cue]:
    indent = columns(label(speaker))
    groups: list[list[_Unit]] = []
    for unit in _units(transcript):
        if not groups or _starts_new_cue(groups[-1], unit, indent):
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


def columns(text: str) -> int:
    """Count the columns a text takes on a screen: two for a wide character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _starts_new_cue(group: list[_Unit], unit: _Unit, indent: int) -> bool:
    last = group[-1]
    if unit.start - last.end > PAUSE_MS or unit.end - group[0].start > MAX_MS:
        return True
    if len(_lines([*group, unit], indent)) > MAX_LINES:
        return True
    sentence_over = last.text.endswith(SENTENCE_ENDS) and unit.text[0] not in _CLOSING
    return sentence_over and sum(columns(each.text) + each.spaced for each in group) >= MAX_COLUMNS // 2


def _lines(units: list[_Unit], indent: int) -> list[str]:
    """Break units into lines; a line grows over 42 columns only by a single unit that is wider, or by a label.

    Args:
        units: what the cue shows.
        indent: columns that the first line has to leave to the speaker's label.
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


def _units(transcript: Transcript) -> Iterator[_Unit]:
    times = _character_times(transcript)
    position = 0
    for word, space in _runs(transcript):
        moments = times[position : position + len(word.text)]
        position += len(word.text)
        if not word.text:
            continue
        if _is_unspaced(word.text) or columns(word.text) > MAX_COLUMNS:
            yield from _cut(word, moments, space=space)
        else:
            yield _Unit(word.text, _ms(word.start), max(_ms(word.end), _ms(word.start)), spaced=space)


def _runs(transcript: Transcript) -> Iterator[tuple[Word, bool]]:
    """Words, those of scripts without spaces joined to what stands between two spaces; and whether a space is before.

    Where a line may break there is decided for the whole run.
    """
    run: list[Word] = []
    before = False
    for word, space in zip(transcript.words, spaced(transcript.text, transcript.words), strict=True):
        if run and space:
            yield _joined(run), before
            run = []
        if not run:
            before = space
        run.append(word)
    if run:
        yield _joined(run), before


def _joined(words: list[Word]) -> Word:
    return Word("".join(word.text for word in words), words[0].start, words[-1].end)


def _cut(word: Word, moments: list[float | None], *, space: bool) -> Iterator[_Unit]:
    """Cut a word between characters, where a line may break."""
    begins = [0]
    for index, character in enumerate(word.text[1:], 1):
        if _may_begin(character, word.text[index - 1]) or columns(word.text[begins[-1] : index + 1]) > MAX_COLUMNS:
            begins.append(index)
    starts = _fill([moments[index] for index in begins], word.start, word.end)
    for number, begin in enumerate(begins):
        last = number + 1 == len(begins)
        text = word.text[begin:] if last else word.text[begin : begins[number + 1]]
        start = _ms(starts[number])
        # A token sounds for a frame or a few; a long wait until the next one is a pause, not a long character.
        end = _ms(word.end) if last else min(_ms(starts[number + 1]), start + PAUSE_MS // 2)
        yield _Unit(text, start, max(start, end), spaced=space and number == 0)


def _may_begin(character: str, before: str) -> bool:
    """Whether a line may begin with `character` inside a word that has no spaces."""
    if unicodedata.category(character)[0] == "M" or character in _CLOSING:
        return False
    if unicodedata.category(before) in {"Ps", "Pi"}:  # an opening bracket or quotation mark
        return False
    if character == "\u200d" or before == "\u200d":
        return False
    return not (_is_plain(character) and _is_plain(before))


def _is_plain(character: str) -> bool:
    """Whether a character belongs to a word of a script with spaces (Latin letters and digits inside Japanese)."""
    return character.isalnum() and not _is_unspaced(character)


def _is_unspaced(text: str) -> bool:
    return any(low <= ord(character) <= high for character in text for low, high in _UNSPACED)


def _character_times(transcript: Transcript) -> list[float | None]:
    """Give each character of the words, one after the other, the time of the token that spelled it.

    Tokens that spell nothing there (language tags, parts of a character) are passed over; characters that no token
    spells have no time.
    """
    text = "".join(word.text for word in transcript.words)
    times: list[float | None] = [None] * len(text)
    position = 0
    for word in transcript.words:
        times[position] = word.start
        position += len(word.text)
    position = 0
    for token in transcript.tokens:
        piece = token.piece.replace("\u2581", "").replace(" ", "")
        found = text.find(piece, position, position + len(piece) + 4) if piece else -1
        if found >= 0:
            times[found : found + len(piece)] = [token.time] * len(piece)
            position = found + len(piece)
    return times


def _fill(moments: list[float | None], start: float, end: float) -> list[float]:
    """Put times where there are none, evenly between their neighbours; the result never goes back."""
    known = [(-1, start), *((i, t) for i, t in enumerate(moments) if t is not None), (len(moments), end)]
    result: list[float] = []
    for (before, early), (after, late) in pairwise(known):
        result += [early + (late - early) * (i - before) / (after - before) for i in range(before + 1, after)]
        if after < len(moments):
            result.append(late)
    latest = start
    for index, moment in enumerate(result):
        latest = max(latest, min(moment, max(end, start)))
        result[index] = latest
    return result


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
