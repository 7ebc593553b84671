"""The lines of a subtitle: as few as possible, of similar width, broken after punctuation or in gaps that are near."""

import math
from collections.abc import Sequence
from itertools import pairwise

from legato.text.sentences import CLAUSE_ENDS, SENTENCE_ENDS
from legato.text.units import Unit, columns

#: What a break after punctuation is worth, in columns by which two lines may then differ.
_PUNCTUATION = 8
#: A gap that is worth as much as punctuation.
_GAP_MS = 480
_IMPOSSIBLE = (math.inf, 0)


def width(unit: Unit) -> int:
    """Return the columns of a unit and of the space before it."""
    return columns(unit.text) + unit.spaced


def count_lines(widths: Sequence[int], spaced: Sequence[bool], most: int, indent: int) -> int:
    """Return the least number of lines.

    Args:
        widths: of the units, with the spaces before them.
        spaced: whether a space, which a line does not begin with, is before each unit.
        most: columns of a line.
        indent: columns that the first line leaves for the speaker's label.
    """
    lines, room = 0, -1
    for each, space in zip(widths, spaced, strict=True):
        if each <= room:
            room -= each
        else:
            lines += 1
            room = most - (indent if lines == 1 else 0) - (each - space)
    return lines


def break_lines(units: Sequence[Unit], most: int, indent: int) -> list[Sequence[Unit]]:
    """Break units into the least number of lines, as balanced as possible.

    A line exceeds `most` columns only if a label stands before a unit that fills it.
    """
    widths, spaced = [width(unit) for unit in units], [unit.spaced for unit in units]
    number = count_lines(widths, spaced, most, indent)
    if number <= 1:
        return [units]
    ideal = (sum(widths) + indent) / number
    # rows[n][i]: the cost of n lines up to unit i, and where the last of them begins.
    rows: list[list[tuple[float, int]]] = [[(0.0, 0)] + [_IMPOSSIBLE] * len(units)]
    for line in range(number):
        following = [_IMPOSSIBLE] * (len(units) + 1)
        for start, state in enumerate(rows[-1][:-1]):
            if state is _IMPOSSIBLE:
                continue
            total = (indent if line == 0 else 0) - spaced[start]
            for end in range(start + 1, len(units) + 1):
                total += widths[end - 1]
                if total > most and end > start + 1:
                    break
                cost = state[0] + (total - ideal) ** 2 + _break_cost(units, end)
                following[end] = min(following[end], (cost, start))
        rows.append(following)
    borders = [len(units)]
    for row in reversed(rows[1:]):
        borders.insert(0, row[borders[0]][1])
    return [units[start:end] for start, end in pairwise(borders)]


def _break_cost(units: Sequence[Unit], end: int) -> float:
    if end == len(units) or units[end - 1].text.endswith((*SENTENCE_ENDS, *CLAUSE_ENDS)):
        return 0.0
    gap = units[end].start - units[end - 1].end
    return _PUNCTUATION**2 * max(0.0, 1 - max(0, gap) / _GAP_MS)
