"""`legato study`: the quantized weights of each variant, the figures, the report, bad input, and resuming."""

import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

import legato
from legato.audio.source import read_audio
from legato.cli.app import app
from legato.cli.study_tables import print_study
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.open import open_checkpoint
from legato.convert.quantize import DEFAULT_RECIPE
from legato.convert.quantize import RECIPES as CONVERT_RECIPES
from legato.convert.quantize.per_token import PerToken
from legato.errors import StudyError
from legato.installation import install_command
from legato.lab.kept import Kept
from legato.lab.normalize import LETTERS
from legato.lab.scoring import distance
from legato.lab.study import Outcome, Plan, Study, conclude, investigate
from legato.lab.study.figures import change
from legato.lab.study.measure import search_path, tokens_of
from legato.lab.study.results import Deviation, Fp32Result
from legato.lab.study.variants import ALL, ENCODER, GROUPS, PerTensor, Variant, parts_of, whole_recipes
from tests.conftest import MakeBundle, checkpoint_path
from tests.support.paths import REFERENCES

AUDIO = REFERENCES / "audio"
FOX = {"audio_filepath": str(AUDIO / "fox16k.wav"), "text": "The quick brown fox.", "lang": "en-US"}
KERSTIN = {"audio_filepath": str(AUDIO / "de-kerstin-2316.flac"), "text": "Ein Satz auf Deutsch", "lang": "de-DE"}
#: Three layers; 408 inputs of the subsampling's projection, which no blocks of 32 divide.
MODEL = checkpoint_path("transformers-a")

RECIPES = ("per-token", "weight-only")


@pytest.fixture(autouse=True)
def logger() -> Iterator[None]:
    """The command adds a handler to the logger, which other tests use."""
    found = logging.getLogger("legato")
    handlers, propagate = list(found.handlers), found.propagate
    yield
    found.handlers, found.propagate = handlers, propagate


def write(folder: Path, *lines: object) -> Path:
    file = folder / "manifest.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["study", *map(str, arguments)], catch_exceptions=False)


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "study.json").read_text())
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A study of two recordings among bad lines."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "text.wav").write_text("no audio")
    (folder / "fox.wav").write_bytes((AUDIO / "fox16k.wav").read_bytes())
    file = write(
        folder, FOX | {"audio_filepath": "fox.wav"}, "{", {"audio_filepath": "fox.wav"}, "", KERSTIN, "[]",
        {"text": "a"}, FOX | {"audio_filepath": "missing.wav"}, FOX | {"audio_filepath": "text.wav"},
        FOX | {"lang": "xx-XX"},
    )  # fmt: skip
    out = folder / "out"
    out.mkdir()
    for name in ("study.md", "study.png"):  # links of somebody else are replaced
        (out / name).symlink_to(folder / "text.wav")
    recipes = [part for recipe in RECIPES for part in ("--recipe", recipe)]
    return out, run(MODEL, "--manifest", file, "--output", out, *recipes, "--layers", "0,2", "--threads", 1)


def test_bad_lines_are_named_and_the_rest_is_used(finished: tuple[Path, Result]) -> None:
    out, result = finished
    assert result.exit_code == 2
    found = document(out)
    assert [(utterance["line"], utterance["audio"]) for utterance in found["utterances"]] == [
        (1, "fox.wav"), (5, KERSTIN["audio_filepath"])
    ]  # fmt: skip
    for line, words in (
        (2, "not JSON"), (3, "no text"), (6, "not a JSON object"), (7, "no audio_filepath"), (8, "there is no file"),
        (9, "text.wav"), (10, "xx-XX"),
    ):  # fmt: skip
        [problem] = [text for text in found["problems"] if f"line {line}: " in text]
        assert words in problem
        assert problem in result.stderr
    assert len(found["problems"]) == 7


def test_the_report(finished: tuple[Path, Result]) -> None:
    out, result = finished
    assert sorted(file.name for file in out.iterdir()) == ["study.json", "study.md", "study.png"]
    assert (out / "study.png").read_bytes().startswith(b"\x89PNG")
    assert (out.parent / "text.wav").read_text() == "no audio"
    found, report = document(out), (out / "study.md").read_text()
    parts = [variant for recipe in RECIPES for variant in parts_of(recipe, [0, 2])]
    assert sorted(found["variants"]) == sorted(variant.key for variant in [*whole_recipes(), *parts])
    assert found["variants"]["recipes/weight-only"]["impossible"].startswith("the recipe weight-only needs layers with")
    assert "weight-only: not possible" in report
    assert len(found["conclusion"]) >= 6
    for sentence in found["conclusion"]:
        assert f"- {sentence}\n" in report
    for name in ("two-term", "feed-forward modules", "prediction net", "layer 2"):
        assert name in report
        assert name in result.stdout


