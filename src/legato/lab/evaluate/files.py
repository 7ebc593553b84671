"""Writing of the report's files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from legato.errors import EvaluationError
from legato.files import write_text_atomically
from legato.lab.evaluate.report_html import to_html
from legato.lab.evaluate.report_markdown import to_markdown


def write_reports(folder: Path, report: dict[str, Any], lines: Sequence[dict[str, Any]]) -> None:
    """Write report.json, report.md, report.html and utterances.jsonl.

    Raises:
        EvaluationError: one of them cannot be written.
    """
    texts = {
        "utterances.jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
        "report.json": json.dumps(report, ensure_ascii=False, indent=1) + "\n",
        "report.md": to_markdown(report),
        "report.html": to_html(report, lines),
    }
    for name, text in texts.items():
        try:
            write_text_atomically(folder / name, text)
        except OSError as error:
            raise EvaluationError(
                f"{folder / name}: cannot be written: {error.strerror}. Give --output another folder."
            ) from None
