"""Shared fixtures: bundles converted from the recorded reference checkpoints, and speech to run them on."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from legato.convert import convert
from legato.recognizer import Recognizer
from tests.support.numbers_model import NUMBERS_MODEL
from tests.support.paths import REFERENCES
from tests.support.server import Server

MakeBundle = Callable[..., Path]


def checkpoint_path(name: str) -> Path:
    folder = REFERENCES / name
    return folder / "model.nemo" if (folder / "model.nemo").is_file() else folder


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> MakeBundle:
    """`make_bundle(checkpoint, precision=..., layout=..., recipe=...)`: a bundle's folder, converted once a session."""

    @cache
    def make(name: str, precision: str = "fp32", layout: str = "native", recipe: str | None = None) -> Path:
        out = tmp_path_factory.mktemp("bundles") / f"{name}-{layout}-{precision}"
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
