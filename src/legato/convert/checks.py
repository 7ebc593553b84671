"""Checks that a checkpoint has the one architecture that can be converted."""

from collections.abc import Iterable
from pathlib import Path

from legato.convert.architecture import Architecture
from legato.errors import CheckpointError
from legato.model.fields import FieldError, Fields

#: Weights that inference does not use: constants of the front end (checked separately) and heads for training.
UNUSED_PREFIXES = ("preprocessor.", "ctc_decoder.", "aux_ctc.", "ctc_head.", "loss.", "wer.", "spec_augmentation.")


def check_shapes(path: Path, architecture: Architecture, found: dict[str, tuple[int, ...]]) -> None:
    """Compare the weights of a checkpoint with those that its architecture requires.

    Args:
        path: the checkpoint, for the message.
        found: name (as NeMo names it) -> shape of every weight in the checkpoint.

    Raises:
        CheckpointError: weights are missing, have another shape, or are unknown; the message names the first ones.
    """
    expected = architecture.weight_shapes()
    missing = [name for name in expected if name not in found]
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} weights are missing: {_some(missing)}. "
            "The checkpoint is incomplete or has another architecture."
        )
    wrong = [f"{n} is {list(found[n])}, not {list(s)}" for n, s in expected.items() if found[n] != s]
    if wrong:
        raise CheckpointError(f"{path}: weights and configuration disagree: {_some(wrong)}.")
    unknown = [name for name in found if name not in expected and not name.startswith(UNUSED_PREFIXES)]
    if unknown:
        raise CheckpointError(
            f"{path}: {len(unknown)} weights are not part of the supported architecture: {_some(unknown)}. "
            "Only the cache-aware FastConformer RNN-T with a language prompt can be converted."
        )


def require(path: Path, part: str, values: Iterable[tuple[str, object, object]]) -> None:
    """Check configuration values that determine the architecture.

    Args:
        path: the checkpoint, for the message.
        part: the part of the model that the values belong to, for the message.
        values: (name, found value, required value); the two values must be equal.

    Raises:
        CheckpointError: a value differs; the message names it.
    """
    for name, found, needed in values:
        if found != needed:
            raise CheckpointError(
                f"{path}: another architecture: the {part} has {name} = {found!r}, but Legato supports only {needed!r}."
            )


def prompt_slots(fields: Fields, name: str, prompts: int) -> dict[str, int]:
    """Return the prompt slots by language.

    Args:
        fields: the section that has them.
        name: its field with them.
        prompts: number of slots of the model.

    Raises:
        FieldError: there are none, or one is no slot of the model.
    """
    section = fields.section(name)
    slots = {language: section.whole(language, slot, 0, prompts - 1) for language, slot in section.items(10_000)}
    if not slots:
        raise FieldError(f"{section.place}: is missing or empty.")
    return slots


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
