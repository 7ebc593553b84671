"""The code blocks of a Markdown page, and how each kind of block is run.

A fence such as ```` ```bash norun="downloads 0.7 GB" ```` is not run; the reason is required. Blocks of a page share a
folder and, in Python, their names. These kinds are checked:

- `python` is executed. A block of the kind `output` directly after it is what it prints.
- `bash` is executed by bash, and must succeed.
- `console` holds commands after `$ ` and what they print.
- `json` and `yaml` must be well-formed.

In expected output `...` stands for any text.
"""

import contextlib
import io
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_FENCE = re.compile(r'^(?P<indent> *)```(?P<kind>\w+)(?: norun="(?P<reason>[^"]+)")?(?P<rest>.*)$')
#: Separates the output of the commands of a session.
_DONE = "=== done ==="
#: Kinds that are only shown.
SHOWN = frozenset({"text", "toml", "ini", "html", "output"})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        where: file and line of its first line of code.
        line: the same line as a number.
        kind: the word after the fence.
        code: its lines.
        reason: why it is not run, or None.
        expected: what it prints, where the page shows it.
    """

    where: str
    line: int
    kind: str
    code: str
    reason: str | None
    expected: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found: list[Block] = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    between = ""
    for number, line in lines:
        if not (match := _FENCE.match(line)):
            between += line.strip()
            continue
        assert not match["rest"].strip(), f"{page.name}:{number}: unknown options of a code fence: {match['rest']!r}"
        code = []
        for _, inner in lines:
            if inner.strip() == "```":
                break
            code.append(inner.removeprefix(match["indent"]))
        text = "\n".join(code) + "\n"
        if match["kind"] == "output":
            assert found and not between, (
                f"{page.name}:{number}: a block of the kind `output` follows its code directly"
            )
            last = found[-1]
            found[-1] = Block(last.where, last.line, last.kind, last.code, last.reason, text)
        else:
            found.append(Block(f"{page.name}:{number + 1}", number, match["kind"], text, match["reason"]))
        between = ""
    return found


@dataclass(slots=True)
class Runner:
    """Runs the blocks of a page.

    Attributes:
        folder: the current folder of the page's code.
        environment: of its commands.
        edit: a change of the code before it is run, such as another port.
    """

    folder: Path
    environment: dict[str, str]
    edit: Callable[[str], str] = lambda code: code
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def run(self, block: Block) -> None:
        """Run a block, and compare what it prints with what the page shows.

        Raises:
            AssertionError: a command failed, or its output differs from what the page shows.
        """
        if block.reason is not None or block.kind in SHOWN:
            return
        match block.kind:
            case "python":
                self._python(block)
            case "bash":
                self._shell(self.edit(block.code), block.where)
            case "console":
                commands, expected = zip(*_session(self.edit(block.code)), strict=True)
                printed = self._shell("".join(f"{command}\necho {_DONE}\n" for command in commands), block.where)
                for part, shown in zip(printed.split(f"{_DONE}\n"), expected, strict=False):
                    compare(part, shown, block.where)
            case "json":
                json.loads(block.code)
            case "yaml":
                pytest.importorskip("yaml").safe_load(block.code)
            case kind:
                raise AssertionError(f"{block.where}: blocks of the kind {kind!r} are neither run nor known")

    def _python(self, block: Block) -> None:
        printed = io.StringIO()
        code = "\n" * block.line + self.edit(block.code)
        with contextlib.redirect_stdout(printed), contextlib.chdir(self.folder), _environment(self.environment):
            exec(compile(code, block.where.split(":")[0], "exec"), self.names)
        if block.expected is not None:
            compare(printed.getvalue(), block.expected, block.where)

    def _shell(self, command: str, where: str) -> str:
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=False,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        assert result.returncode == 0, f"{where}: exit code {result.returncode}\n{command}\n{result.stderr}"
        return result.stdout


def compare(printed: str, expected: str, where: str) -> None:
    """Fail where the output is another than shown; trailing space is no difference."""
    pattern = ".*?".join(re.escape(part) for part in _tidy(expected).split("..."))
    assert re.fullmatch(pattern, _tidy(printed), re.DOTALL), f"{where}: printed\n{printed}\ninstead of\n{expected}"


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _session(code: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console session, each with its output."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(index for index, line in enumerate(lines) if not line.endswith("\\")) + 1
        yield "\n".join(lines[:end]), "\n".join(lines[end:])


@contextlib.contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
