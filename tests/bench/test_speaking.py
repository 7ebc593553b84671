"""A model with random weights that emits tokens as often as speech does."""

import subprocess
import sys
from pathlib import Path

import legato
from bench.speaking import speak
from legato.lab.benchmark import sample_audio
from tests.conftest import MakeBundle

ROOT = Path(__file__).parents[2]


def test_tokens_as_often_as_in_speech(make_bundle: MakeBundle) -> None:
    recognizer = legato.load(make_bundle("transformers-b"))
    speaking = speak(recognizer, 3)
    assert 2 * 60 < len(recognizer.transcribe(sample_audio(60), chunk_ms=320).tokens) < 4 * 60
    assert speaking.rows >= speaking.calls > 60 * 1000 / 320


def test_steps_and_streams(make_bundle: MakeBundle) -> None:
    bundle = make_bundle("transformers-b")
    name, *figures = run("bench.whole_step", bundle, "--streams", 3, "--rounds", 4).splitlines()[-1].split()
    assert name == bundle.name
    assert all(float(figure) > 0 for figure in figures)
    rows = run("bench.speaking", bundle, "--streams", "1,2", "--seconds", 2).splitlines()
    assert [row.split()[0] for row in rows] == ["streams", "1", "2"]


def run(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout
