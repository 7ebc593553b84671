"""Every code block of the README and of the documentation runs and prints what the page shows."""

import json
import os
import re
import shutil
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.docs.blocks import SHOWN, Runner, blocks_of, compare
from tests.support.command import environment
from tests.support.paths import REFERENCES, ROOT, SAMPLES
from tests.support.server import Server

PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + [*(ROOT / "docs").rglob("*.md")]
)
#: Whoever reads these has nothing but a clone.
FIRST_PAGES = ("README.md", "docs/quickstart.md")
KEY = "secret"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the pages show bash"),
]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def runs(page: Path) -> bool:
    return any(block.reason is None and block.kind not in SHOWN for block in blocks_of(page))


LOCAL = [page for page in PAGES if runs(page) and page.parent.name != "server"]
SERVED = [page for page in PAGES if runs(page) and page.parent.name == "server"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of: recordings, a manifest, a checkpoint and an n-gram."""
    folder = tmp_path_factory.mktemp("recordings")
    english, german = (samples_of(SAMPLES / f"{language}.flac") for language in ("en", "de"))
    write_wav(folder / "talk.wav", english)
    length = max(len(english), len(german))
    both = np.stack([np.pad(each, (0, length - len(each))) for each in (english, german)], axis=1)
    write_wav(folder / "call.wav", both)
    (folder / "recordings").mkdir()
    write_wav(folder / "recordings" / "monday.wav", english)
    write_wav(folder / "recordings" / "tuesday.wav", german)
    (folder / "speech.pcm").write_bytes(pcm(english))
    texts = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    lines = [
        {"audio_filepath": str(SAMPLES / f"{language}.flac"), "text": texts[f"{language}.flac"], "lang": language}
        for language in ("en", "de", "fr")
    ]
    manifest = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "test.jsonl").write_text(manifest, encoding="utf-8")
    shutil.copyfile(REFERENCES / "nemo-r13" / "model.nemo", folder / "checkpoint.nemo")
    return folder


@pytest.fixture
def runner(recordings: Path, tmp_path: Path, page: Path) -> Runner:
    """A folder with what a clone holds, and the recordings but for the first pages; `legato` is this Python's."""
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    if name(page) in FIRST_PAGES:
        folder.mkdir()
    else:
        shutil.copytree(recordings, folder)
    for each in ("src", "examples", "deploy"):
        (folder / each).symlink_to(ROOT / each)
    variables = environment(home, COLUMNS="100")
    programs = Path(sys.executable).parent
    return Runner(folder, {**variables, "PATH": f"{programs}{os.pathsep}{variables['PATH']}"})


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the key that the pages use, and Wyoming."""
    with Server(tmp_path_factory.mktemp("server"), "--wyoming-port", 0, LEGATO_API_KEYS=KEY) as running:
        yield running


@pytest.mark.parametrize("page", LOCAL, ids=name)
def test_page(page: Path, runner: Runner) -> None:
    for block in blocks_of(page):
        runner.run(block)


@pytest.mark.server
@pytest.mark.parametrize("page", SERVED, ids=name)
def test_page_about_the_server(page: Path, runner: Runner, guarded_server: Server) -> None:
    pytest.importorskip("openai", reason="the dependency group 'test' is not installed")
    runner.environment["OPENAI_API_KEY"] = KEY
    runner.edit = lambda code: code.replace("127.0.0.1:8000", f"127.0.0.1:{guarded_server.port}").replace(
        "127.0.0.1:10300", f"127.0.0.1:{guarded_server.wyoming_port}"
    )
    for block in blocks_of(page):
        runner.run(block)


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 6000


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(page: str) -> None:
    """Those of the site are checked by `mkdocs build --strict`."""
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    folder = (ROOT / page).parent
    assert [each for each in targets if "://" not in each and not (folder / each).exists()] == []


def test_shown_output_is_compared() -> None:
    compare("one\ntwo\nthree\n", "one\n...\nthree", "here")
    with pytest.raises(AssertionError, match="here: printed"):
        compare("one\ntwo\n", "one\nthree\n", "here")


def samples_of(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    from legato.audio.source import read_audio

    return (read_audio(path) * 32767).round().astype(np.int16)


def pcm(samples: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> bytes:
    return samples.astype("<i2").tobytes()


def write_wav(path: Path, samples: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.ndim)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm(samples))
