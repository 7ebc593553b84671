"""The model of a command; when none was named, the user is told which one is used."""

from dataclasses import dataclass

from legato.cli.console import say
from legato.errors import BundleError
from legato.model.registry import ResolvedModel, resolve
from legato.recognizer import Recognizer, load


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model.

    Attributes:
        name: its name in results.
        recognizer: the model itself.
    """

    name: str
    recognizer: Recognizer


def open_model(name: str | None, threads: int | None) -> Model:
    """Load the model that `--model` names, or the default.

    Raises:
        BundleError: there is no such model, or it is incomplete or altered.
    """
    if name == "":
        raise BundleError("The name of the model is empty. 'legato models' lists the names.")
    found = resolve(name)
    if name is None:
        say_default(found)
    recognizer = load(found.path, threads=threads)
    return Model(recognizer.bundle.name if found.source == "path" else found.name, recognizer)


def say_default(model: ResolvedModel) -> None:
    """Tell which model is used if none was named, and how to get another one."""
    if model.source == "embedded":
        say("Model: embedded, a small one for a first try; the full one: legato models download nemotron-3.5-int8")
    else:
        say(f"Model: {model.name}; others: --model NAME, see 'legato models'")
