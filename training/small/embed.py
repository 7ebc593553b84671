"""Put the trained model and clips of held-out sentences where the repository keeps them.

    python -m training.small.embed --data DATA

Writes ``training/small/model`` (the checkpoint with weights in FP16), ``src/legato/assets/samples`` (a sentence per
language), ``src/legato/assets/embedded`` (the INT8 bundle, calibrated on the samples) and ``tests/data/speech`` (clips
of the test part). A sample shows what the model can do: of 60 held-out sentences the longest of those with the fewest
errors. Test clips are chosen only by their position and length.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import legato
from legato.convert import convert
from training.common.learner import HELPERS
from training.small.clips import read_clips
from training.small.languages import TAGS
from training.small.parts import TEST_PARTS
from training.small.scoring import letter_errors

ROOT = Path(__file__).parents[2]
MODEL = Path(__file__).with_name("model")
ASSETS = ROOT / "src" / "legato" / "assets"
SPEECH = ROOT / "tests" / "data" / "speech"
#: Seconds of a sample, and of a test clip.
SECONDS = (1.8, 4.0)
TEST_CLIPS = 3
#: The held-out sentences that samples are chosen from.
SHOWN = slice(0, 60)
#: The first words of headlines that nobody wants to hear first.
NOT_SHOWN = ("दिल्ली फिर शर्मसार",)

Entry = dict[str, Any]


def fitting(folder: Path, language: str, chosen: slice) -> Iterator[tuple[Path, Entry]]:
    """Yield the chosen clips of a language that are neither short nor long, one per text."""
    texts: set[str] = set()
    for entry in read_clips(folder, language)[chosen]:
        if SECONDS[0] <= entry["duration"] <= SECONDS[1] and entry["text"] not in texts:
            texts.add(entry["text"])
            yield folder / entry["audio_filepath"], entry


def halve(checkpoint: Path, target: Path) -> None:
    """Copy a model folder with its weights in FP16."""
    shutil.copytree(checkpoint, target, dirs_exist_ok=True)
    for name in ("model.safetensors", HELPERS):
        weights = {key: value.half().contiguous() for key, value in load_file(checkpoint / name).items()}
        assert all(bool(torch.isfinite(value).all()) for value in weights.values())
        save_file(weights, target / name, metadata={"format": "pt"})
        (target / name).chmod(0o644)


def errors(recognizer: legato.Recognizer, path: Path, entry: Entry, language: str) -> int:
    """Return the wrong letters and wrong or missing tags, with the language given and found together."""
    wrong = 0
    for name in (language, "auto"):
        transcript = recognizer.transcribe(path, language=name)
        wrong += letter_errors(entry["text"], transcript.text).wrong + (transcript.language != TAGS[language])
    return wrong


def write_samples(recognizer: legato.Recognizer, held_out: Path, target: Path) -> None:
    """Copy a held-out sentence of each language, and write its text."""
    target.mkdir(parents=True, exist_ok=True)
    texts = {}
    for language in TAGS:
        found = [clip for clip in fitting(held_out, language, SHOWN) if not clip[1]["text"].startswith(NOT_SHOWN)]
        path, entry = min(found, key=lambda clip: (errors(recognizer, *clip, language), -clip[1]["duration"]))
        shutil.copyfile(path, target / f"{language}.flac")
        texts[f"{language}.flac"] = entry["text"]
    (target / "samples.json").write_text(json.dumps(texts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_test_clips(data: Path, target: Path) -> None:
    """Copy a few clips of each language's test part, synthesized and real, with one manifest."""
    target.mkdir(parents=True, exist_ok=True)
    lines = []
    for kind, language, chosen, part in TEST_PARTS:
        found = islice(fitting(data / kind, language, chosen), TEST_CLIPS)
        for number, (path, entry) in enumerate(found, start=1):
            name = f"{language}-{part}-{number}.flac"
            shutil.copyfile(path, target / name)
            lines.append(json.dumps(entry | {"audio_filepath": name}, ensure_ascii=False) + "\n")
    (target / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Write everything, and replace earlier results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    for folder in (MODEL, ASSETS / "embedded", SPEECH):  # not the samples: a conversion is checked on them
        shutil.rmtree(folder, ignore_errors=True)
    halve(data / "checkpoints" / "model", MODEL)
    with tempfile.TemporaryDirectory() as folder:
        convert(MODEL, Path(folder) / "fp32", precision="fp32")
        write_samples(legato.load(Path(folder) / "fp32"), data / "held-out", ASSETS / "samples")
    write_test_clips(data, SPEECH)
    convert(MODEL, ASSETS / "embedded", precision="int8")
    (ASSETS / "embedded" / "README.md").unlink()  # the card of the package is beside the folder


if __name__ == "__main__":
    main()
