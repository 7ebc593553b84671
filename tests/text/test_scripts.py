"""The table of scripts without spaces, and that words, lines and phrases follow it."""

import sys
import unicodedata

import pytest

from legato.decode.phrases import compile_phrases
from legato.text.scripts import is_mark, is_unspaced, is_wide_punctuation
from legato.text.units import units_of
from legato.text.words import split_words
from legato.types import Token, Transcript, Word

UNSPACED = "人々〆〇ｶｯｰﾞかゝゞーラヽヾゟヿㇰㄅㆠ㍿㈱㊤㌔㋿⺀⼀𠮷豈ไท๕ລາວ໕ខ្មែរ៥មြန်မာ၅ꩠ"
SPACED = "aé1ＧＰ５ﾡﾢ한नमस्तेα①㎏㈀ب"
NAMES = ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR")
SPACED_NAMES = ("LATIN", "FULLWIDTH", "HANGUL", "HALFWIDTH HANGUL", "DEVANAGARI", "GREEK", "CYRILLIC", "ARABIC")


@pytest.mark.parametrize("character", UNSPACED)
def test_characters_of_scripts_without_spaces(character: str) -> None:
    assert is_unspaced(character)


@pytest.mark.parametrize("character", SPACED)
def test_characters_of_scripts_with_spaces(character: str) -> None:
    assert not is_unspaced(character)


def test_the_table_agrees_with_the_names_of_characters() -> None:
    named = {code: unicodedata.name(chr(code), "") for code in range(sys.maxunicode + 1)}
    letters = [code for code, name in named.items() if name.startswith(NAMES)]
    assert len(letters) > 90_000
    assert [hex(code) for code in letters if not is_unspaced(chr(code))] == []
    others = [code for code, name in named.items() if name.startswith(SPACED_NAMES)]
    assert len(others) > 10_000
    assert [hex(code) for code in others if is_unspaced(chr(code))] == []


@pytest.mark.parametrize("character", [c for c in UNSPACED if not is_mark(c)])
def test_words_and_lines_begin_at_each_of_them(character: str) -> None:
    text = f"人{character}人"
    tokens = tuple(Token(i, c, round(i * 0.08, 3), i) for i, c in enumerate(text))
    assert [word.text for word in split_words(tokens, 0.08)] == list(text)
    units = list(units_of(Transcript(text, None, tokens, (Word(text, 0.0, 0.24),), 1.0), 42))
    iteration = character in "々ゝゞヽヾーｰｯ"  # does not begin a line
    assert [unit.text for unit in units] == ([text[:2], "人"] if iteration else list(text))


@pytest.mark.parametrize("character", [c for c in UNSPACED if unicodedata.is_normalized("NFKC", c)])
def test_a_phrase_needs_no_space_before_it(character: str) -> None:
    trie = compile_phrases([(character, 1.0)], ("\u2581", character))
    assert trie is not None
    assert trie.advance(0, 1)[1] > 0


def test_wide_punctuation() -> None:
    assert all(map(is_wide_punctuation, "、。，！「」（"))
    assert not any(map(is_wide_punctuation, ",.!(a人〒“"))
