"""`legato mcp` with the official client of the protocol."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")
from mcp import Client, StdioServerParameters

import legato
from tests.support.paths import ROOT

SAMPLE = ROOT / "src" / "legato" / "assets" / "samples" / "en.flac"


def ask(use: Callable[[Client], Awaitable[Any]]) -> Any:
    """Start the command, and use it."""

    async def session() -> Any:
        arguments = ["-m", "legato", "mcp", "-m", "embedded"]
        command = StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))
        async with Client(command, read_timeout_seconds=60) as client:
            return await use(client)

    return asyncio.run(session())


def test_the_tools_of_an_assistant() -> None:
    async def use(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"transcribe", "listen", "list_languages"}
        assert "address" in str(tools["transcribe"].input_schema) + str(tools["transcribe"].description)

        found = await client.call_tool("transcribe", {"source": str(SAMPLE), "language": "en"})
        expected = legato.load("embedded").transcribe(SAMPLE, language="en")
        assert found.structured_content is not None
        assert found.structured_content["text"] == expected.text
        assert found.structured_content["language"] == "en-US"
        assert [s["text"] for s in found.structured_content["segments"]] == [s.text for s in expected.segments]

        assert found.structured_content["warning"] is None

        russian = await client.call_tool("transcribe", {"source": str(SAMPLE), "language": "ru"})
        assert "not trained on Russian (ru)" in (russian.structured_content or {})["warning"]

        languages = await client.call_tool("list_languages", {})
        assert {"tag": "de-DE", "name": "German"} in (languages.structured_content or {})["result"]

    ask(use)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("transcribe", {"source": "/no/such/file.wav"}, "no such file"),
        ("transcribe", {"source": str(SAMPLE), "language": "klingon"}, "Unknown language"),
        ("listen", {"seconds": 10_000}, "600"),
    ],
)
def test_errors_are_told_to_the_assistant(tool: str, arguments: dict[str, Any], words: str) -> None:
    async def use(client: Client) -> None:
        found = await client.call_tool(tool, arguments)
        assert found.is_error
        assert words in str(found.content)

    ask(use)


def test_listening_without_a_microphone_is_told(tmp_path: Path) -> None:
    async def use(client: Client) -> None:
        found = await client.call_tool("listen", {"seconds": 0.5})
        assert found.is_error or (found.structured_content or {}).get("duration")

    ask(use)
