"""The models at hand: the one in the package, downloaded ones, and folders anywhere; and how to get more."""

import difflib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from legato.errors import BundleError, DownloadError
from legato.model.bundle import cache_home, open_bundle
from legato.model.hub import Progress, altered_file, download

EMBEDDED = "embedded"
"""Name of the small model inside the package."""

_PUBLISHED = "soniqo/Nemotron-3.5-ASR-Streaming-Multilingual-0.6B-ONNX-"
ALIASES = {"nemotron-3.5-int8": _PUBLISHED + "INT8", "nemotron-3.5-fp16": _PUBLISHED + "FP16"}
"""Short names -> repositories on the hub, in the order in which we prefer them."""

_PRECISIONS = {ALIASES["nemotron-3.5-int8"]: "int8", ALIASES["nemotron-3.5-fp16"]: "fp16"}
_REPO = re.compile(r"[\w.-]+/[\w.-]+")

Source = Literal["path", "downloaded", "embedded"]


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Where a model is.

    Attributes:
        path: its folder.
        name: its short name if it has one, else repository or path.
        source: what kind of place that is.
    """

    path: Path
    name: str
    source: Source


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model at hand, for a list.

    Attributes:
        name, path, source: as in ResolvedModel.
        size: bytes of its files.
        precision, layout: as in its bundle; both `broken` when it cannot be opened.
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
    """Folder of the downloaded models."""
    return cache_home() / "models"


def repository(name: str) -> str:
    """Repository of a short name, or `owner/name` as it is.

    Raises:
        DownloadError: neither of the two.
    """
    if name in ALIASES:
        return ALIASES[name]
    if name == EMBEDDED:
        raise DownloadError(f"The model {EMBEDDED!r} is part of the package. Choose one of: {', '.join(ALIASES)}.")
    if not _REPO.fullmatch(name) or ".." in name:
        raise DownloadError(f"Unknown model {name!r}. Give owner/name of a repository, or one of: {_choices()}.")
    return name


def resolve(name_or_path: str | Path | None) -> ResolvedModel:
    """Find a model that is at hand; nothing is downloaded or opened.

    Args:
        name_or_path: a folder, a short name, or `owner/name` of a downloaded repository. None is the best at hand: a
            downloaded full model, int8 first, else the embedded one.

    Raises:
        BundleError: there is no such model here; the message says how to get it.
    """
    if name_or_path is None:
        return _default()
    if name_or_path == EMBEDDED:
        path = embedded_path()
        if path is None:
            raise BundleError("This installation has no embedded model. 'legato models download NAME' gets one.")
        return ResolvedModel(path, EMBEDDED, "embedded")
    name = str(name_or_path)
    if isinstance(name_or_path, str) and name in ALIASES:
        path = _folder(ALIASES[name])
        if not path.is_dir():
            raise BundleError(f"The model {name} is not downloaded. Get it with: legato models download {name}")
        return ResolvedModel(path, name, "downloaded")
    if Path(name).exists():
        return ResolvedModel(Path(name), name, "path")
    if isinstance(name_or_path, str) and _REPO.fullmatch(name):
        path = _folder(name)
        if path.is_dir():
            return ResolvedModel(path, _short(name), "downloaded")
        raise BundleError(f"{name}: no such folder, and not downloaded. Get it with: legato models download {name}")
    near = difflib.get_close_matches(name, [*ALIASES, EMBEDDED], n=1)
    hint = f" Did you mean {near[0]}?" if near else f" Names are: {EMBEDDED}, {_choices()}."
    raise BundleError(f"{name}: no such model folder or name.{hint} 'legato models' lists what is at hand.")


def list_models() -> list[ModelInfo]:
    """List the downloaded models, preferred ones first, then the embedded one."""
    found = [ResolvedModel(_folder(repo), _short(repo), "downloaded") for repo in _downloaded()]
    embedded = embedded_path()
    if embedded is not None:
        found.append(ResolvedModel(embedded, EMBEDDED, "embedded"))
    return [_describe(model) for model in found]


def download_model(name: str, *, progress: Progress | None = None, force: bool = False) -> ResolvedModel:
    """Download a model into the cache, unless it is there and whole.

    Args:
        name: a short name or `owner/name`.
        progress: told about every piece that arrives.
        force: fetch the newest version even if there is one.

    Raises:
        DownloadError: cause and remedy.
    """
    repo = repository(name)
    target = _folder(repo)
    if force or not _is_whole(target):
        download(repo, target, check=open_bundle, progress=progress)
    return ResolvedModel(target, _short(repo), "downloaded")


def check_model(name_or_path: str | Path | None) -> ModelInfo:
    """Check every file of a model, by hash where hashes are known.

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
    return _describe(model)


def embedded_path() -> Path | None:
    """Folder of the model inside the package; None in an installation without it."""
    folder = resources.files("legato") / "assets" / "small"
    return folder if isinstance(folder, Path) and folder.is_dir() else None


def _default() -> ResolvedModel:
    for repo in _downloaded():
        return ResolvedModel(_folder(repo), _short(repo), "downloaded")
    path = embedded_path()
    if path is None:
        first = next(iter(ALIASES))
        raise BundleError(f"There is no model at hand. Get one with: legato models download {first}")
    return ResolvedModel(path, EMBEDDED, "embedded")


def _describe(model: ResolvedModel) -> ModelInfo:
    size = sum(path.stat().st_size for path in model.path.iterdir() if path.is_file())
    try:
        bundle = open_bundle(model.path)
    except BundleError as error:
        return ModelInfo(model.name, model.path, model.source, size, "broken", "broken", str(error))
    precision = bundle.precision
    if precision == "unknown":
        precision = _PRECISIONS.get(ALIASES.get(model.name, ""), precision)
    return ModelInfo(model.name, model.path, model.source, size, precision, bundle.layout)


def _downloaded() -> list[str]:
    """Repositories that are downloaded, those with a short name first and in its order."""
    folder = models_folder()
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    repos = sorted(name.replace("--", "/", 1) for name in names if "--" in name and not name.startswith("."))
    preferred = [repo for repo in ALIASES.values() if repo in repos]
    return preferred + [repo for repo in repos if repo not in preferred]


def _is_whole(folder: Path) -> bool:
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
