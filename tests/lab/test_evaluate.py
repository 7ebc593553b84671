"""`legato evaluate` through the command line: figures, resuming, the gate, bad input, FLEURS, and the HTML page."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jiwer
import pytest

from legato.installation import install_command
from legato.lab.evaluate.fleurs import read_fleurs
from tests.conftest import MakeBundle
from tests.support.command import environment, failed, legato
from tests.support.dataset_hub import DatasetHub
from tests.support.numbers_model import NUMBERS, NUMBERS_MODEL

TWO = ("de-numbers-pico-1.flac", "en-numbers-pico-3.flac")

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    lines = (NUMBERS / "manifest.jsonl").read_text("utf-8").splitlines()
    return [{**row, "audio_filepath": str(NUMBERS / row["audio_filepath"])} for row in map(json.loads, lines)]


def pick(rows: Rows, *names: str) -> Rows:
    return [row for name in names for row in rows if Path(row["audio_filepath"]).name == name]


def manifest(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def evaluate(*arguments: str | Path, home: Path, output: Path, code: int = 0) -> dict[str, Any]:
    """Run the command on the numbers model, and return its report."""
    result = legato("evaluate", *arguments, "--model", NUMBERS_MODEL, "--threads", "1", "--output", output, home=home)
    message = result.stderr.decode()
    assert result.returncode == code, message
    assert "Traceback" not in message
    report: dict[str, Any] = json.loads((output / "report.json").read_text("utf-8"))
    return report


def utterances(output: Path) -> Rows:
    return [json.loads(line) for line in (output / "utterances.jsonl").read_text("utf-8").splitlines()]


def cell(report: dict[str, Any], language: str, mode: str = "manifest", chunk_ms: int = 320) -> dict[str, Any]:
    [found] = [
        cell for cell in report["cells"]
        if (cell["language"], cell["subset"], cell["mode"], cell["chunk_ms"]) == (language, "", mode, chunk_ms)
    ]  # fmt: skip
    return dict(found)


def changed(rows: Rows) -> Rows:
    """Four Spanish clips that are recognized without errors, with references in which errors are planted.

    Recognized:       Planted reference:                Counted by hand:
    A B C ...         one more word in front            1 deletion
    A B C ...         first word exchanged              1 substitution
    A B C ...         last word missing                 1 insertion
    A B C ...         upper case and a full stop        0 normalised, every word that has letters raw
    """
    [first], [second], [third], [fourth] = (
        pick(rows, f"es-numbers-pico-{number}.flac") for number in (1, 2, 3, 4)
    )  # fmt: skip
    return [
        {**first, "text": "hola " + first["text"]},
        {**second, "text": " ".join(["hola", *second["text"].split()[1:]])},
        {**third, "text": " ".join(third["text"].split()[:-1])},
        {**fourth, "text": fourth["text"].upper() + "."},
    ]


def test_counts_are_those_counted_by_hand(rows: Rows, tmp_path: Path) -> None:
    planted = changed(rows)
    lengths = [len(row["text"].split()) for row in planted]
    assert min(lengths) >= 1
    report = evaluate(manifest(tmp_path / "m.jsonl", planted), home=tmp_path, output=tmp_path / "out")
    wer = cell(report, "es-ES")["wer"]
    assert (wer["substitutions"], wer["deletions"], wer["insertions"]) == (1, 1, 1)
    assert wer["reference"] == sum(lengths)
    assert wer["hits"] == sum(lengths) - 2
    assert wer["rate"] == pytest.approx(3 / sum(lengths))
    assert wer["low"] <= wer["rate"] <= wer["high"]
    raw = cell(report, "es-ES")["raw_wer"]
    assert raw["substitutions"] == 1 + lengths[3]  # every word of the fourth is in capitals there
    lines = utterances(tmp_path / "out")
    assert [line["words"]["deletions"] for line in lines] == [1, 0, 0, 0]
    assert [line["words"]["substitutions"] for line in lines] == [0, 1, 0, 0]
    assert [line["words"]["insertions"] for line in lines] == [0, 0, 1, 0]
    # Anyone can recompute: an independent library, on the texts in the file, in micro average.
    references, hypotheses = ([line[f"normalized_{side}"] for line in lines] for side in ("reference", "hypothesis"))
    assert jiwer.wer(references, hypotheses) == pytest.approx(wer["rate"])
    assert jiwer.cer(references, hypotheses) == pytest.approx(cell(report, "es-ES")["cer"]["rate"])
    assert report["normalizers"]["es-ES"]["name"] == "whisper-basic"


def test_the_numbers_model_in_both_modes(rows: Rows, tmp_path: Path) -> None:
    """A whole run: languages, chunk sizes and modes, latency, speed, memory, and all four files."""
    chosen = [row for row in rows if "-1." in row["audio_filepath"] or "-2." in row["audio_filepath"]]
    out = tmp_path / "out"
    report = evaluate(
        manifest(tmp_path / "m.jsonl", chosen), "--chunk-ms", "80,320", "--language", "manifest,auto",
        home=tmp_path, output=out,
    )  # fmt: skip
    languages = {row["lang"] for row in chosen}
    places = {(cell["language"], cell["mode"], cell["chunk_ms"]) for cell in report["cells"]}
    assert places == {(name, m, c) for name in {*languages, "all"} for m in ("manifest", "auto") for c in (80, 320)}
    assert report["counts"] == {"read": len(chosen), "scored": len(chosen), "left_out": 0}
    pooled = cell(report, "all", "auto")
    assert pooled["language_accuracy"]["of"] == len(chosen)
    assert pooled["language_accuracy"]["right"] >= 23  # of 24; 24 measured
    assert cell(report, "all")["language_accuracy"] is None
    wer = cell(report, "all")["wer"]
    assert wer["reference"] == 74
    assert wer["reference"] - wer["hits"] + wer["insertions"] <= 9  # 8 measured
    assert (
        cell(report, "all", chunk_ms=320)["first_token_latency"]["p50"]
        >= (cell(report, "all", chunk_ms=80)["first_token_latency"]["p50"])
    )  # in audio time: a larger chunk can only be later
    [model] = report["models"]
    assert model["precision"] == "int8"
    assert model["recipe"] == "auto"
    assert model["peak_rss_mb"] > 50
    assert model["rtf"] > 0
    for line in utterances(out):
        assert line["first_token"] <= line["last_token"] <= line["duration"]
        assert 0 <= line["speech_start"] < line["speech_end"] <= line["duration"]
    card = (out / "report.md").read_text("utf-8")
    assert "INT8 WER" in card
    assert "INT8 CER" in card
    assert "Peak RSS" in card
    transcript = legato(
        "transcribe", chosen[0]["audio_filepath"], "--language", chosen[0]["lang"], "--model", NUMBERS_MODEL,
        home=tmp_path,
    )  # fmt: skip
    same = next(line for line in utterances(out) if line["mode"] == "manifest" and line["chunk_ms"] == 320)
    assert same["hypothesis"] == transcript.stdout.decode().strip()


def test_an_interrupted_run_continues(rows: Rows, tmp_path: Path) -> None:
    source, out = manifest(tmp_path / "m.jsonl", rows), tmp_path / "out"
    arguments: list[str | Path] = ["evaluate", source, "--model", NUMBERS_MODEL, "--threads", "1", "--output", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "legato", *map(str, arguments)], env=environment(tmp_path), stderr=subprocess.PIPE
    )
    kept = out / "recognized.jsonl"
    until = time.monotonic() + 300
    while not (kept.is_file() and kept.read_bytes().count(b"\n") >= 3) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 130
    assert not (out / "report.json").exists()
    before = kept.read_bytes()
    done = before.count(b"\n")
    assert 3 <= done < len(rows)
    kept.write_bytes(before + b'{"key": "half a li')  # as a crash in the middle of a line leaves it
    result = legato(*arguments, home=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    assert f"{done} of {len(rows)} results are from an earlier run" in result.stderr.decode()
    after = kept.read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == len(rows)
    assert all(json.loads(line) for line in after.splitlines())
    lines = utterances(out)
    assert [line["id"] for line in lines] == [row["audio_filepath"] for row in rows]
    result = legato(*arguments, home=tmp_path)
    assert f"{len(rows)} of {len(rows)}" in result.stderr.decode()
    assert utterances(out) == lines


def test_a_journal_that_is_no_file_of_its_own(rows: Rows, tmp_path: Path) -> None:
    source, out = manifest(tmp_path / "m.jsonl", pick(rows, *TWO)), tmp_path / "out"
    victim, journal = tmp_path / "victim", out / "recognized.jsonl"
    victim.write_text("untouched")
    out.mkdir()
    for reason in ("it is a link to another place", "it is not a regular file"):
        if "link" in reason:
            journal.symlink_to(victim)
        else:
            os.mkfifo(journal)
        message = failed(legato("evaluate", source, "--model", NUMBERS_MODEL, "--output", out, home=tmp_path))
        assert f"{journal}: cannot be used: {reason}. Give --output another folder, or remove it." in message
        journal.unlink()
    assert victim.read_text() == "untouched"
    journal.write_text('{"key": ' + "[" * 100_000 + "\n")  # a line that is none is passed over
    evaluate(source, home=tmp_path, output=out)
    assert len(utterances(out)) == 2


def test_the_gate(rows: Rows, tmp_path: Path) -> None:
    """A run whose Italian became wrong against one in which it was right, and the reverse."""
    good = [row for row in rows if row["lang"] in {"es-ES", "it-IT"}]
    bad = [{**row, "text": "x y z " + row["text"]} if row["lang"] == "it-IT" else row for row in good]
    first, second = tmp_path / "good", tmp_path / "bad"
    evaluate(manifest(tmp_path / "good.jsonl", good), home=tmp_path, output=first)
    shutil.copytree(first, second)  # its recognitions are the same
    source = manifest(tmp_path / "bad.jsonl", bad)
    report = evaluate(source, "--baseline", first / "report.json", home=tmp_path, output=second, code=1)
    verdicts = {entry["language"]: entry["verdict"] for entry in report["baseline"]["comparisons"]}
    assert verdicts == {"es-ES": "same", "it-IT": "worse"}
    assert all(entry["paired"] for entry in report["baseline"]["comparisons"])
    again = tmp_path / "again"
    shutil.copytree(first, again)
    report = evaluate(tmp_path / "good.jsonl", "--baseline", second, home=tmp_path, output=again)
    assert {entry["language"]: entry["verdict"] for entry in report["baseline"]["comparisons"]} == {
        "es-ES": "same", "it-IT": "better",
    }  # fmt: skip
    report = evaluate(tmp_path / "good.jsonl", "--baseline", first, home=tmp_path, output=again)
    assert {entry["verdict"] for entry in report["baseline"]["comparisons"]} == {"same"}
    options = (
        "--model",
        NUMBERS_MODEL,
        "--threads",
        "1",
        "--normalizer",
        "none",
        "--baseline",
        first,
        "--output",
        again,
    )
    message = failed(legato("evaluate", tmp_path / "good.jsonl", *options, home=tmp_path))
    assert "es-ES" in message
    assert "--normalizer" in message
    assert (again / "report.json").exists()


def test_a_baseline_in_other_conditions_does_not_hide_the_results(rows: Rows, tmp_path: Path) -> None:
    source = manifest(tmp_path / "m.jsonl", pick(rows, *TWO))
    evaluate(source, home=tmp_path, output=tmp_path / "old")
    result = legato(
        "evaluate", source, "--model", NUMBERS_MODEL, "--threads", "1", "--chunk-ms", "80",
        "--baseline", tmp_path / "old", "--output", tmp_path / "new", home=tmp_path,
    )  # fmt: skip
    assert "Nothing can be compared with the baseline" in failed(result)
    assert "2 utterances scored" in result.stdout.decode()
    assert str(tmp_path / "new" / "report.html") in result.stderr.decode()


@pytest.mark.parametrize("content", ["", "{}", '{"cells": []}', "[1]", '{"cells": [{"language": "en"}]}'])
def test_a_baseline_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "old.json").write_text(content)
    message = failed(
        legato(
            "evaluate", NUMBERS / "manifest.jsonl", "--output", tmp_path / "out", "--model", NUMBERS_MODEL,
            "--baseline", tmp_path / "old.json", home=tmp_path,
        )
    )  # fmt: skip
    assert "not a report" in message


def test_odd_names_and_notes(rows: Rows, tmp_path: Path) -> None:
    """Mathematics, markup and lone surrogates in names do not lose the report; what is odd about the data is told."""
    bundle = tmp_path / "$\\frac$ [/b]"
    shutil.copytree(NUMBERS_MODEL, bundle)
    first, second = pick(rows, *TWO)
    third = {**first, "text": "another text"}
    english = next(row for row in rows if row["lang"] == "en-US" and len(row["text"].split()) > 1)
    chosen = [{**first, "part": "$\\frac$"}, {**second, "part": "\ud800"}, {**third, "part": "[/x]"}, english]
    source = tmp_path / "m.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in chosen), "utf-8")
    out = tmp_path / "out"
    result = legato(
        "evaluate", source, "--model", bundle, "--chunk-ms", "80,320", "--split-by", "part", "--output", out,
        home=tmp_path, COLUMNS="80",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    assert "$\\frac$" in (out / "report.html").read_text("utf-8")
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert {cell["subset"] for cell in report["cells"]} == {"", "$\\frac$", "?", "[/x]"}
    told = result.stderr.decode()
    assert "line 3: the same recording as" in told
    assert "line 1, with another text" in told
    assert "earlier run" not in told  # the third is of the first, which was recognized in this run
    assert all(note in (out / "report.md").read_text("utf-8") for note in report["notes"])
    table = result.stdout.decode()
    assert max(map(len, table.splitlines())) <= 80
    assert "[/x]" in table


def test_references_that_become_one_word(rows: Rows, tmp_path: Path) -> None:
    row = next(row for row in rows if row["lang"] == "en-US")
    source = manifest(tmp_path / "m.jsonl", [{**row, "text": "twenty one thousand"}])
    report = evaluate(source, home=tmp_path, output=tmp_path / "out")
    [note] = report["notes"]
    assert "'twenty one thousand' -> '21000'" in note
    assert "--normalizer none" in note
    assert evaluate(source, "--normalizer", "none", home=tmp_path, output=tmp_path / "none")["notes"] == []


def test_words_kept_of_the_model_in_fp32(rows: Rows, make_bundle: MakeBundle, tmp_path: Path) -> None:
    """Against a model of another vocabulary, so that there is something to lose."""
    fp32, out = make_bundle("nemo-r3"), tmp_path / "out"
    result = legato(
        "evaluate", manifest(tmp_path / "m.jsonl", pick(rows, *TWO)), "--model", fp32, "--model", NUMBERS_MODEL,
        "--threads", "1", "--output", out, home=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    report = json.loads((out / "report.json").read_text("utf-8"))
    lines = utterances(out)
    exact, other = ([len(line["normalized_hypothesis"].split()) for line in lines if line["model"] == label]
                    for label in (fp32.name, NUMBERS_MODEL.name))  # fmt: skip
    pooled = {cell["model"]: cell["kept"] for cell in report["cells"] if cell["language"] == "all"}
    assert pooled[fp32.name]["against"] == "reference"
    assert pooled[NUMBERS_MODEL.name]["against"] == fp32.name
    assert pooled[NUMBERS_MODEL.name]["share"] == pytest.approx(sum(other) / sum(exact))
    assert "words kept" in result.stdout.decode()


def test_bad_lines_are_reported_and_the_rest_is_scored(rows: Rows, tmp_path: Path) -> None:
    good = pick(rows, *TWO)
    (tmp_path / "noise.wav").write_text("No sound here.\n" * 20)
    broken = [
        "{not json",
        "[1, 2]",
        json.dumps({"text": "one", "lang": "en"}),
        json.dumps({**good[0], "audio_filepath": "missing.wav"}),
        json.dumps({**good[0], "text": "  "}),
        json.dumps({**good[0], "lang": "tlh-KX"}),
        json.dumps({**good[0], "audio_filepath": str(tmp_path / "noise.wav")}),
        json.dumps({**good[0], "text": "..."}),
        json.dumps({key: value for key, value in good[0].items() if key != "lang"}),
        json.dumps({**good[0], "offset": 500, "duration": 1}),
        json.dumps({**good[0], "offset": "soon"}),
    ]
    lines = [json.dumps(good[0]), *broken, "", json.dumps(good[1])]
    source = tmp_path / "m.jsonl"
    source.write_text("\n".join(lines), "utf-8")
    out = tmp_path / "out"
    result = legato("evaluate", source, "--model", NUMBERS_MODEL, "--output", out, home=tmp_path)
    message = failed(result)
    for number, words in enumerate(
        ["not JSON", "not a JSON object", "no audio_filepath", "no such file", "has no text", "'tlh-KX'", "noise.wav",
         "empty after normalization", "language is not given", "nothing at 500 s", "not a number"], 2
    ):  # fmt: skip
        [line] = [each for each in message.splitlines() if f"line {number}:" in each and "same recording" not in each]
        assert words in line, line
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["counts"] == {"read": 13, "scored": 2, "left_out": 11}
    assert len(report["left_out"]) == 11
    assert len(utterances(out)) == 2
    assert "2 utterances scored, 11 left out of 13" in result.stdout.decode().replace("\n", " ")
    assert "line 2" in (out / "report.html").read_text("utf-8")


def test_what_the_whole_call_is_refused_for(tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> str:
        return failed(legato("evaluate", *arguments, "--output", tmp_path / "out", home=tmp_path))

    source = NUMBERS / "manifest.jsonl"
    assert "no such manifest" in run(tmp_path / "gone.jsonl")
    assert "give a manifest" in run()
    assert "100" in run(source, "--chunk-ms", "100")
    assert "klingon" in run(source, "--language", "klingon")
    assert "no such" in run(source, "--model", tmp_path / "gone")
    assert "UTF-8" in run(NUMBERS / "de-numbers-pico-1.flac")
    assert "manifest.jsonl" in run(NUMBERS)  # a folder without transcripts, but with a manifest
    assert "--fleurs-dir" in run("--fleurs", "de_de", "--fleurs-dir", tmp_path / "gone")
    (tmp_path / "empty.jsonl").write_text("\n")
    assert "is empty" in run(tmp_path / "empty.jsonl")
    (tmp_path / "bad.jsonl").write_text("x\n")
    assert "Nothing could be scored" in run(tmp_path / "bad.jsonl")


def test_a_folder_with_transcripts(rows: Rows, tmp_path: Path) -> None:
    german, english = pick(rows, *TWO)
    data = tmp_path / "data"
    for row, folder in ((german, data / "de"), (english, data / "wav")):
        folder.mkdir(parents=True)
        copy = shutil.copy(row["audio_filepath"], folder)
        Path(copy).with_suffix(".txt").write_text(row["text"] + "\n", "utf-8")
    report = evaluate(data, "--default-language", "en", home=tmp_path, output=tmp_path / "out")
    assert cell(report, "de")["utterances"] == cell(report, "en")["utterances"] == 1
    for options, language in ((("--default-language", "fr"), "fr"), ((), "de")):  # the given folder's name counts last
        report = evaluate(data / "de", *options, home=tmp_path, output=tmp_path / language)
        assert cell(report, language)["utterances"] == 1
    shutil.copy(german["audio_filepath"], data / "de" / "silent.flac")
    (data / "de" / "orphan.txt").write_text("eins")
    report = evaluate(data, home=tmp_path, output=tmp_path / "out", code=2)
    assert {Path(entry["place"]).name for entry in report["left_out"]} == {"silent.flac", "orphan.txt", TWO[1]}


def test_part_of_a_file_subsets_and_a_limit(rows: Rows, tmp_path: Path) -> None:
    chosen = [row for row in rows if row["lang"] in {"de-DE", "en-US"}]
    source = manifest(tmp_path / "m.jsonl", [{**chosen[0], "offset": 0.5, "duration": 1.0}, *chosen])
    out = tmp_path / "out"
    report = evaluate(source, "--limit", "3", "--split-by", "source", home=tmp_path, output=out)
    lines = utterances(out)
    assert lines[0]["duration"] == 1.0
    assert [line["language"] for line in lines] == ["en-US"] * 3 + ["de-DE"] * 3
    subsets = {cell["subset"] for cell in report["cells"] if cell["language"] == "de-DE"}
    assert subsets == {"", *(line["subset"] for line in lines if line["language"] == "de-DE")}


def make_fleurs(folder: Path, rows: Rows, language: str) -> Path:
    """A local copy in the layout of the published archives: a table without header, and the audio in a tar."""
    root = folder / "data" / language
    (root / "audio").mkdir(parents=True)
    with (root / "test.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        for number, row in enumerate(rows):
            text = row["text"]
            name = f"{1000 + number}.wav"
            writer.writerow([number, name, f'"{text.capitalize()}".', text, " ".join(text), 16000, "FEMALE"])
    with tarfile.open(root / "audio" / "test.tar.gz", "w:gz") as archive:
        for number in reversed(range(len(rows))):  # the archive's order is another one than the table's
            content = Path(rows[number]["audio_filepath"]).read_bytes()
            info = tarfile.TarInfo(f"test/{1000 + number}.wav")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder


def test_fleurs_from_a_local_copy(rows: Rows, tmp_path: Path) -> None:
    spanish = [row for row in rows if row["lang"] == "es-ES"][:3]
    italian = [row for row in rows if row["lang"] == "it-IT"][:3]
    copy = make_fleurs(make_fleurs(tmp_path / "fleurs", spanish, "es_419"), italian, "it_it")
    out = tmp_path / "out"
    report = evaluate(
        "--fleurs", "es_419,it_it", "--fleurs-dir", copy, "--limit", "2", home=tmp_path, output=out
    )  # fmt: skip
    lines = utterances(out)
    assert [line["id"] for line in lines] == [
        "fleurs/es_419/1002.wav", "fleurs/es_419/1001.wav", "fleurs/it_it/1002.wav", "fleurs/it_it/1001.wav",
    ]  # fmt: skip
    assert lines[0]["reference"] == f'"{spanish[2]["text"].capitalize()}".'
    assert lines[0]["language"] == "es-419"  # the model has another region's Spanish, and that is used
    assert cell(report, "it-IT")["wer"]["rate"] == 0
    assert cell(report, "it-IT")["raw_wer"]["rate"] > 0
    assert "fr_fr" in failed(
        legato("evaluate", "--fleurs", "fr_fr", "--fleurs-dir", copy, "--output", out, home=tmp_path)
    )  # fmt: skip


def as_parquet(rows: Rows) -> bytes:
    """Return rows in the form of the Parquet files of FLEURS."""
    import pyarrow
    from pyarrow import parquet

    table = [
        {
            "id": number,
            "path": f"/somewhere/test/{number}.wav",
            "audio": {"bytes": Path(row["audio_filepath"]).read_bytes(), "path": f"{number}.wav"},
            "transcription": row["text"],
            "raw_transcription": row["text"].capitalize() + ".",
        }
        for number, row in enumerate(rows)
    ]
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(table), file)
    return file.getvalue()


@pytest.mark.parametrize("name", ["it_it/test/0000.parquet", "it_it/fleurs-test.parquet", "p/it_it/test-00000.parquet"])
def test_fleurs_as_parquet(rows: Rows, tmp_path: Path, name: str) -> None:
    italian = [row for row in rows if row["lang"] == "it-IT"][:2]
    file = tmp_path / "fleurs" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(as_parquet(italian))
    data = read_fleurs(["it_it"], audio=tmp_path / "audio", folder=tmp_path / "fleurs")
    assert [utterance.text for utterance in data.utterances] == [row["text"].capitalize() + "." for row in italian]
    for utterance, row in zip(data.utterances, italian, strict=True):
        assert utterance.audio.read_bytes() == Path(row["audio_filepath"]).read_bytes()
        assert utterance.language == "it-IT"


CARD = b"---\nconfigs:\n- config_name: it_it\n  data_files:\n  - split: test\n    path: it_it/test-*.parquet\n---\n"


@pytest.mark.parametrize("form", ["script", "parquet"])
def test_fleurs_from_a_hub(rows: Rows, tmp_path: Path, form: str) -> None:
    """The repository has a loading script, which no library runs any longer, and a Parquet branch; or Parquet files."""
    italian = [row for row in rows if row["lang"] == "it-IT"][:3]
    table = as_parquet(italian)
    script = {
        "main": {"fleurs.py": b"raise SystemExit\n", "README.md": b"# FLEURS\n"},
        "refs/convert/parquet": {"it_it/test/0000.parquet": table, "it_it/train/0000.parquet": b"not asked for"},
    }
    whole = {"main": {"README.md": CARD, "it_it/test-00000-of-00001.parquet": table}}
    out = tmp_path / "out"
    arguments: list[str | Path] = ["evaluate", "--model", NUMBERS_MODEL, "--limit", "2", "--output", out]
    with DatasetHub("google/fleurs", script if form == "script" else whole) as hub:
        result = legato(*arguments, "--fleurs", "it_it", home=tmp_path, HF_ENDPOINT=hub.url)
        assert result.returncode == 0, result.stderr.decode()
        assert [line["id"] for line in utterances(out)] == ["fleurs/it_it/0.wav", "fleurs/it_it/1.wav"]
        assert any(name.endswith(".parquet") for name in hub.resolved)
        assert "it_it/train/0000.parquet" not in hub.resolved
        message = failed(legato(*arguments, "--fleurs", "xx_xx", home=tmp_path, HF_ENDPOINT=hub.url))
    assert "FLEURS xx_xx: cannot be loaded" in message
    assert "--fleurs-dir" in message


class _Loads(HTMLParser):
    """Everything that a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "iframe", "object", "embed", "img"}:
            self.found.append(tag)
        for name, value in attrs:
            if name in {"src", "srcset", "data", "href", "xlink:href", "poster"} and not (value or "").startswith("#"):
                self.found.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")


