"""Deepgram's option `replace`: other words in place of given ones, as in `replace=ms:Microsoft`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from legato.serve.deepgram.messages import bare
from legato.text.words import spaces_before
from legato.types import Segment, Transcript, Word


@dataclass(frozen=True, slots=True)
class Replacement:
    """Words and their replacement.

    Attributes:
        words: the words to find, in lower case and without punctuation.
        text: the replacement; empty to remove the words.
    """

    words: tuple[str, ...]
    text: str


def read_replacements(values: Sequence[str]) -> list[Replacement]:
    """Read each `WORDS:TEXT`, or `WORDS` alone, which are removed; longer ones take precedence."""
    pairs = [value.partition(":") for value in values]
    found = [Replacement(tuple(bare(word) for word in words.split()), text.strip()) for words, _, text in pairs]
    return sorted((each for each in found if each.words), key=lambda each: -len(each.words))


def replaced(transcript: Transcript, replacements: Sequence[Replacement]) -> Transcript:
    """Return a transcript with replaced words; a replacement has the times of the words that it replaces."""
    if not replacements:
        return transcript
    text, words = _replaced(transcript.text, transcript.words, replacements)
    segments = tuple(_segment(segment, replacements) for segment in transcript.segments)
    return replace(transcript, text=text, words=words, segments=segments)


def _segment(segment: Segment, replacements: Sequence[Replacement]) -> Segment:
    text, words = _replaced(segment.text, segment.words, replacements)
    return replace(segment, text=text, words=words)


def _replaced(text: str, words: Sequence[Word], replacements: Sequence[Replacement]) -> tuple[str, tuple[Word, ...]]:
    found = list(_words(words, spaces_before(text, words), replacements))
    return "".join(" " * space + word.text for space, word in found).strip(), tuple(word for _, word in found)


def _words(
    words: Sequence[Word], spaces: Sequence[bool], replacements: Sequence[Replacement]
) -> Iterator[tuple[bool, Word]]:
    """Yield the new words, each with whether a space stands before it."""
    spoken = tuple(bare(word.text) for word in words)
    number = 0
    while number < len(words):
        rule = next((r for r in replacements if spoken[number : number + len(r.words)] == r.words), None)
        if rule is None:
            yield spaces[number], words[number]
            number += 1
            continue
        old = words[number : number + len(rule.words)]
        if rule.text:
            text = rule.text + _punctuation(old[-1].text)
            yield spaces[number], Word(text, old[0].start, old[-1].end, min(word.confidence for word in old))
        number += len(rule.words)


def _punctuation(text: str) -> str:
    """Return the punctuation at the end of a word."""
    return text[len(text.rstrip(".,;:!?…")) :]
