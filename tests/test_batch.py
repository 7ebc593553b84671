"""The executor for many files: a generator of results."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import legato
from legato import batch
from legato.batch import LocalExecutor, Result
from legato.options import StreamOptions
from tests.support.paths import REFERENCES, SAMPLES

FOX = REFERENCES / "audio" / "fox16k.wav"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = [str(tmp_path / f"{number}.wav") for number in range(4)]
    for name in names:
        shutil.copy(FOX, name)
    return names


def test_a_result_for_every_file(recognizer: legato.Recognizer, files: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    cut = tmp_path / "cut.wav"
    cut.write_bytes(FOX.read_bytes()[:60000])
    names = [files[0], str(broken), str(cut), str(SAMPLES / "de.flac")]
    executor = LocalExecutor(recognizer, StreamOptions(language="de"), jobs=2)
    found = {result.name: result for result in executor.run(names)}
    assert set(found) == set(names)
    for name in (names[0], names[3]):
        transcript = found[name].transcript
        assert transcript is not None
        assert transcript.text == recognizer.transcribe(name, language="de").text
        assert found[name].error is None
    assert found[str(broken)].transcript is None
    assert "not an audio file" in (found[str(broken)].error or "")
    assert found[str(cut)].transcript is not None
    assert "cut off at 1.87 s" in found[str(cut)].warnings[0]


def test_files_wait_until_results_are_taken(
    recognizer: legato.Recognizer, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def transcribe(_engine: object, name: str, *_: object) -> Result:
        started.append(name)
        return Result(name, None, "not tried")

    monkeypatch.setattr(batch, "transcribe_file", transcribe)
    with closing(LocalExecutor(recognizer, StreamOptions(), jobs=1).run(files)) as results:
        assert started == []
        for count in (1, 2, 3):
            next(results)
            assert started == files[:count]
    assert started == files[:3]


def test_closing_gives_up_the_rest(recognizer: legato.Recognizer, files: list[str]) -> None:
    results: Iterator[Result]
    with closing(LocalExecutor(recognizer, StreamOptions(), jobs=1).run(files)) as results:
        assert next(results).name == files[0]
    assert list(results) == []
