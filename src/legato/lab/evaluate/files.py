"""Writing of the report's files."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from legato.errors import EvaluationError
from legato.files import write_text_atomically
from legato.lab.evaluate.report_html import to_html
from legato.lab.evaluate.report_markdown import to_markdown


def write_reports(folder: Path, report: dict[str, Any], lines: Sequence[dict[str, Any]]) -> None:
    """Write utterances.jsonl, report.json, report.md and report.html, the figures before what is drawn from them.

    Raises:
        EvaluationError: one of them cannot be written.
    """
    texts: dict[str, Callable[[], str]] = {
        "utterances.jsonl": lambda: "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
        "report.json": lambda: json.dumps(report, ensure_ascii=False, indent=1) + "\n",
        "report.md": lambda: to_markdown(report),
        "report.html": lambda: to_html(report, lines),
    }
    for name, make in texts.items():
        # Names of files and values of a manifest may contain lone surrogates, which UTF-8 does not have.
        text = make().encode("utf-8", "backslashreplace").decode("utf-8")
        try:
            write_text_atomically(folder / name, text)
        except OSError as error:
            raise EvaluationError(
                f"{folder / name}: cannot be written: {error.strerror}. Give --output another folder."
            ) from None
