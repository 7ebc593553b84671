"""Scripts that are written without spaces between words: Han, Hiragana, Katakana, Bopomofo, Thai, Lao, Khmer, Myanmar.

Where a word, a line or a boosted phrase may begin depends on the script of a character. Every part of Legato that needs
to know asks this module.
"""

import unicodedata
from bisect import bisect_right
from itertools import chain

_RANGES = (
    (0x02EA, 0x02EB),  # tone letters of Bopomofo
    (0x0E01, 0x0EDF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17F9),  # Khmer
    (0x19E0, 0x19FF),  # Khmer dates
    (0x2E80, 0x2FD5),  # radicals
    (0x3005, 0x3007),  # ideographic iteration mark 々, closing mark 〆, number zero 〇
    (0x3021, 0x302D),  # Hangzhou numerals, tone marks
    (0x3031, 0x3035),  # vertical kana repeat marks
    (0x3038, 0x312F),  # Hangzhou numerals, Hiragana, Katakana and their marks, Bopomofo
    (0x3190, 0x31FF),  # annotation marks, Bopomofo extensions, strokes, Katakana extensions
    (0x3220, 0x3247),  # parenthesized and circled ideographs
    (0x3280, 0x32B0),  # circled ideographs
    (0x32C0, 0x32CB),  # months
    (0x32D0, 0x3370),  # circled Katakana, the era Reiwa, squared Katakana, hours
    (0x337B, 0x337F),  # squared names of eras, corporation ㍿
    (0x33E0, 0x33FE),  # days
    (0x3400, 0x4DBF),  # ideographs, extension A
    (0x4E00, 0x9FFF),  # ideographs
    (0xA9E0, 0xA9FE),  # Myanmar, extension B
    (0xAA60, 0xAA7F),  # Myanmar, extension A
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFF65, 0xFF9F),  # half-width Katakana and its marks
    (0x116D0, 0x116E3),  # Myanmar, extension C
    (0x16FE2, 0x16FF6),  # old Chinese and Vietnamese marks
    (0x1AFF0, 0x1B16F),  # kana supplements
    (0x1D360, 0x1D371),  # counting rods
    (0x1F200, 0x1F200),  # squared Hiragana
    (0x1F250, 0x1F251),  # circled ideographs
    (0x20000, 0x3FFFD),  # ideographs, planes 2 and 3
)
"""First and last code points.

The source is Unicode's `ScriptExtensions.txt`: characters that belong to these scripts only, and the middle dots of
Katakana, the digits of Myanmar and the sign of the baht. Punctuation that these scripts share with others, as `。`,
is not in the table: see `is_wide_punctuation`. Full-width Latin letters and half-width Hangul have scripts with spaces.
"""

_BORDERS = tuple(chain.from_iterable((first, last + 1) for first, last in _RANGES))
_SOUND_MARKS = frozenset("゛゜ﾞﾟ")


def is_unspaced(character: str) -> bool:
    """Return whether a character belongs to a script that is written without spaces between words."""
    return bisect_right(_BORDERS, ord(character)) % 2 == 1


def is_wide_punctuation(character: str) -> bool:
    """Return whether a character is punctuation as wide as an ideograph. It brings its own room, so no space is set."""
    return unicodedata.category(character)[0] == "P" and unicodedata.east_asian_width(character) in {"W", "F"}


def is_mark(character: str) -> bool:
    """Return whether a character belongs to the letter before it: combining marks, and the sound marks of kana."""
    return unicodedata.category(character)[0] == "M" or character in _SOUND_MARKS