def test_the_page_needs_nothing_else(rows: Rows, tmp_path: Path) -> None:
    planted = [{**row, "text": "<b>x</b> & " + row["text"]} for row in pick(rows, *TWO)]
    out = tmp_path / "out"
    evaluate(manifest(tmp_path / "m.jsonl", planted), "--chunk-ms", "80,320", home=tmp_path, output=out)
    page = (out / "report.html").read_text("utf-8")
    parser = _Loads()
    parser.feed(page)
    assert parser.found == []
    assert len(parser.ids) == len(set(parser.ids))
    assert "http" not in page
    assert "@import" not in page
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", page))
    for reference in re.findall(r'(?:href="|url\()#([^")]+)', page):
        assert reference in parser.ids
    assert page.count("<svg") == 3
    assert "prefers-color-scheme: dark" in page
    assert page.count("<caption>") == page.count("<table>")
    assert "<del>" in page
    assert "<b>x" not in page


def test_without_its_packages(tmp_path: Path) -> None:
    for package in ("rapidfuzz", "whisper_normalizer", "jinja2", "matplotlib"):
        code = (
            f"import sys; sys.modules[{package!r}] = None; "
            f"sys.argv = ['legato', 'evaluate', {str(NUMBERS / 'manifest.jsonl')!r}, '--output', 'out'];"
            "from legato.cli import main; main()"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, check=False, cwd=tmp_path
        )
        assert install_command("evaluate") in failed(result), package
        assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_bar_is_drawn_on_a_terminal(rows: Rows, tmp_path: Path) -> None:
    import pty

    source = manifest(tmp_path / "m.jsonl", pick(rows, *TWO))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "legato", "evaluate", source, "--model", NUMBERS_MODEL, "--output", tmp_path / "o"],
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    drawn = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        drawn += piece
    assert process.stdout is not None
    table = process.stdout.read().decode()
    assert process.wait(60) == 0
    assert b"2/2" in drawn
    assert "de-DE" in table
    assert "\x1b" not in table
