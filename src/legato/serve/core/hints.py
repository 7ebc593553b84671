"""Hints that help or do no harm: phrases that the model cannot spell are omitted, and terms are taken from a prompt."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from legato.decode.phrase_trie import PhraseTrie
from legato.decode.phrases import Phrase, compile_phrases
from legato.errors import PhraseError
from legato.text.scripts import is_unspaced

_SEPARATORS = re.compile(r"[,;\n\r，、；]")
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
#: The end of a sentence; a short word with a capital, as in `Dr. Lovelace`, is an abbreviation.
_SENTENCE_END = re.compile(r"(?<=[^\W\dA-Z]{2}[.!?…])\s+|(?<=[。！？])")
#: What introduces a list, as in `Glossary: Legato, ONNX`.
_LABEL = re.compile(r"^[^\W\d][\w ]{0,30}:\s+")
#: A piece of a prompt with more words than this is prose, not a term.
_TERM_WORDS = 4
_EDGES = " \t\"'()[]{}<>«»“”„‘’.,:;!?…。！？"
_NUMBER = re.compile(r"\d+")
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spellable(phrases: Sequence[Phrase], pieces: tuple[str, ...]) -> tuple[list[Phrase], list[str]]:
    """Return the phrases that a vocabulary can spell, and a warning for each that was respelled or left out.

    Args:
        phrases: texts, or pairs of a text and its weight.
    """
    found: list[Phrase] = []
    warnings = []
    for phrase in phrases:
        text, weight = (phrase, None) if isinstance(phrase, str) else phrase
        if not text.strip():
            continue
        refusal = None
        for spelling in _spellings(text):
            candidate: Phrase = spelling if weight is None else (spelling, weight)
            try:
                compile_phrases([candidate], pieces)
            except PhraseError as error:
                refusal = refusal or error
            else:
                found.append(candidate)
                if refusal is not None:
                    warnings.append(f"The term {text.strip()!r} was taken as {spelling!r}, which the model can spell.")
                break
        else:
            warnings.append(f"A term was ignored. {refusal}")
    return found, warnings


def compile_spellable(phrases: Sequence[Phrase], pieces: tuple[str, ...]) -> tuple[PhraseTrie | None, list[str]]:
    """Compile the phrases that a vocabulary can spell, and return warnings about the others. See `spellable`."""
    found, warnings = spellable(phrases, pieces)
    return compile_phrases(found, pieces), warnings


def _spellings(text: str) -> list[str]:
    """Return a phrase and, unless hardly anything is left of it, the same respelled."""
    other = respelled(text)
    return list(dict.fromkeys([text, other])) if len(other) > 1 else [text]


def respelled(text: str) -> str:
    """Return a phrase as it is spoken in English: numbers in words, and no punctuation, such as `gpt four`."""
    words = _NUMBER.sub(lambda match: f" {_number(match[0])} ", text)
    # A mark, such as a vowel sign, belongs to the letter before it.
    letters = [c if c.isalnum() or c in "'’" or unicodedata.category(c)[0] == "M" else " " for c in words]
    return " ".join("".join(letters).split()).lower()


def prompt_terms(prompt: str) -> list[str]:
    """Return the terms in a prompt.

    A list, separated by commas, semicolons or line ends, is taken as it is. From a sentence, the names are taken: words
    with capitals (except at its start) or digits, and neighboring ones together.
    """
    terms: list[str] = []
    for sentence in _SENTENCE_END.split(prompt):
        text = _LABEL.sub("", sentence.strip())
        pieces = [piece.strip(_EDGES) for piece in _SEPARATORS.split(text)]
        pieces = [piece for piece in pieces if piece]
        short = all(_words(piece) <= _TERM_WORDS for piece in pieces)
        ends = text.endswith(_SENTENCE_ENDS)
        terms += pieces if short and not (ends and any(each[0].islower() for each in pieces)) else _names(text)
    return list(dict.fromkeys(terms))


def _words(text: str) -> int:
    """Return the number of words; in scripts without spaces, two characters count as one."""
    return max(len(text.split()), sum(map(is_unspaced, text)) // 2)


def _names(sentence: str) -> Iterator[str]:
    """Yield the names in a sentence of prose."""
    name: list[str] = []
    for number, word in enumerate(sentence.split()):
        bare = word.strip(_EDGES)
        inside = any(c.isupper() or c.isdigit() for c in bare[1:])
        capital = number > 0 and len(bare) > 1 and bare[0].isupper() and not bare.startswith(("I'", "I’"))
        if inside or capital or (name and bare.isdigit()):
            name.append(bare)
            if word[-1] not in _EDGES or word[-1] == ".":
                continue
        if name:
            yield " ".join(name)
        name = []
    if name:
        yield " ".join(name)


def _number(digits: str) -> str:
    """Return a number in English: in words up to 99, else digit by digit."""
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return " ".join(_ONES[int(digit)] for digit in digits)
    value = int(digits)
    if value < len(_ONES):
        return _ONES[value]
    tens, ones = divmod(value, 10)
    return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")