def test_the_figures_make_sense(finished: tuple[Path, Result]) -> None:
    found = document(finished[0])["variants"]
    figures = {key: variant["figures"] for key, variant in found.items() if "figures" in variant}
    for group in GROUPS:
        alone, left = figures[f"alone/per-token/{group}"], figures[f"left/per-token/{group}"]
        assert (alone["encoder_error"] > 0) == (group in ENCODER)
        assert alone["divergence"] > 0
        assert left["encoder_error"] > 0
    everything = figures["everything/per-token"]
    # The recipe as converted has the same encoder, and so have variants that differ only after the encoder.
    for key in ("recipes/per-token", "left/per-token/joint", "left/per-token/prediction"):
        assert figures[key]["encoder_error"] == everything["encoder_error"]
    assert figures["recipes/two-term"]["encoder_error"] < everything["encoder_error"]
    layers = [figures[f"layers/per-token/{layer}"]["encoder_error"] for layer in (0, 2)]
    assert all(0 < error < everything["encoder_error"] for error in layers)
    for values in figures.values():
        for rate in ("wer", "cer"):
            assert values[f"{rate}_difference"]["low"] <= values[f"{rate}_difference"]["high"]
        assert 0 <= values["token_agreement"] <= 1
        assert values["exact"] in {0, 0.5, 1}
        if values["exact"] == 1:
            assert (values["kept"]["share"], values["kept"]["first"], values["kept"]["last"]) == (1, 1, 1)


def test_figures_are_those_of_converted_bundles(finished: tuple[Path, Result], make_bundle: MakeBundle) -> None:
    """The same model through `legato convert` and `legato.load`."""
    found = document(finished[0])
    fp32 = legato.load(make_bundle("transformers-a"), threads=1)
    texts = [fp32.transcribe(path(utterance), language=spoken(utterance)).text for utterance in found["utterances"]]
    assert [utterance["found"] for utterance in found["utterances"]] == texts
    expected = jiwer.wer([LETTERS(h["text"]) for h in found["utterances"]], [LETTERS(text) for text in texts])
    assert found["fp32"]["wer"] == pytest.approx(expected)
    for recipe in ("per-token", "two-term", "dynamic-per-tensor"):
        other = legato.load(make_bundle("transformers-a", "int8", recipe=recipe), threads=1)
        squares, edited = np.zeros(2), 0
        for utterance in found["utterances"]:
            samples = read_audio(path(utterance))
            frames = fp32.encode(samples, language=spoken(utterance))
            # Through a stream, chunk by chunk: `dynamic-per-tensor` depends on it.
            with other.stream(language=spoken(utterance)) as stream:
                stream.accept(samples)
                final = stream.finish()[-1]
            assert isinstance(final, legato.Final)
            tokens = [token.id for token in final.transcript.tokens]
            if recipe != "dynamic-per-tensor":
                got = other.encode(samples, language=spoken(utterance))
                squares += np.sum((got - frames) ** 2, dtype=np.float64), np.sum(frames**2, dtype=np.float64)
            edited += distance(utterance["tokens"], tokens)
        entry = found["variants"][f"recipes/{recipe}"]
        assert sum(entry["utterances"]["token_edits"]) == edited
        if recipe != "dynamic-per-tensor":
            assert entry["figures"]["encoder_error"] == pytest.approx(np.sqrt(squares[0] / squares[1]), rel=1e-4)


def path(utterance: dict[str, Any]) -> Path:
    return AUDIO / ("fox16k.wav" if utterance["audio"] == "fox.wav" else utterance["audio"])


def spoken(utterance: dict[str, Any]) -> str:
    return "en-US" if utterance["line"] == 1 else "de-DE"


