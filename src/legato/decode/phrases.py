"""Phrases to recognize more readily: from texts to the trie that boosts them.

A phrase is spelled in several ways, because the vocabulary may cut it into other pieces than expected and the model
writes a word at the start of a sentence with a capital. The bundle contains no tokenizer, so the likely cuts are found
here: the one that merges pairs in the order of the vocabulary, and those with the fewest pieces.
"""

import heapq
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from numbers import Real

from legato.decode.phrase_trie import PhraseTrie
from legato.errors import PhraseError
from legato.text.pieces import SPACE, byte_of, is_special
from legato.text.scripts import is_unspaced

#: A phrase, or a phrase and its weight.
Phrase = str | tuple[str, float]
#: Default boost per token of a phrase, in nats: log-probability that a token may lack and still be chosen.
DEFAULT_WEIGHT = 2.0
#: Nats that a phrase earns in total at most, however long it is, so that its beginning cannot force its end.
CAP = 10.0
MAX_PHRASES = 10_000
MAX_CHARACTERS = 200
#: Cuts of one spelling that are accepted, besides the one by merging.
_CUTS = 4

#: Phrases as a stream accepts them: texts, or the compiled trie.
Phrases = Sequence[Phrase] | PhraseTrie | None


def read_weighted(texts: Iterable[str]) -> list[Phrase]:
    """Parse each `TEXT` or `TEXT=WEIGHT`; what follows the last `=` is a weight only if it is a number."""
    phrases: list[Phrase] = []
    for text in texts:
        phrase, found, weight = text.rpartition("=")
        try:
            phrases.append((phrase.strip(), float(weight)) if found else text)
        except ValueError:
            phrases.append(text)
    return phrases


def compile_phrases(phrases: Phrases, pieces: tuple[str, ...]) -> PhraseTrie | None:
    """Build the trie of phrases over a vocabulary.

    Args:
        phrases: texts or pairs of text and weight (nats per token, more than 0 and at most `CAP`); at most
            `MAX_PHRASES` of at most `MAX_CHARACTERS` characters.

    Returns:
        The trie; None for no phrases. A compiled trie is returned as it is.

    Raises:
        PhraseError: an empty or too long phrase, a weight out of range, or characters that the vocabulary lacks.
    """
    if phrases is None or isinstance(phrases, PhraseTrie):
        return phrases
    if isinstance(phrases, str):  # a text is a sequence of letters, which nobody means
        raise PhraseError(f"phrases must be a list, not one text: use [{phrases!r}].")
    if len(phrases) > MAX_PHRASES:
        raise PhraseError(f"{len(phrases)} phrases are too many: use at most {MAX_PHRASES}.")
    vocabulary = _vocabulary(pieces)
    spellings: list[tuple[Sequence[int], float]] = []
    for phrase in phrases:
        match phrase:
            case str(text):
                weight = DEFAULT_WEIGHT
            case (str(text), Real() as number):
                weight = float(number)
            case _:
                raise PhraseError(f"The phrase {phrase!r} is neither a text nor a pair of a text and its weight.")
        spellings += _spell(text, weight, vocabulary)
    return PhraseTrie(spellings, len(pieces)) if spellings else None


class _Vocabulary:
    """Ids of text pieces and of byte pieces; special tokens and language tags are left out."""

    def __init__(self, pieces: tuple[str, ...]) -> None:
        self.ids: dict[str, int] = {}
        self.bytes: dict[int, int] = {}
        for number, piece in enumerate(pieces):
            if (byte := byte_of(piece)) is not None:
                self.bytes[byte] = number
            elif piece and not is_special(piece):
                self.ids.setdefault(piece, number)
        self.characters = frozenset("".join(self.ids))
        self.longest = max(map(len, self.ids), default=1)

    def spells(self, character: str) -> bool:
        """Whether a character can be written: by a piece of its own, as part of others, or in bytes."""
        return character in self.characters or all(byte in self.bytes for byte in character.encode())


@lru_cache(maxsize=4)
def _vocabulary(pieces: tuple[str, ...]) -> _Vocabulary:
    return _Vocabulary(pieces)


