"""The bench command on a tiny model: all figures are present and consistent. Their size depends on the machine."""

import json
from pathlib import Path

import pytest

from legato.lab.benchmark import sample_audio
from legato.lab.live_load import largest
from tests.conftest import MakeBundle
from tests.support.command import failed, legato


def test_figures_as_table_and_json(make_bundle: MakeBundle, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    result = legato(
        "bench", "--model", make_bundle("transformers-a"), "--threads", "1", "--chunk-ms", "80,320", "--streams", "1,2",
        "--seconds", "2", "--json", file, home=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    table = result.stdout.decode()
    assert max(map(len, table.splitlines()[1:])) <= 80
    assert "streams" in table
    assert "keeps up" in table
    figures = json.loads(file.read_text())
    assert {"model", "layout", "precision", "cpu", "cores", "onnxruntime"} <= figures.keys()
    assert [(m["threads"], m["chunk_ms"]) for m in figures["measurements"]] == [(1, 80), (1, 320)]
    for m in figures["measurements"]:
        assert 0 < m["chunk_ms_p50"] <= m["chunk_ms_p95"] <= m["chunk_ms_p99"]
        assert 0 < m["load_seconds"] < m["first_chunk_seconds"]
        assert m["real_time_factor"] > 0
        assert m["file_real_time_factor"] > 0
        assert m["peak_rss_mb"] > 10
        assert [load["streams"] for load in m["loads"]] == [1, 2]
        kept_up = [load["streams"] for load in m["loads"] if load["keeps_up"]]
        assert m["streams_in_real_time"] == max(kept_up, default=0)
        for load in m["loads"]:
            assert 0 < load["lag_ms_p50"] <= load["lag_ms_p95"]
            assert 1 <= load["batch"] <= load["streams"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", "5000"], "5000 threads are more than"),
        (["--threads", "1", "--chunk-ms", "100"], "100 ms is impossible"),
        (["--threads", "one"], "give numbers"),
        (["--streams", "0"], "1 or more"),
        (["--json", "nowhere/figures.json"], "no folder"),
        (["--json", "/dev/null"], "/dev/null: cannot be written: it is not a regular file"),
        (["--threads", "1", "--chunk-ms", "1120", "--seconds", "2"], "too few"),
    ],
)
def test_impossible_measurements(make_bundle: MakeBundle, tmp_path: Path, options: list[str], message: str) -> None:
    result = legato("bench", "--model", make_bundle("transformers-a"), *options, home=tmp_path, cwd=tmp_path)
    assert message in failed(result)
    assert list(tmp_path.glob("**/*.json")) in ([], [tmp_path / "legato" / "verified.json"])


def test_a_missing_model(tmp_path: Path) -> None:
    assert "no such" in failed(legato("bench", "--model", tmp_path / "nothing", home=tmp_path))


@pytest.mark.parametrize("capacity", [0, 1, 2, 3, 5, 7, 8, 13, 40, 63, 64, 1000])
def test_the_search_for_the_largest_number(capacity: int) -> None:
    tried = []

    def keeps_up(number: int) -> bool:
        tried.append(number)
        return number <= capacity

    found = largest(keeps_up, 64)
    assert min(capacity, 64) * 7 / 8 - 1 < found <= capacity
    assert max(tried) <= 64
    assert len(tried) == len(set(tried)) <= 11


def test_sample_audio_is_as_long_as_asked() -> None:
    assert len(sample_audio(0.5)) == 8000
    assert len(sample_audio(40)) == 640000
