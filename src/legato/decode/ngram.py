"""N-gram language models in the ARPA format, over the model's own pieces.

The words of the n-gram must be pieces of the vocabulary: train it on text that the checkpoint's SentencePiece model has
cut into pieces, for example `spm_encode --model tokenizer.model < text | lmplz -o 4 > pieces.arpa`. It then applies to
every script, and to the first piece of a word before the word is complete. It is kept in plain dictionaries, about 250
bytes per entry, and is meant for an n-gram of a domain with up to a few million entries.
"""

import gzip
import io
import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from legato.errors import NGramError
from legato.files import open_regular

#: The pieces before the next one, the oldest first; negative numbers are symbols that are no pieces.
Context = tuple[int, ...]

#: Bytes of a line, blank lines, and times that a text in ARPA is larger than its gzip; real ones have far less.
_LINE, _BLANK_LINES, _RATIO = 1 << 16, 1000, 50
_LN10 = math.log(10)
_BEGIN, _END, _UNKNOWN = -1, -2, -3
_SYMBOLS = {"<s>": _BEGIN, "</s>": _END, "<unk>": _UNKNOWN}
_COUNT = re.compile(r"ngram (\d{1,2}) *= *(\d{1,12})$")
_SECTION = re.compile(r"\\(\d{1,2})-grams:$")
#: Least and largest logarithms to base 10. Tools write -99 for 0; larger weights would decide for any text alone.
_LEAST, _MOST_BACKOFF = -1000.0, 10.0


class NGram:
    """A back-off n-gram over token ids. It never changes, so streams share it, and a copy of it is itself.

    Attributes:
        order: number of tokens in its longest n-grams.
    """

    def __init__(self, entries: dict[Context, tuple[float, float]], order: int) -> None:
        """Build from the natural logarithms of probability and back-off weight of each n-gram."""
        self.order = order
        self._entries = entries
        floor = min(probability for gram, (probability, _) in entries.items() if len(gram) == 1)
        self._unknown = entries.get((_UNKNOWN,), (floor, 0.0))[0]

    def __deepcopy__(self, _memo: object) -> "NGram":
        return self

    def start(self) -> Context:
        """Return the context at the beginning of a stream."""
        return (_BEGIN,) if self.order > 1 and (_BEGIN,) in self._entries else ()

    def score(self, context: Context, token: int) -> float:
        """Return the natural logarithm of the probability of a token after a context."""
        backoff = 0.0
        while True:
            entry = self._entries.get((*context, token))
            if entry is not None:
                return backoff + entry[0]
            if not context:
                return backoff + self._unknown
            backoff += self._entries.get(context, (0.0, 0.0))[1]
            context = context[1:]

    def advance(self, context: Context, token: int) -> Context:
        """Return the context after a token."""
        return (*context, token)[-(self.order - 1) :] if self.order > 1 else ()


def open_ngram(path: Path, pieces: tuple[str, ...]) -> NGram:
    """Read an ARPA file, plain or gzipped.

    Args:
        pieces: the model's vocabulary.

    Raises:
        NGramError: it cannot be read, is not ARPA, is broken, or has words that are no pieces of the vocabulary.
    """
    try:
        with open_regular(path, "rb", links=True) as file:
            return _read(path, enumerate(_lines(path, file), 1), pieces)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise NGramError(f"{path}: cannot be read: {reason}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise NGramError(
            f"{path}: is not text in UTF-8. Use an n-gram in the ARPA format, not a binary one."
        ) from error


def _lines(path: Path, raw: BinaryIO) -> Iterator[str]:
    """Yield the lines, plain or unpacked. The bounds keep a small file from filling memory or running for hours."""
    room = _RATIO * os.fstat(raw.fileno()).st_size + _LINE
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    file = gzip.GzipFile(fileobj=raw) if packed else io.BufferedReader(cast("io.RawIOBase", raw))
    blank = 0
    while line := file.readline(_LINE + 1):
        room -= len(line)
        text = line.decode().strip("\n\r ")
        blank += not text
        if len(line) > _LINE or room < 0 or blank > _BLANK_LINES:
            raise NGramError(f"{path}: is no n-gram: its lines are too long, or it is almost empty. Make it again.")
        yield text


def _read(path: Path, lines: Iterator[tuple[int, str]], pieces: tuple[str, ...]) -> NGram:
    counts: dict[int, int] = {}
    for _, line in lines:
        if line == "\\data\\":
            break
    else:
        raise NGramError(f"{path}: is not an n-gram in the ARPA format: it has no line \\data\\.")
    ids = {piece: number for number, piece in enumerate(pieces)} | _SYMBOLS
    entries: dict[Context, tuple[float, float]] = {}
    foreign: list[str] = []
    order = 0
    number = 0
    for number, line in lines:
        if not line:
            continue
        if line == "\\end\\":
            break
        if match := _COUNT.match(line):
            counts[int(match[1])] = int(match[2])
        elif match := _SECTION.match(line):
            if foreign:
                break
            order = int(match[1])
        else:
            gram, values = _entry(path, number, line, order)
            unknown = [word for word in gram if word not in ids]
            if unknown and order > 1:
                raise NGramError(f"{path}, line {number}: {unknown[0]!r} is not among the 1-grams. The file is broken.")
            foreign += unknown
            if not unknown:
                entries[tuple(ids[word] for word in gram)] = values
    else:
        raise NGramError(f"{path}: ends at line {number} without \\end\\: it was cut off. Copy or make it again.")
    if foreign:
        raise NGramError(
            f"{path}: {len(foreign)} of its {counts.get(1, len(foreign))} words are no pieces of the model, such as "
            f"{', '.join(map(repr, foreign[:3]))}: it is an n-gram of another vocabulary. Train it on text that "
            "the model's own SentencePiece model has cut into pieces."
        )
    for size, expected in counts.items():
        found = sum(len(gram) == size for gram in entries)
        if found != expected:
            raise NGramError(f"{path}: has {found} {size}-grams, not the {expected} it announces. The file is broken.")
    if not any(gram[0] >= 0 for gram in entries):
        raise NGramError(f"{path}: holds no words.")
    return NGram(entries, max(counts, default=1))


def _entry(path: Path, number: int, line: str, order: int) -> tuple[list[str], tuple[float, float]]:
    fields = line.split()
    try:
        if not order or len(fields) not in (order + 1, order + 2):
            raise ValueError
        probability, backoff = float(fields[0]), float(fields[order + 1]) if len(fields) == order + 2 else 0.0
    except ValueError:
        raise NGramError(f"{path}, line {number}: is no entry of an ARPA file: {line[:60]!r}.") from None
    if not (_LEAST <= probability <= 0 and _LEAST <= backoff <= _MOST_BACKOFF):
        raise NGramError(
            f"{path}, line {number}: logarithms of probabilities are {_LEAST:g} to 0, of back-off weights "
            f"{_LEAST:g} to {_MOST_BACKOFF:g}: {line[:60]!r}. The file is broken. Make it again."
        )
    return fields[1 : order + 1], (probability * _LN10, backoff * _LN10)
