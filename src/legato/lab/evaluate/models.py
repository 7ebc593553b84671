"""The models of an evaluation."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from legato.errors import LanguageError
from legato.files import sha256_of
from legato.lab.evaluate.data import encodable
from legato.lab.scoring import base
from legato.model.bundle import Bundle, open_bundle
from legato.model.calibration import CALIBRATION
from legato.model.registry import resolve


@dataclass(frozen=True)
class Model:
    """A model of the run.

    Attributes:
        label: its name in the report, unique there.
        bundle: the opened bundle.
        recipe: INT8 recipe; None if the bundle does not name one.
        sha256: SHA-256 over all its files.
        size: bytes of all its files.
    """

    label: str
    bundle: Bundle
    recipe: str | None
    sha256: str
    size: int

    def prompt(self, language: str) -> str:
        """Return the model's name for a language: the same if it has that prompt, else without or with another region.

        Raises:
            LanguageError: the model does not have the language.
        """
        try:
            self.bundle.prompt_slot(language)
        except LanguageError:
            prompts = self.bundle.prompts
            same = sorted(name for name in prompts if base(name) == base(language))
            if not same:
                raise
            return base(language) if base(language) in prompts else same[0]
        return language


def open_models(names: Sequence[str | None]) -> list[Model]:
    """Open the models of a run; None stands for the default model.

    Raises:
        BundleError: there is no such model, or it is broken.
    """
    models: list[Model] = []
    for name in names:
        resolved = resolve(name)
        bundle = open_bundle(resolved.path)
        label = encodable(resolved.path.resolve().name if resolved.source == "path" else resolved.name)
        # A calibration changes nothing that is measured here.
        files = sorted(
            path for path in resolved.path.iterdir()
            if path.is_file() and not path.name.startswith(".") and path.name != CALIBRATION
        )  # fmt: skip
        size = sum(path.stat().st_size for path in files)
        unique = _unique(label, resolved.path, models)
        models.append(Model(unique, bundle, bundle.recipe, _fingerprint(files, bundle), size))
    return models


def _unique(label: str, path: Path, models: Sequence[Model]) -> str:
    taken = {model.label for model in models}
    if label in taken:
        label = str(path)
    unique, number = label, 1
    while unique in taken:
        number += 1
        unique = f"{label} ({number})"
    return unique


def _fingerprint(files: Sequence[Path], bundle: Bundle) -> str:
    """SHA-256 over names and contents. A SHA-256 that the bundle records was checked when it was opened."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {bundle.hashes.get(file.name) or sha256_of(file)}\n".encode())
    return digest.hexdigest()
