"""Write when each clause of a poem is said, by the phones' helper head, for :mod:`training.small.aligned`.

    python -m training.small.place --data DATA --librivox FOLDER [--edition FOLDER] --model FOLDER --out FOLDER

For the recordings about which :mod:`training.small.hear` has written nothing, and in a small part of its time: a model
that writes no real French yet knows the sounds well enough to find a text that is known. Writes ``<recording>.json``:
a list of ``[start, end, clause]``.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from transformers import Nemotron3_5AsrForRNNT

from legato.runtime.features import LogMel, MelState
from training.common.alignment import letter_steps
from training.common.audio import SAMPLE_RATE, Audio
from training.common.learner import HELPERS
from training.common.model import forward_layers
from training.small.aligned import read_audio, readers
from training.small.batches import PARTS, PHONE_BLANK
from training.small.languages import plain
from training.small.phones import CLASSES, phones
from training.small.train import Helpers
from training.small.verse import Spelling, clauses, poem, titles

#: Outputs of the head per second, and how much later than the sound they come (median against Whisper's times).
RATE, LATE_START, LATE_END = PARTS * 12.5, 0.25, 0.13
#: The layer that the head listens to, right context in encoder frames, mel frames encoded at once and beyond each side.
LAYER, RIGHT, WINDOW, AROUND = 7, 13, 2400, 240
_SUBSAMPLING = 8


class PhoneScores:
    """Computes the scores of the phones over a recording."""

    def __init__(self, folder: Path) -> None:
        self._model = Nemotron3_5AsrForRNNT.from_pretrained(folder).eval()
        self._helpers = Helpers(self._model.config.encoder_config.hidden_size)
        self._helpers.load_state_dict(load_file(folder / HELPERS))
        self._front_end = LogMel()

    @torch.no_grad()
    def __call__(self, audio: Audio) -> npt.NDArray[np.float32]:
        """Return log-probabilities [RATE * seconds, phones and blank]."""
        audio = audio * np.float32(0.5 / (np.abs(audio).max() + 1e-6))
        mel = torch.from_numpy(self._front_end.accept(audio, MelState(), last=True)[0])
        found = []
        for start in range(0, len(mel), WINDOW):
            first, last = max(0, start - AROUND), min(len(mel), start + WINDOW + AROUND)
            layers, _ = forward_layers(self._model, mel[None, first:last], torch.tensor([last - first]), RIGHT)
            scores = self._helpers.scores(self._helpers.phones, layers[LAYER - 1])[0].numpy()
            skipped = PARTS * (start - first) // _SUBSAMPLING
            found.append(scores[skipped : skipped + PARTS * WINDOW // _SUBSAMPLING])
        return np.concatenate(found)


def place(
    scores: npt.NDArray[np.float32], before: Sequence[str], texts: Sequence[str]
) -> Iterator[tuple[float, float, str]]:
    """Yield start and end of each text in seconds; ``before`` is what is said before them."""
    spoken = [
        [CLASSES[phone] for phone in entry] for entry in phones([plain(text) for text in [*before, *texts]], "fr")
    ]
    # After the texts anything may be said: a class that is nearly as likely as the best ones everywhere.
    rest = np.partition(scores[:, :PHONE_BLANK], -3, axis=1)[:, -3:-2]
    labels = np.array([*(label for part in spoken for label in part), *[PHONE_BLANK + 1] * 3])
    steps = letter_steps(np.concatenate([scores, rest], axis=1), labels, PHONE_BLANK)
    if steps is None:
        return
    position = sum(map(len, spoken[: len(before)]))
    for text, part in zip(texts, spoken[len(before) :], strict=True):
        if part:
            first, last = steps[position], steps[position + len(part) - 1]
            position += len(part)
            start = float(first) / RATE - LATE_START
            yield start, max(start, float(last + 1) / RATE - LATE_END), text


def introduction(title: str, reader: str) -> list[str]:
    """Return what a reader says before a poem."""
    book = "Les fleurs du mal, de Charles Baudelaire,"
    return [f"{title}, de {book}", f"enregistré pour LibriVox point org par {reader}.",
            "Cet enregistrement fait partie du domaine public.", f"{title}."]  # fmt: skip


def main() -> None:
    """Write the missing files."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("data", "librivox", "model", "out"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--edition", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spelling = Spelling.read(arguments.data / "texts" / "fr.jsonl")
    index = arguments.librivox / "LibriVox_index.html"
    score = PhoneScores(arguments.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number, ((name, reader), title) in enumerate(zip(readers(index), titles(index), strict=True)):
        target = arguments.out / f"{name}.json"
        texts = clauses(poem(arguments.librivox, arguments.edition, number, title), spelling)
        recording = arguments.librivox / "audio" / f"{name}.mp3"
        if target.exists() or not texts or not recording.exists():
            continue
        audio = read_audio(recording)
        placed = list(place(score(audio), introduction(title, reader), texts))
        target.write_text(json.dumps(placed, ensure_ascii=False), encoding="utf-8")
        print(f"{name}: {len(placed)} clauses in {len(audio) / SAMPLE_RATE:.0f} s", flush=True)


if __name__ == "__main__":
    main()
