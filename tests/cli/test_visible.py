"""Nothing that a model, a file or a message holds commands the terminal; files and pipes receive it unchanged."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from legato.cli.terminal import Terminal
from legato.cli.visible import VisibleStream, visible
from tests.support.command import TIMEOUT, environment, legato
from tests.support.numbers_model import NUMBERS_MODEL, NUMBERS_SAMPLES

pty = pytest.importorskip("pty", reason="needs terminals of POSIX")

OVERRIDE = "\u202e"
EVIL = "evil\x1b]0;owned\x07\x9b31m\u2066.wav"


def on_a_terminal(*arguments: str | Path, home: Path) -> tuple[str, int]:
    """What `legato` shows on a terminal, and its exit code."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "legato", *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment(home, TERM="dumb"), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    return shown.decode("utf-8", "replace"), process.wait(TIMEOUT)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of numbers, every piece of which reverses the direction of the text."""
    folder = Path(shutil.copytree(NUMBERS_MODEL, tmp_path_factory.mktemp("model") / "numbers"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    del config["legato"]["files"]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    pieces = json.loads((folder / "vocab.json").read_text("utf-8"))
    changed = {number: piece if piece.startswith("<") else piece + OVERRIDE for number, piece in pieces.items()}
    (folder / "vocab.json").write_text(json.dumps(changed), "utf-8")
    return folder


def test_a_text_is_shown_on_a_terminal_and_unchanged_elsewhere(tmp_path: Path, model: Path) -> None:
    command = ("transcribe", "--model", model, NUMBERS_SAMPLES / "en.flac")
    shown, code = on_a_terminal(*command, home=tmp_path)
    assert code == 0
    assert "\ufffd" in shown
    assert OVERRIDE not in shown
    assert OVERRIDE in legato(*command, home=tmp_path).stdout.decode()
    assert legato(*command, "--output", tmp_path / "text.txt", home=tmp_path).returncode == 0
    assert OVERRIDE in (tmp_path / "text.txt").read_text("utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ("transcribe", EVIL),
        ("transcribe", "--model", EVIL, NUMBERS_SAMPLES / "en.flac"),
        ("transcribe", "--language", EVIL, NUMBERS_SAMPLES / "en.flac"),
        ("transcribe", "--phrase", EVIL, NUMBERS_SAMPLES / "en.flac"),
        ("transcribe", f"--{EVIL}"),
        (EVIL,),
        ("models", "check", EVIL),
        ("convert", EVIL, "out"),
    ],
)
def test_messages_command_no_terminal(tmp_path: Path, arguments: tuple[str | Path, ...]) -> None:
    message = legato(*arguments, home=tmp_path).stderr.decode()
    assert message
    assert not set("\x1b\x07\x9b\u2066") & set(message)


def test_tables_command_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    table = Table(EVIL)
    table.add_row(Text(EVIL))
    Terminal().print(table, EVIL)
    assert "evil" in out.getvalue()
    assert not set("\x1b\x07\x9b\u2066") & set(out.getvalue())


def test_what_is_visible_stays_as_it_is() -> None:
    text = "naïve\t世界 \u200fשלום\u200e नम\u200dस्ते\n"
    assert visible(text) == text
    assert visible("\x00\r\x7f\x85\u202a") == "\u2400\u240d\u2421\ufffd\ufffd"
    out = io.StringIO()
    stream = VisibleStream(out)
    stream.writelines(["a\x1b", "b"])
    assert out.getvalue() == "a\u241bb"
    assert not stream.isatty()
