"""The models of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from legato.errors import LanguageError
from legato.lab.evaluate.data import encodable
from legato.lab.scoring import base
from legato.model.bundle import Bundle, open_bundle
from legato.model.integrity import fingerprint, model_files
from legato.model.registry import resolve


@dataclass(frozen=True)
class Model:
    """A model of the run.

    Attributes:
        label: its name in the report, unique there.
        bundle: the opened bundle.
        recipe: INT8 recipe; None if the bundle does not name one.
        sha256: its fingerprint, see `legato.model.integrity`.
        size: bytes of the files that it consists of.
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
        size = sum(file.stat().st_size for file in model_files(resolved.path))
        unique = _unique(label, resolved.path, models)
        models.append(Model(unique, bundle, bundle.recipe, fingerprint(bundle.path, bundle.hashes), size))
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