def quantized(variant: Variant) -> set[str]:
    """Weights in INT8."""
    checkpoint, recipe = open_checkpoint(MODEL), PerToken()
    models = [
        write_native_encoder(checkpoint, variant.encoder_precision(recipe)),
        write_decoder(checkpoint, variant.transducer_precision(recipe, "prediction"), "batch"),
        write_joint(checkpoint, variant.transducer_precision(recipe, "joint"), "batch", "frames"),
    ]
    names = [name for model in models for name in model.graph.initializers if name.endswith(".quantized")]
    return {name.removesuffix(".quantized") for name in names}


def test_what_is_in_int8() -> None:
    variants = {variant.key: variant for variant in parts_of("per-token", range(3))}
    everything = quantized(variants["everything/per-token"])
    layers = open_checkpoint(MODEL).architecture.prediction_layers
    assert len(everything) == 1 + 3 * 8 + 2 + 3 + 2 * layers
    alone = {group: quantized(variants[f"alone/per-token/{group}"]) for group in GROUPS}
    assert sum(len(names) for names in alone.values()) == len(everything)
    assert set().union(*alone.values()) == everything
    for group, names in alone.items():
        assert quantized(variants[f"left/per-token/{group}"]) == everything - names
    for layer in range(3):
        prefix = f"encoder.layers.{layer}."
        assert quantized(variants[f"layers/per-token/{layer}"]) == {n for n in everything if n.startswith(prefix)}


def test_per_tensor_has_one_scale_for_a_weight() -> None:
    matrix = np.array([[0.5, -2.54, 0], [0.25, 1, 0]], np.float32)
    assert PerTensor().scales(matrix).tolist() == [np.float32(0.02)] * 3


def test_divergence_along_the_path(make_bundle: MakeBundle, fox: NDArray[np.float32]) -> None:
    """Zero against itself; against other frames it grows with the difference."""
    recognizer = legato.load(make_bundle("transformers-a"), threads=1)
    frames, transducer = recognizer.encode(fox, language="fr-FR"), recognizer.pipeline.decoder.transducer
    emissions = tokens_of(transducer, frames, 4, 10)
    transcript = recognizer.transcribe(fox, language="fr-FR")
    assert [(e.token, e.frame) for e in emissions] == [(token.id, token.frame) for token in transcript.tokens]
    assert emissions
    found = search_path(transducer, frames, emissions)
    assert len(found.logs) == len(frames) + len(emissions)
    assert found.divergence(transducer, frames) == pytest.approx(0, abs=1e-9)
    small = found.divergence(transducer, frames * np.float32(1.01))
    large = found.divergence(transducer, frames * np.float32(1.1))
    assert 0 < small < large
    best = found.kept[np.arange(len(found.logs)), found.logs[:, :-1].argmax(axis=1)]
    assert sum(best != transducer.blank) >= len(emissions)


def test_bootstrap_of_a_difference() -> None:
    lengths = np.array([3.0, 5, 2, 8, 1, 4] * 5)
    baseline = np.array([0.0, 1, 0, 2, 1, 0] * 5)
    same = change(baseline, baseline, lengths, 1)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert same.is_noise
    # A mistake more in every word: no resampling can change the difference of the rates.
    more = change(baseline + lengths, baseline, lengths, 1)
    assert more.value == pytest.approx(1)
    assert more.low == pytest.approx(1)
    assert not more.is_noise
    errors = baseline + np.tile([1, 0, 0, -1, 1, 0], 5)
    found = change(errors, baseline, lengths, 1)
    generator, naive = np.random.default_rng(9), []
    for _ in range(4000):
        drawn = generator.integers(0, len(lengths), len(lengths))
        naive.append((errors - baseline)[drawn].sum() / lengths[drawn].sum())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(naive, (2.5, 97.5))), abs=0.01)
    assert found.value == pytest.approx((errors - baseline).sum() / lengths.sum())
    assert found == change(errors, baseline, lengths, 1)
    assert change(np.zeros(2), np.zeros(2), np.zeros(2), 0).value == 0


def made_up(errors: dict[str, float], everything: float, word_edits: Sequence[int]) -> Study:
    """A study of utterances with energy 1 each and these relative errors."""
    planned = [Variant("everything", "per-token", ALL)]
    planned += [Variant("alone", "per-token", frozenset([group])) for group in errors]
    study = Study("model", {}, 0, planned)
    for line in range(len(word_edits)):
        study.fp32.append(Fp32Result(line, "a.wav", "a b", "a b", (1, 2), 2, 3, 0, 0, 1.0, 4))
    for variant in planned:
        error = errors[variant.part] if variant.part else everything
        counts = word_edits if not variant.part else [0] * len(word_edits)
        rows = (Deviation(error**2, error**2, count, 2, count, count, None) for count in counts)
        study.outcomes[variant.key] = Outcome(variant, tuple(rows))
    return study


