"""Phrases that clients send: in a prompt, or one by one."""

import re
from collections.abc import Iterable

from legato.phrases import Phrase

_BORDERS = re.compile(r"[,;\n\r，、；]")


def split_prompt(prompt: str) -> list[str]:
    """Cut a prompt into phrases: what stands between commas, semicolons and line ends, as in `Legato, ONNX Runtime`."""
    return [piece.strip() for piece in _BORDERS.split(prompt) if piece.strip()]


def weighted(texts: Iterable[str]) -> list[Phrase]:
    """Read `TEXT` or `TEXT=WEIGHT`; what stands behind the last `=` is a weight only if it is a number."""
    phrases: list[Phrase] = []
    for text in texts:
        phrase, found, weight = text.rpartition("=")
        try:
            phrases.append((phrase.strip(), float(weight)) if found else text)
        except ValueError:
            phrases.append(text)
    return phrases
