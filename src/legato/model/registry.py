"""The installed models: the one in the package, downloaded ones, and folders anywhere. How to download more."""

import difflib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from legato.errors import BundleError, DownloadError
from legato.files import Progress
from legato.model.bundle import open_bundle
from legato.model.integrity import altered_file, cache_home

logger = logging.getLogger("legato")

EMBEDDED = "embedded"
"""Name of the small model inside the package."""

_PUBLISHED = "soniqo/Nemotron-3.5-ASR-Streaming-Multilingual-0.6B-"
ALIASES = {
    "nemotron-3.5-int8": _PUBLISHED + "ONNX-INT8",
    "nemotron-3.5-fp16": _PUBLISHED + "ONNX-FP16",
    "nemotron-3.5-litert-int8": _PUBLISHED + "LiteRT-INT8",
    "nemotron-3.5-litert-fp16": _PUBLISHED + "LiteRT-FP16",
}
"""Repositories on the hub by their short names, in order of preference."""

_PRECISIONS = {repo: alias.rpartition("-")[2] for alias, repo in ALIASES.items()}
_REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*")

Source = Literal["path", "downloaded", "embedded"]


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Where a model is.

    Attributes:
        path: its folder.
        name: its short name if it has one, else repository or path.
        source: whether a path was given, or the model was downloaded, or is part of the package.
    """

    path: Path
    name: str
    source: Source


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """An installed model, for a list.

    Attributes:
        name, path, source: as in ResolvedModel.
        size: bytes of its files.
        precision, layout: as in its bundle; both are `broken` if it cannot be opened.
        problem: why it cannot be opened, or None.
    """

    name: str
    path: Path
    source: Source
    size: int
    precision: str
    layout: str
    problem: str | None = None


def models_folder() -> Path:
    """Return the folder of the downloaded models."""
    return cache_home() / "models"


def repository(name: str) -> str:
    """Return the repository of a short name; `owner/name` is returned unchanged.

    Raises:
        DownloadError: the name is neither of the two.
    """
    if name in ALIASES:
        return ALIASES[name]
    if name == EMBEDDED:
        raise DownloadError(f"The model {EMBEDDED!r} is part of the package. Choose one of: {', '.join(ALIASES)}.")
    if not _REPO.fullmatch(name) or ".." in name:
        raise DownloadError(f"Unknown model {name!r}. Give the owner/name of a repository, or one of: {_choices()}.")
    return name


def resolve(name_or_path: str | Path | None) -> ResolvedModel:
    """Find an installed model. Nothing is downloaded or opened.

    Args:
        name_or_path: a folder, a short name, or `owner/name` of a downloaded repository. None is the best one: a
            downloaded full model, int8 first, else the embedded one.

    Raises:
        BundleError: there is no such model; the message says how to get it.
    """
    if name_or_path is None:
        return _default()
    if name_or_path == EMBEDDED:
        path = embedded_path()
        if path is None:
            raise BundleError("This installation has no embedded model. Get another with: legato models download NAME")
        return ResolvedModel(path, EMBEDDED, "embedded")
    name = str(name_or_path)
    if isinstance(name_or_path, str) and name in ALIASES:
        path = _folder(ALIASES[name])
        if not path.is_dir():
            raise BundleError(f"The model {name} is not downloaded. Get it with: legato models download {name}")
        return ResolvedModel(path, name, "downloaded")
    if os.path.exists(name):  # noqa: PTH110 - without an error for a name that no file can have
        return ResolvedModel(Path(name), name, "path")
    if isinstance(name_or_path, str) and _REPO.fullmatch(name):
        path = _folder(name)
        if path.is_dir():
            return ResolvedModel(path, _short(name), "downloaded")
        raise BundleError(f"{name}: no such folder, and not downloaded. Get it with: legato models download {name}")
    near = difflib.get_close_matches(name, [*ALIASES, EMBEDDED], n=1)
    hint = f" Did you mean {near[0]}?" if near else f" Names are: {EMBEDDED}, {_choices()}."
    raise BundleError(f"{name}: no such model folder or name.{hint} Run 'legato models' to list the installed models.")


def list_models() -> list[ModelInfo]:
    """Return the downloaded models, preferred ones first, then the embedded one."""
    found = [ResolvedModel(_folder(repo), _short(repo), "downloaded") for repo in _downloaded()]
    embedded = embedded_path()
    if embedded is not None:
        found.append(ResolvedModel(embedded, EMBEDDED, "embedded"))
    return [_describe(model) for model in found]


def download_model(
    name: str,
    *,
    progress: Progress | None = None,
    force: bool = False,
    check: Callable[[Path], object] = open_bundle,
) -> ResolvedModel:
    """Download a model into the cache, unless it is there and complete.

    Args:
        name: a short name or `owner/name`.
        progress: called for every piece that arrives.
        force: download the newest version even if there is one.
        check: called with the complete folder; raises BundleError if the model cannot be used.

    Raises:
        DownloadError: cause and remedy.
        BundleError: the model was there and complete, and cannot be used.
    """
    repo = repository(name)
    target = _folder(repo)
    if force or not _is_complete(target):
        # Loads huggingface_hub, which takes half a second and is needed here only.
        from legato.model.download import download  # noqa: PLC0415

        download(repo, target, check=check, progress=progress)
    else:
        check(target)
    return ResolvedModel(target, _short(repo), "downloaded")


def check_model(name_or_path: str | Path | None, check: Callable[[Path], object] = open_bundle) -> ModelInfo:
    """Check every file of a model, by its hash if that is known.

    Args:
        check: called with the folder; raises BundleError if the model cannot be used.

    Raises:
        BundleError: names the file, what is wrong with it, and what to do.
    """
    model = resolve(name_or_path)
    open_bundle(model.path)
    altered = altered_file(model.path)
    if altered is not None:
        raise BundleError(
            f"{model.path / altered}: missing, or not as it was downloaded. "
            f"Get it again with: legato models download --force {model.name}"
        )
    check(model.path)
    return _describe(model)


def embedded_path() -> Path | None:
    """Return the folder of the model inside the package; None in an installation without it."""
    folder = resources.files("legato") / "assets" / "embedded"
    return folder if isinstance(folder, Path) and folder.is_dir() else None


def _default() -> ResolvedModel:
    for repo in _downloaded():
        if repo in ALIASES.values() or _can_be_opened(_folder(repo)):
            return ResolvedModel(_folder(repo), _short(repo), "downloaded")
    path = embedded_path()
    if path is None:
        first = next(iter(ALIASES))
        raise BundleError(f"No model is installed. Get one with: legato models download {first}")
    return ResolvedModel(path, EMBEDDED, "embedded")


def _can_be_opened(folder: Path) -> bool:
    """Return whether a folder in the cache holds a model; if not, warn. Somebody else may have put it there."""
    try:
        open_bundle(folder)
    except (BundleError, OSError) as error:
        logger.warning("A folder of the downloaded models is passed over: %s", error)
        return False
    return True


def _describe(model: ResolvedModel) -> ModelInfo:
    size = 0
    try:
        size = sum(path.stat().st_size for path in model.path.iterdir() if path.is_file())
        bundle = open_bundle(model.path)
    except (BundleError, OSError) as error:
        return ModelInfo(model.name, model.path, model.source, size, "broken", "broken", str(error))
    precision = bundle.precision
    if precision == "unknown":
        precision = _PRECISIONS.get(ALIASES.get(model.name, ""), precision)
    return ModelInfo(model.name, model.path, model.source, size, precision, bundle.layout)


def _downloaded() -> list[str]:
    """Return the downloaded repositories, those with a short name first, in the order of `ALIASES`."""
    try:
        folder = models_folder()
        there = list(folder.iterdir()) if folder.is_dir() else []
        names = [path.name for path in there if os.path.isdir(path)]  # noqa: PTH112 - Path's raises an error for some
    except (OSError, RuntimeError) as error:  # a folder of somebody else, or no home folder
        logger.warning("downloaded models are not available: %s. Set LEGATO_HOME to a folder of yours.", error)
        return []
    repos = sorted(repo for repo in (name.replace("--", "/", 1) for name in names) if _REPO.fullmatch(repo))
    preferred = [repo for repo in ALIASES.values() if repo in repos]
    return preferred + [repo for repo in repos if repo not in preferred]


def _is_complete(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        open_bundle(folder)
    except BundleError:
        return False
    return altered_file(folder) is None


def _folder(repo: str) -> Path:
    return models_folder() / repo.replace("/", "--", 1)


def _short(repo: str) -> str:
    return next((alias for alias, known in ALIASES.items() if known == repo), repo)


def _choices() -> str:
    return ", ".join(ALIASES)