def test_the_conclusion_follows_the_figures() -> None:
    errors = dict.fromkeys(GROUPS, 0.0) | {"feed_forward": 0.04, "attention": 0.03}
    text = "\n".join(conclude(made_up(errors, 0.05, [0] * 20)))
    assert (
        "the largest part of the squared error of the encoder's frames comes from the feed-forward modules: 64 %"
        in text
    )
    assert "then attention 36 %. The groups add up to 100 % of the total, so these are shares" in text
    assert "WER 0.00 % -> 0.00 %, the same text in each of 20 utterances" in text
    text = "\n".join(conclude(made_up(errors, 0.02, [1] * 20)))
    assert "add up to 625 % of the total, so they interact: read this as a ranking" in text
    assert "+50.00 points (95 % interval +50.00 to +50.00): more than the noise" in text
    assert "within the noise of 20" in "\n".join(conclude(made_up(errors, 0.05, [1] + [0] * 19)))
    assert "there is no squared error of the encoder's frames" in "\n".join(conclude(made_up({"joint": 0.0}, 0, [0])))


def surveyed(edits: dict[str, Sequence[int]]) -> list[str]:
    """The conclusion of a survey of recipes with these token edits in utterances of two tokens."""
    planned = [Variant("recipes", recipe, ENCODER) for recipe in edits]
    study = Study("model", {}, 0, planned)
    for line in range(20):
        study.fp32.append(Fp32Result(line, "a.wav", "a b", "a b", (1, 2), 2, 3, 0, 0, 1.0, 4))
    for variant in planned:
        counts = edits[variant.recipe]
        words = (Kept(2 - count, 2, True, count == 0, 1.0, 0.5, 2 - count, 2) for count in counts)
        rows = (Deviation(0.01, 0.01, count, 2, count, count, kept) for count, kept in zip(counts, words, strict=True))
        study.outcomes[variant.key] = Outcome(variant, tuple(rows))
    return conclude(study)


def test_the_recipe_to_choose() -> None:
    few, many = [1] + [0] * 19, [1] * 10 + [0] * 10
    first, *others = surveyed({"two-term": few, DEFAULT_RECIPE: many})
    assert "is not the best one for this model. Choose `two-term`" in first
    assert "--recipe two-term" in first
    assert "2.50 % of the tokens differ from FP32's instead of 25.00 %" in first
    [words] = [sentence for sentence in others if sentence.startswith("Words kept")]
    assert f"the fewest with `{DEFAULT_RECIPE}`, 75.0 % of FP32's" in words
    assert "the last in 50 % of the utterances" in words
    assert "is right for this model" in surveyed({"two-term": few, DEFAULT_RECIPE: [0, 0, 1] + [0] * 17})[0]
    assert "no other recipe has fewer" in surveyed({"two-term": few, DEFAULT_RECIPE: [0, 2] + [0] * 18})[0]
    assert "is not possible for this model. Choose `two-term`" in surveyed({"two-term": few})[0]


def test_conclusions_name_what_convert_takes() -> None:
    """One scale per weight is measured for comparison, and `legato convert` has no such recipe."""
    none, all_wrong = [0] * 20, [2] * 20
    for edits in (none, all_wrong):  # all tokens are FP32's; all words are lost
        text = "\n".join(surveyed({"per-tensor": edits, "dynamic-per-tensor": none, "per-token": none}))
        named = set(re.findall("`([a-z0-9-]+)`", text))
        assert named >= {"dynamic-per-tensor", "per-token"}
        assert named <= CONVERT_RECIPES.keys()
        assert "with one scale per weight" in text


def test_tables_fit_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    study = made_up(dict.fromkeys(GROUPS, 0.04), 0.05, [0, 1] * 10)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_study(study, [])
    lines = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    [row] = [line for line in lines if line.startswith(" subsampling projection")]
    assert len(row.split()) == 2 + 4 + 4  # a difference with its interval has four words
    assert any(line.split() == ["error", "KL", "tokens", "words"] for line in lines)


