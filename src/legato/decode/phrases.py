"""Phrases that are to be recognised more readily: a trie over token ids, and the boost that a path through it earns.

The boost is the shallow fusion of a context graph with Aho-Corasick fail links, as in Andrusenko et al., "TurboBias:
Universal ASR Context-Biasing powered by GPU-accelerated Phrase-Boosting Tree" (2025). A token that begins or continues
a phrase earns a boost at once, and what an unfinished phrase has earned is given back when it fails. So the boosts of a
text add up to those of the phrases in it.

A phrase is spelled in several ways: the vocabulary may cut it into other pieces than expected, and the model writes a
word at the start of a sentence with a capital. The bundle carries no tokeniser, so its likely cuts are found here: the
one of merging pairs in the order of the vocabulary, and those with the fewest pieces.
"""

import heapq
import math
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from legato.errors import PhraseError
from legato.text.pieces import SPACE, is_unspaced

#: A phrase, or a phrase and its weight.
Phrase = str | tuple[str, float]
#: Boost for each token of a phrase, in nats: log-probability that a token may lack and still be taken.
DEFAULT_WEIGHT = 2.0
#: Nats that a phrase may earn in all, however long it is, so that its beginning cannot force its end.
CAP = 10.0
MAX_PHRASES = 10_000
MAX_CHARACTERS = 200
#: Cuts of one spelling that are accepted, besides the one by merging.
_CUTS = 4


class PhraseTrie:
    """Phrases as paths of token ids. It never changes, so streams share it, and a copy is itself.

    A node is a number; 0 is the root, where no phrase is open.
    """

    def __init__(self, spellings: Iterable[tuple[Sequence[int], float]], vocabulary: int) -> None:
        """Build from token sequences, each with the boost that it earns in all, and the number of tokens there are."""
        self._vocabulary = vocabulary
        self._children: list[dict[int, int]] = [{}]
        self._earned = [0.0]
        self._ends: list[float | None] = [None]
        for tokens, boost in spellings:
            self._insert(tokens, boost)
        self._fail = [0] * len(self._children)
        self._kept = [0.0] * len(self._children)
        self._link()
        self._root = np.zeros(vocabulary, np.float32)
        for token, child in self._children[0].items():
            self._root[token] = self._earned[child]

    def __deepcopy__(self, _memo: object) -> "PhraseTrie":
        return self

    def _insert(self, tokens: Sequence[int], boost: float) -> None:
        node = 0
        for depth, token in enumerate(tokens, 1):
            child = self._children[node].get(token)
            if child is None:
                child = self._children[node][token] = len(self._children)
                self._children.append({})
                self._earned.append(0.0)
                self._ends.append(None)
            self._earned[child] = max(self._earned[child], boost * depth / len(tokens))
            node = child
        self._ends[node] = max(self._ends[node] or 0.0, boost)

    def _link(self) -> None:
        """Breadth first: fail links, and what a node keeps when its phrase fails, which is what ended on the way."""
        paths: dict[int, tuple[int, ...]] = {0: (0,)}
        queue = deque([0])
        while queue:
            node = queue.popleft()
            for token, child in self._children[node].items():
                # Another phrase with the same beginning may have earned more there.
                self._earned[child] = max(self._earned[child], self._earned[node])
                self._fail[child] = self._step(self._fail[node], token)[0] if node else 0
                paths[child] = (*paths[node], child)
                self._kept[child] = max(self._kept[node], self._ended(child, paths))
                queue.append(child)

    def _ended(self, node: int, paths: dict[int, tuple[int, ...]]) -> float:
        """The most that phrases which end at a node keep, with those before them."""
        best, suffix = 0.0, node
        while suffix:
            end = self._ends[suffix]
            if end is not None:
                before = paths[node][-len(paths[suffix])]
                best = max(best, min(self._kept[before] + end, self._earned[node]))
            suffix = self._fail[suffix]
        return best

    def _step(self, node: int, token: int) -> tuple[int, float]:
        """The node behind a token, and what the token earns (float, nats), before anything is given back."""
        while True:
            child = self._children[node].get(token)
            if child is not None:
                return child, self.owed(node) + self._earned[child] - self._earned[node]
            if not node:
                return 0, 0.0
            node = self._fail[node]

    def owed(self, node: int) -> float:
        """Nats that an unfinished phrase has earned, and gives back if it fails."""
        return self._earned[node] - self._kept[node]

    def advance(self, node: int, token: int) -> tuple[int, float]:
        """The node behind a token, and what the token earns in nats, less what is given back."""
        child, earned = self._step(node, token)
        return child, earned - self.owed(node)

    def scores(self, node: int) -> NDArray[np.float32]:
        """What `advance` gives every token: float32[vocabulary]."""
        scores = self._root.copy()
        chain = []
        current = node
        while current:
            chain.append(current)
            current = self._fail[current]
        for suffix in reversed(chain):  # the longest match decides
            for token, child in self._children[suffix].items():
                scores[token] = self.owed(suffix) + self._earned[child] - self._earned[suffix]
        scores -= self.owed(node)
        return scores

    def choose(self, logits: NDArray[np.float32], node: int) -> tuple[int, int]:
        """The best token behind a node, blank excluded, and the node behind it; logits float32[vocabulary + 1]."""
        token = int((logits[: self._vocabulary] + self.scores(node)).argmax())
        return token, self._step(node, token)[0]