def _spell(text: str, weight: float, vocabulary: _Vocabulary) -> Iterator[tuple[Sequence[int], float]]:
    """Yield every accepted spelling of a phrase and the boost it earns in total: the same for all cuts of a variant."""
    words = unicodedata.normalize("NFKC", text).split()
    if not words:
        raise PhraseError("A phrase is empty. Remove it or give it at least one character.")
    if len(text) > MAX_CHARACTERS:
        raise PhraseError(f"The phrase {text[:30]!r}... has {len(text)} characters. Use at most {MAX_CHARACTERS}.")
    if not (math.isfinite(weight) and 0 < weight <= CAP):
        raise PhraseError(f"The phrase {text!r} has the weight {weight:g}. Use more than 0 and at most {CAP:g}.")
    found = False
    for variant in _variants(words):
        cuts = _cuts(variant, vocabulary)
        if not cuts:
            continue
        found = True
        boost = min(CAP, weight * min(map(len, cuts)))
        yield from ((cut, boost) for cut in cuts)
    if not found:
        missing = [c for c in dict.fromkeys("".join(words)) if not vocabulary.spells(c)]
        what = f"has no {', '.join(map(repr, missing))}" if missing else "has no pieces that make it up"
        remedy = "The weight after = is a number, such as 2." if "=" in missing else "Leave it out or respell it."
        raise PhraseError(f"The model cannot spell {text!r}: its vocabulary {what}. {remedy}")


def _variants(words: Sequence[str]) -> list[str]:
    """Return the words as given, in lower case, and with capitals as at the start of a sentence and in names."""
    text = " ".join(words)
    small = text.lower()
    capitals = " ".join(word[:1].upper() + word[1:] for word in words)
    cased = dict.fromkeys([text, small, text[:1].upper() + text[1:], capitals])
    marked = [SPACE + form.replace(" ", SPACE) for form in cased]
    # In scripts without spaces, no space piece marks the start of a word.
    return marked + [form[1:] for form in marked if is_unspaced(form[1])]


def _cuts(text: str, vocabulary: _Vocabulary) -> list[tuple[int, ...]]:
    """Return the likely sequences of token ids that make up a text, the one with the fewest pieces first."""
    best = _fewest(text, vocabulary)
    if not best:
        return []
    shortest = len(best[0])
    merged = _merge(text, vocabulary)
    found = [cut for cut in best if len(cut) <= shortest + 1]
    return list(dict.fromkeys([*found, *([merged] if merged else [])]))


def _fewest(text: str, vocabulary: _Vocabulary) -> list[tuple[int, ...]]:
    """Return the cuts with the fewest pieces; among equals those whose pieces come first in the vocabulary."""
    reached: list[list[tuple[int, float, tuple[int, ...]]]] = [[(0, 0.0, ())]]
    for end in range(1, len(text) + 1):
        ways = []
        for start in range(max(0, end - vocabulary.longest), end):
            part = text[start:end]
            if part in vocabulary.ids:
                ids: tuple[int, ...] = (vocabulary.ids[part],)
            elif len(part) == 1 and part not in vocabulary.ids and vocabulary.bytes:
                written = [vocabulary.bytes.get(byte) for byte in part.encode()]
                ids = tuple(byte for byte in written if byte is not None)
                if len(ids) < len(written):
                    continue
            else:
                continue
            rarity = sum(math.log1p(number) for number in ids)
            ways += [(count + len(ids), cost + rarity, cut + ids) for count, cost, cut in reached[start]]
        reached.append(heapq.nsmallest(_CUTS, ways))
    return [cut for _, _, cut in reached[-1]]


def _merge(text: str, vocabulary: _Vocabulary) -> tuple[int, ...] | None:
    """Merge neighbors into the piece that comes first in the vocabulary, until none is left; None if letters lack."""
    parts = list(text)
    while True:
        pairs = [(vocabulary.ids.get(parts[i] + parts[i + 1]), i) for i in range(len(parts) - 1)]
        known = [(number, i) for number, i in pairs if number is not None]
        if not known:
            break
        _, i = min(known)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    ids = [vocabulary.ids.get(part) for part in parts]
    return tuple(number for number in ids if number is not None) if None not in ids else None
