"""Shared fixtures: bundles converted from the recorded reference checkpoints, and speech to run them on.

Markers are set by folder and fixture; tests whose packages are missing are skipped (`tests/support/lanes.py`).
Property tests have the same examples in every run; `--hypothesis-profile=search` searches for others.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from legato.recognizer import Recognizer
from tests.support.lanes import OptionalModule, marks_of
from tests.support.numbers_model import NUMBERS_MODEL
from tests.support.paths import REFERENCES, TESTS
from tests.support.patience import make_clients_patient
from tests.support.server import Server

MakeBundle = Callable[..., Path]

# A busy machine is slow, and fixtures of single functions hold the same for all examples.
_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("search", deadline=None, suppress_health_check=_CHECKS)
settings.register_profile("fixed", settings.get_profile("search"), derandomize=True)
settings.load_profile("fixed")
make_clients_patient()


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    return OptionalModule.from_parent(parent, path=module_path)


def pytest_itemcollected(item: pytest.Item) -> None:
    fixtures = getattr(item, "fixturenames", ())
    for mark in marks_of(item.path.relative_to(TESTS).as_posix(), item.name, fixtures):
        item.add_marker(mark)


def checkpoint_path(name: str | Path) -> Path:
    folder = REFERENCES / name
    return folder / "model.nemo" if (folder / "model.nemo").is_file() else folder


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> MakeBundle:
    """`make_bundle(checkpoint, precision=..., layout=..., recipe=...)`: the folder of a bundle, converted once.

    The checkpoint is the name of a reference or a path.
    """
    pytest.importorskip("onnx_ir", reason="the extra 'convert' is not installed")
    from legato.convert import convert

    @cache
    def make(name: str | Path, precision: str = "fp32", layout: str = "native", recipe: str | None = None) -> Path:
        if (precision, layout, recipe) == ("int8", "native", None):
            recipe = "per-token-smooth"  # quicker to convert than the default
        out = tmp_path_factory.mktemp("bundles") / f"{Path(name).name}-{layout}-{precision}"
        convert(checkpoint_path(name), out, precision=precision, layout=layout, recipe=recipe)
        return out

    return make


@pytest.fixture(scope="session")
def fox() -> NDArray[np.float32]:
    """2.9 s of English speech, float32 at 16 kHz."""
    return read_audio(REFERENCES / "audio" / "fox16k.wav")


@pytest.fixture(scope="session")
def speech(fox: NDArray[np.float32]) -> NDArray[np.float32]:
    """Longer than any left context: the clips of the reference set in a row."""
    clips = [read_audio(path) for path in sorted((REFERENCES / "audio").glob("*.flac"))]
    return np.concatenate([fox, *clips, fox])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the embedded model, for all tests that do it no harm."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    """The embedded model."""
    return legato.load("embedded", threads=1)


@pytest.fixture(scope="session")
def numbers() -> Recognizer:
    """The model for spoken numbers."""
    return legato.load(NUMBERS_MODEL, threads=1)
