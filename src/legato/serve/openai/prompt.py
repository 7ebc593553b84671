"""Phrases that clients send in a prompt."""

import re

_BORDERS = re.compile(r"[,;\n\r，、；]")


def split_prompt(prompt: str) -> list[str]:
    """Cut a prompt into phrases: what stands between commas, semicolons and line ends, as in `Legato, ONNX Runtime`."""
    return [piece.strip() for piece in _BORDERS.split(prompt) if piece.strip()]
