"""Word error rate of a model on a manifest, through the command line that users run.

    python -m bench.wer --manifest tests/data/numbers/manifest.jsonl [--model M] [--chunk-ms 320] [--auto]

Prints WER in percent by language, real recordings apart, and the share of utterances whose language was recognised.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer


@dataclass(frozen=True)
class Utterance:
    """A line of the manifest and what the model made of it (the JSON that `legato transcribe` writes)."""

    row: dict[str, Any]
    result: dict[str, Any]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that it counts in: all, its language, and real speech apart from synthesised."""
        real = "" if "synthesised" in self.row["source"] else " (real speech)"
        return "all", self.row["lang"] + real


def transcribe(manifest: Path, *, model: str | None, chunk_ms: int = 320, auto: bool = False) -> list[Utterance]:
    """Run `legato transcribe` once a language over the clips of a manifest."""
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    by_language = defaultdict(list)
    for row in rows:
        by_language["auto" if auto else row["lang"]].append(row)
    utterances = []
    for language, group in by_language.items():
        with tempfile.TemporaryDirectory() as output:
            options = ["--format", "json", "--output", output, "--chunk-ms", str(chunk_ms), "--language", language]
            options += ["--model", model] if model else []
            files = [str(manifest.parent / row["audio_filepath"]) for row in group]
            subprocess.run([sys.executable, "-m", "legato", "transcribe", *files, *options], check=True)
            for row in group:
                result = (Path(output) / row["audio_filepath"]).with_suffix(".json")
                utterances.append(Utterance(row, json.loads(result.read_text("utf-8"))))
    return utterances


def error_rates(utterances: list[Utterance]) -> dict[str, float]:
    """WER in percent by group."""
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for utterance in utterances:
        for group in utterance.groups:
            pairs[group].append((utterance.row["text"], utterance.result["text"]))
    return {
        group: round(100 * jiwer.wer([text for text, _ in members], [found for _, found in members]), 2)
        for group, members in sorted(pairs.items())
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--auto", action="store_true", help="let the model find the language")
    arguments = parser.parse_args()
    utterances = transcribe(arguments.manifest, model=arguments.model, chunk_ms=arguments.chunk_ms, auto=arguments.auto)
    for group, rate in error_rates(utterances).items():
        print(f"{group:24} {rate:6.2f} %")
    right = sum(utterance.row["lang"] == utterance.result["language"] for utterance in utterances)
    print(f"{'language recognised':24} {100 * right / len(utterances):6.2f} %  ({len(utterances)} utterances)")


if __name__ == "__main__":
    main()
