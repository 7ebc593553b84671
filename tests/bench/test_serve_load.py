"""The load measurement with one stream: all figures are present and consistent. Their size depends on the machine."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.command import environment


def test_one_stream(tmp_path: Path) -> None:
    bench = Path(__file__).parents[2] / "bench" / "serve_load.py"
    options = ["--model", "embedded", "--threads", "1", "--seconds", "8", "--utterance", "4", "--streams", "1"]
    result = subprocess.run(
        [sys.executable, bench, *options, "--limit-ms", "1e9", "--output", tmp_path / "load.json"],
        env=environment(tmp_path),
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "load.json").read_text())
    assert found["held_by_server"] == 1
    (run,) = found["server"]
    assert run["failed"] == []
    assert run["refused"] == 0
    assert run["finals"] == 2
    assert run["texts"] > 0
    for delay in (run["text_ms"], run["final_ms"], run["client_late_ms"]):
        assert 0 <= delay["p50"] <= delay["p95"] <= delay["p99"] <= delay["max"]
    alone, crowded = found["at_the_limit"]
    assert alone["finals"] == crowded["finals"] == 1
    assert (crowded["others"], crowded["others_admitted"]) == (1, 0)
    assert crowded["others_refused"] >= 1
