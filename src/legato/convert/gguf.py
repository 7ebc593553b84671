"""Reads a GGUF file of this architecture, as NeMo-Speech.cpp and transcribe.cpp write it from a NeMo checkpoint."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from legato.convert.architecture import Architecture, measure
from legato.convert.checkpoint import Checkpoint, Weight
from legato.convert.checks import check_shapes
from legato.convert.gguf_dialects import DIALECTS, Dialect
from legato.convert.gguf_file import GGUFFile
from legato.convert.license import FIELDS, license_fields, read_license
from legato.errors import CheckpointError

MAGIC = b"GGUF"
"""The first bytes of a GGUF file."""

_POINTWISE = re.compile(r"\.conv\.pointwise_conv[12]\.weight$")
_INPUT_BIAS, _RECURRENT_BIAS = ".lstm.bias_ih_l", ".lstm.bias_hh_l"


def open_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file in F32, F16 or Q8_0, or in another type that the package `gguf` can read.

    Raises:
        CheckpointError: it is broken, or has another architecture.
    """
    file = GGUFFile(path)
    architecture = file.value("general.architecture", str)
    if architecture not in DIALECTS:
        raise CheckpointError(f"{path}: another architecture: {architecture!r} instead of {' or '.join(DIALECTS)}.")
    dialect = DIALECTS[architecture](file)
    dialect.check()
    weights, shapes = _weights(file, dialect)
    left, rights = dialect.contexts
    if left < 1 or min(rights) < 0:
        raise CheckpointError(f"{path}: another architecture: its contexts are {left} and {list(rights)} frames.")
    try:
        measured = measure(
            shapes,
            left_context=left,
            right_contexts=rights,
            max_symbols=dialect.max_symbols,
            mel=dialect.mel,
            scaled_input=dialect.scaled_input,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: another architecture: {error} is missing or has another shape.") from error
    check_shapes(path, measured, shapes)
    pieces, prompts = dialect.pieces, dialect.prompts
    _check_vocabulary(path, measured, pieces, prompts)

    def release() -> None:
        weights.clear()
        file.close()

    return Checkpoint(
        path=path,
        architecture=measured,
        pieces=pieces,
        prompt_dictionary=prompts,
        weights=weights,
        license=_license(file) or read_license(path),
        nbytes=path.stat().st_size,
        release=release,
    )


def _license(file: GGUFFile) -> dict[str, str]:
    return license_fields({name: file.value(f"general.{name.replace('_', '.')}", str, "") for name in FIELDS})


def _weights(file: GGUFFile, dialect: Dialect) -> tuple[dict[str, Callable[[], Weight]], dict[str, tuple[int, ...]]]:
    """Return readers and shapes by NeMo's names."""
    weights: dict[str, Callable[[], Weight]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for stored, shape in file.tensors.items():
        name = dialect.name(stored)
        if name is None:
            continue
        if name in shapes:
            raise CheckpointError(f"{file.path}: contains {name} twice.")
        # A pointwise convolution is stored as a matrix where it is quantized.
        shapes[name] = (*shape, 1) if _POINTWISE.search(name) and len(shape) == 2 else shape
        weights[name] = partial(_read, file, stored, dialect.planar(stored), shapes[name])
    for name in [name for name in shapes if _INPUT_BIAS in name]:
        other = name.replace(_INPUT_BIAS, _RECURRENT_BIAS)
        if other not in shapes:
            shapes[other] = shapes[name]
            weights[other] = partial(_zeros, shapes[name])
    return weights, shapes


def _read(file: GGUFFile, stored: str, planar: bool, shape: tuple[int, ...]) -> Weight:
    return file.read(stored, planar=planar).reshape(shape)


def _zeros(shape: tuple[int, ...]) -> Weight:
    return np.zeros(shape, np.float32)


def _check_vocabulary(path: Path, architecture: Architecture, pieces: list[str], prompts: dict[str, int]) -> None:
    if len(pieces) != architecture.vocabulary:
        raise CheckpointError(
            f"{path}: the tokenizer has {len(pieces)} pieces, but the prediction net has {architecture.vocabulary} "
            "tokens."
        )
    wrong = [f"{name} = {slot}" for name, slot in prompts.items() if not 0 <= slot < architecture.prompts]
    if wrong or not prompts:
        raise CheckpointError(f"{path}: its language prompts are not usable: {', '.join(wrong) or 'there are none'}.")
