"""Character error rate."""

import re
from dataclasses import dataclass

from training.small.languages import plain

_TAG = re.compile(r"<[a-z]{2}-[A-Z]{2}>")


@dataclass(frozen=True)
class Errors:
    """Wrong letters against the letters of the reference; spaces count."""

    wrong: int
    letters: int
    tags: tuple[str, ...]


def letter_errors(reference: str, hypothesis: str) -> Errors:
    """Return the edit distance of the :func:`plain` texts; language tags are taken out of the hypothesis first."""
    tags = tuple(_TAG.findall(hypothesis))
    written, reference = plain(_TAG.sub(" ", hypothesis)), plain(reference)
    row = list(range(len(written) + 1))
    for i, letter in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(written, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (letter != other))
    return Errors(row[-1], len(reference), tags)


class Score:
    """Sums errors over utterances."""

    def __init__(self) -> None:
        self.wrong = self.letters = 0

    def add(self, errors: Errors) -> None:
        """Count one utterance."""
        self.wrong += errors.wrong
        self.letters += errors.letters

    @property
    def rate(self) -> float:
        """CER in percent."""
        return 100 * self.wrong / self.letters
