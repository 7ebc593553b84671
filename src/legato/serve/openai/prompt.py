"""The phrases in a prompt."""

import re

_SEPARATORS = re.compile(r"[,;\n\r，、；]")


def split_prompt(prompt: str) -> list[str]:
    """Split a prompt at commas, semicolons and line ends into phrases, as in `Legato, ONNX Runtime`."""
    return [piece.strip() for piece in _SEPARATORS.split(prompt) if piece.strip()]
