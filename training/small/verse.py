"""French verse as prose: headings left out, lines joined to sentences, words spelled as today."""

import html
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

_ELISION = re.compile(r"^((?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu)')(.+)$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?", re.UNICODE)
_ACCENTED = {"a": "àâ", "e": "éêè", "i": "î", "o": "ô", "u": "û"}
#: Where a clause ends: reading pauses there.
_CLAUSE = re.compile(r"(?<=[,;:.!?])\s+")


class Spelling:
    """How often each word is written with and without a capital inside the sentences of a text collection."""

    def __init__(self, sentences: list[str]) -> None:
        self._count = Counter(word for sentence in sentences for word in _words(sentence)[1:])

    @classmethod
    def read(cls, path: Path) -> "Spelling":
        """Read the sentences of a language from ``texts/<language>.jsonl``."""
        return cls([json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()])

    def is_name(self, word: str) -> bool:
        """Tell whether a word is usually written with a capital; unknown words are."""
        small = self._count[word.lower()]
        return small <= self._count[word.lower().capitalize()]

    def surely_name(self, word: str) -> bool:
        """Tell whether a word occurs, and mostly with a capital."""
        return self._count[word.capitalize()] > self._count[word]

    def accented(self, word: str) -> str:
        """Return a word in lower case with the accent that its capital letter lacks in print (``Etre``)."""
        small = word.lower()
        variants = [letter + small[1:] for letter in _ACCENTED.get(small[0], "")]
        best = max(variants, key=lambda variant: self._count[variant], default=small)
        return best if self._count[best] > self._count[small] else small


def _words(sentence: str) -> list[str]:
    return _WORD.findall(re.sub(r"[’']", " ", sentence))


def _modern(word: str, following: str, spelling: Spelling) -> str:
    """Return a word that starts with a capital with its accent."""
    if word in ("O", "0"):
        return "Ô"
    if word == "A":
        return "A" if re.search(r"(é|i|u)$", following) and following not in ("lui", "qui", "celui") else "À"
    accented = spelling.accented(word)
    return word if accented == word.lower() else accented.capitalize()


def _small(word: str, spelling: Spelling) -> str:
    """Return the word without its capital unless it is a name."""
    elided = _ELISION.match(word)
    if elided:
        return elided[1].lower() + elided[2]
    return word if spelling.is_name(word) and len(word) > 1 else word[0].lower() + word[1:]


#: Not in French.
_LATIN = "Franciscae meae laudes"


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFD", title.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def titles(index: Path) -> list[str]:
    """Return the titles of the recordings from LibriVox's page of the book."""
    return [html.unescape(title) for title in re.findall(r'class="chapter-name">([^<]+)<', index.read_text("utf-8"))]


def poem(librivox: Path, edition: Path | None, number: int, title: str) -> str:
    """Return the text of a poem: ``<number>.txt`` beside the recordings, or by its title from the edition of 1861."""
    path = librivox / f"{number}.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if not text.strip() and edition and title != _LATIN:
        for other in sorted((edition / "content" / "1861").glob("*.txt")):
            if _slug(title).startswith(other.stem.partition("-")[2]):
                return other.read_text(encoding="utf-8")
    return text


def clauses(text: str, spelling: Spelling) -> list[str]:
    """Return the clauses of a poem in order; joined by spaces they are its text.

    Left out are lines in capitals (titles, numbers of parts). Capitals at the start of lines and of allegories are
    dropped unless a sentence starts or the word is a name.
    """
    text = text.replace("_", "").replace("’", "'").replace("--", " ")
    text = re.sub(r"oe(?=[iu])", "œ", re.sub(r"Oe(?=[iu])", "Œ", text))
    found: list[str] = []
    starts = True
    for line in re.sub(r"[«»\"“”()\[\]*]", " ", text).splitlines():
        if not re.search(r"[a-zà-ÿ]", line):
            continue
        for clause in _CLAUSE.split(line.strip()):
            words = clause.split()
            for index, word in enumerate(words):
                bare = _WORD.match(word)
                if (bare and bare[0][0].isupper()) or word == "0":
                    following = words[index + 1] if index + 1 < len(words) else ""
                    core = bare[0] if bare else word
                    new = _modern(core, following.strip(",;:.!?"), spelling)
                    new = new if starts else _small(new, spelling)
                    words[index] = new + word[len(core) :]
                starts = bool(re.search(r"[.!?…]$", word))
            found.append(" ".join(words))
    return [clause for clause in found if _WORD.search(clause)]