def stopped(plan: Plan, after: int) -> None:
    """Interrupt a study in the middle of its `after`-th variant after FP32."""
    seen: list[str] = []

    def interrupt(what: str, done: int, total: int) -> None:
        if what not in [*seen, "FP32", "calibrating"]:
            seen.append(what)
        if len(seen) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        investigate(plan, interrupt)


def test_going_on_after_an_interruption(finished: tuple[Path, Result], tmp_path: Path) -> None:
    """The outcomes are those of a study that ran at once."""
    file, out = finished[0].parent / "manifest.jsonl", tmp_path / "out"

    def plan(**more: Any) -> Plan:
        values: dict[str, Any] = {"recipes": RECIPES[:1], "layers": (), "threads": 1, "resume": True}
        return Plan(MODEL, file, out, **(values | more))

    stopped(plan(), 4)
    assert [entry.name for entry in out.iterdir()] == ["study.json"]
    before = document(out)["variants"]
    assert len(before) == 3
    with pytest.raises(StudyError, match="exists already"):
        investigate(plan(resume=False))
    with pytest.raises(StudyError, match="another chunk size"):
        investigate(plan(chunk_ms=80))
    ran: set[str] = set()
    resumed = investigate(plan(), lambda what, done, total: ran.add(what))
    assert ran.isdisjoint(before)
    assert len(resumed.problems) == 7
    at_once = document(finished[0])["variants"]
    assert document(out)["variants"] == {variant.key: at_once[variant.key] for variant in resumed.planned}
    again: list[str] = []
    assert investigate(plan(), lambda what, done, total: again.append(what)).outcomes == resumed.outcomes
    assert again == []
    (out / "study.json").write_text("{}")
    with pytest.raises(StudyError, match="not a study that can be resumed"):
        investigate(plan())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe", "magic"], "no recipe 'magic'"),
        (["--recipe", "per-row", "--recipe", "magic"], "'per-row' is now called 'per-token'.*no recipe 'magic'"),
        (["--layers", "3"], "no layer 3.*layers 0 to 2"),
        (["--layers", "2-1"], "give layers such as"),
        (["--layers", "x"], "give layers such as"),
        (["--chunk-ms", "100"], "100 ms is impossible"),
        (["--limit", "0"], "give a number of at least 1"),
        (["--manifest", "missing.jsonl"], "no such manifest"),
        (["--calibration", "missing.jsonl"], "no such manifest"),
    ],
)
def test_what_cannot_be_studied(tmp_path: Path, options: list[str], words: str) -> None:
    out = tmp_path / "out"
    result = run(MODEL, "--manifest", write(tmp_path, FOX), "--output", out, *options)
    assert result.exit_code == 2
    message = " ".join(result.stderr.replace("│", " ").split())
    assert all(part in message for part in words.split(".*"))
    assert not out.exists()


@pytest.mark.parametrize("lines", [[""], ["{", {"text": "a"}], [FOX | {"lang": "xx-XX"}]])
def test_no_usable_recording(tmp_path: Path, lines: list[object]) -> None:
    out = tmp_path / "out"
    result = run(MODEL, "--manifest", write(tmp_path, *lines), "--output", out)
    assert result.exit_code == 2
    assert "no recording" in result.stderr
    assert all(f"line {n}: " in result.stderr for n, line in enumerate(lines, 1) if line)
    assert not out.exists()


def test_no_such_checkpoint(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "--manifest", write(tmp_path, FOX), "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "no such file or folder" in result.stderr


def test_parts_that_a_recipe_cannot_do(finished: tuple[Path, Result]) -> None:
    """The subsampling's projection has no whole blocks; the other groups are studied."""
    out, result = finished
    found = document(out)["variants"]
    assert "needs layers with a multiple of 32" in found["alone/weight-only/subsampling"]["impossible"]
    assert found["alone/weight-only/attention"]["figures"]["encoder_error"] > 0
    assert found["left/weight-only/subsampling"]["figures"]["encoder_error"] > 0
    assert "everything/weight-only: not possible" in result.stderr


def test_a_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.split(".")[0] == "rapidfuzz" or name.startswith("legato.lab.study")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    result = run(MODEL, "--manifest", write(tmp_path, FOX))
    assert result.exit_code == 2
    assert install_command("convert", "evaluate") in result.stderr
