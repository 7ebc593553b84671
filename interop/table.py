"""The table of what works, in Markdown."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: The steps, in the order of the columns.
STEPS = ("speak", "mute", "language", "hints", "finalize", "leave")
BEGIN, END = "<!-- begin: written by ./check interop -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Result:
    """What was observed with an interface of a client.

    Attributes:
        client: name of the client.
        versions: versions of its packages.
        interface: interface of the client, such as `transcriptions`.
        steps: whether each step succeeded; a step that the interface does not have is missing.
        failures: message of each step that failed.
    """

    client: str
    versions: dict[str, str]
    interface: str
    steps: dict[str, bool]
    failures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)

    def line(self) -> str:
        """Return a line for the terminal."""
        cells = [f"{name} {'ok' if works else 'FAILED'}" for name, works in self.steps.items()]
        messages = [f"\n    {name}: {message}" for name, message in self.failures.items()]
        return f"{self.client}, {self.interface}: " + ", ".join(cells) + "".join(messages)


def write_table(path: Path, results: list[Result]) -> None:
    """Replace the table in a file, which stands between two marks."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(before + BEGIN + table(results) + END + after, encoding="utf-8")


def table(results: list[Result]) -> str:
    """Return the table, and a list of the failures."""
    rows = ["| client | version | interface | " + " | ".join(STEPS) + " |", "|---|---|---|" + "---|" * len(STEPS)]
    notes: list[str] = []
    for result in results:
        cells = []
        for name in STEPS:
            if name in result.failures:
                notes.append(f"{result.client}, {result.interface}, {name}: `{result.failures[name]}`")
                cells.append("no")
            else:
                cells.append("yes" if result.steps.get(name) else "")
        rows.append(f"| {result.client} | {_version(result)} | {result.interface} | " + " | ".join(cells) + " |")
        others = {name: message for name, message in result.failures.items() if name not in STEPS}
        notes += [f"{result.client}, {result.interface}, {name}: `{message}`" for name, message in others.items()]
    return "\n".join(rows) + "\n" + ("\n" + "\n".join(f"- {note}" for note in notes) + "\n" if notes else "")


def _version(result: Result) -> str:
    """Return the version of a client, or those of its packages if they differ."""
    numbers = set(result.versions.values())
    if len(numbers) == 1:
        return numbers.pop()
    return ", ".join(f"{name} {number}" for name, number in result.versions.items())