#: What a stream takes: phrases, or what was compiled of them.
Phrases = Sequence[Phrase] | PhraseTrie | None


def read_weighted(texts: Iterable[str]) -> list[Phrase]:
    """Read each `TEXT` or `TEXT=WEIGHT`; what stands behind the last `=` is a weight only if it is a number."""
    phrases: list[Phrase] = []
    for text in texts:
        phrase, found, weight = text.rpartition("=")
        try:
            phrases.append((phrase.strip(), float(weight)) if found else text)
        except ValueError:
            phrases.append(text)
    return phrases


def compile_phrases(phrases: Phrases, pieces: tuple[str, ...]) -> PhraseTrie | None:
    """Build the trie of phrases over a vocabulary; None for no phrases, and what is compiled stays as it is.

    Raises:
        PhraseError: an empty or too long phrase, a weight out of range, or characters that the vocabulary lacks.
    """
    if phrases is None or isinstance(phrases, PhraseTrie):
        return phrases
    if isinstance(phrases, str):  # a sequence of letters, which nobody means
        raise PhraseError(f"phrases must be a list, not one text: give [{phrases!r}].")
    if len(phrases) > MAX_PHRASES:
        raise PhraseError(f"{len(phrases)} phrases are too many: give at most {MAX_PHRASES}.")
    vocabulary = _vocabulary(pieces)
    spellings: list[tuple[Sequence[int], float]] = []
    for phrase in phrases:
        text, weight = (phrase, DEFAULT_WEIGHT) if isinstance(phrase, str) else phrase
        spellings += _spell(text, weight, vocabulary)
    return PhraseTrie(spellings, len(pieces)) if spellings else None


class _Vocabulary:
    """Ids of pieces of text, and of bytes; special tokens and language tags are left out."""

    def __init__(self, pieces: tuple[str, ...]) -> None:
        self.ids: dict[str, int] = {}
        self.bytes: dict[int, int] = {}
        for number, piece in enumerate(pieces):
            if piece.startswith("<0x") and piece.endswith(">"):
                self.bytes[int(piece[3:-1], 16)] = number
            elif piece and not (piece.startswith("<") and piece.endswith(">") and len(piece) > 2):
                self.ids.setdefault(piece, number)
        self.characters = frozenset("".join(self.ids))
        self.longest = max(map(len, self.ids), default=1)

    def spells(self, character: str) -> bool:
        """Whether a character can be written, by a piece of its own, inside others, or in bytes."""
        return character in self.characters or all(byte in self.bytes for byte in character.encode())


@lru_cache(maxsize=4)
def _vocabulary(pieces: tuple[str, ...]) -> _Vocabulary:
    return _Vocabulary(pieces)


def _spell(text: str, weight: float, vocabulary: _Vocabulary) -> Iterator[tuple[Sequence[int], float]]:
    """Every accepted spelling of a phrase, with the boost it earns in all: the same for all cuts of one variant."""
    words = unicodedata.normalize("NFKC", text).split()
    if not words:
        raise PhraseError("A phrase is empty: give it at least one character.")
    if len(text) > MAX_CHARACTERS:
        raise PhraseError(
            f"The phrase {text[:30]!r}... has {len(text)} characters: at most {MAX_CHARACTERS} can be given."
        )
    if not (math.isfinite(weight) and 0 < weight <= CAP):
        raise PhraseError(f"The phrase {text!r} has the weight {weight:g}: give more than 0 and at most {CAP:g}.")
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
        raise PhraseError(
            f"The model cannot spell the phrase {text!r}: its vocabulary {what}. Leave it out or respell it."
        )


def _variants(words: Sequence[str]) -> list[str]:
    """As given, in lower case, and with capitals as at the start of a sentence and in names."""
    text = " ".join(words)
    small = text.lower()
    capitals = " ".join(word[:1].upper() + word[1:] for word in words)
    cased = dict.fromkeys([text, small, text[:1].upper() + text[1:], capitals])
    marked = [SPACE + form.replace(" ", SPACE) for form in cased]
    # Where words are written together, nothing marks the border.
    return marked + [form[1:] for form in marked if is_unspaced(form[1])]


def _cuts(text: str, vocabulary: _Vocabulary) -> list[tuple[int, ...]]:
    """The likely sequences of token ids that make up a text, the one with the fewest pieces first."""
    best = _fewest(text, vocabulary)
    if not best:
        return []
    shortest = len(best[0])
    merged = _merge(text, vocabulary)
    found = [cut for cut in best if len(cut) <= shortest + 1]
    return list(dict.fromkeys([*found, *([merged] if merged else [])]))


def _fewest(text: str, vocabulary: _Vocabulary) -> list[tuple[int, ...]]:
    """The cuts with the fewest pieces; among equals those of pieces that stand first in the vocabulary."""
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
    """Merge neighbours into the piece that stands first in the vocabulary, until none is left; None if letters lack."""
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
