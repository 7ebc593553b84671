"""Draws utterances of all languages and kinds, changes them, and packs those of like length into batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from recipes.small.augment import SILENCE, Piece, vary
from recipes.small.languages import ALPHABET, TAGS
from recipes.small.shards import Record, Shards

KINDS = ("words", "sentences", "wide", "real")
#: Class of a letter in the flat start; class 0 is silence.
LETTER_CLASSES = {letter: index for index, letter in enumerate(ALPHABET, start=1)}
FRAME = 8  # mel frames per encoder frame
POOL = 256  # utterances drawn at a time and sorted by length


@dataclass
class Batch:
    """One batch; B utterances, T mel frames, U labels, T' encoder frames."""

    mel: Tensor  # [B, T, 128] float32
    frames: Tensor  # [B]
    labels: Tensor  # [B, U]
    label_lengths: Tensor  # [B]
    letters: Tensor | None  # [B, T', classes]: the flat start's distribution, zeros past the end
    languages: list[str]
    texts: list[str]


@dataclass(frozen=True)
class Stage:
    """What is drawn up to a step, and the weights of the losses; see config.toml."""

    until: int
    words: float
    real: float
    wide: float
    seconds: float
    batch_seconds: float
    augment: float
    letters: float
    ctc: float
    transducer: float
    grids: float  # share of the utterances of a batch that the transducer loss is computed for
    languages: tuple[str, ...] = tuple(TAGS)

    @classmethod
    def read(cls, entry: dict[str, Any]) -> "Stage":
        """Return the stage that a table of config.toml describes."""
        return cls(**entry | {"languages": tuple(entry.get("languages", TAGS))})

    def mix(self) -> tuple[float, ...]:
        """Return the shares of the kinds."""
        return self.words, 1.0 - self.words - self.real - self.wide, self.wide, self.real


def flat_start(piece: Piece, text: str, frames: int) -> Tensor:
    """Return which letter is heard in each encoder frame [frames, classes], as if all letters were as long.

    Frame q has heard the sound up to about mel frame 8 q; a letter is expected one frame later.
    The guess is blurred by a letter, and is good enough for the first steps with short pieces.
    """
    target = torch.zeros(frames, len(LETTER_CLASSES) + 1)
    letters = [LETTER_CLASSES[letter] for letter in text if letter != " "]
    centres = (torch.arange(frames) - 0.5) * FRAME
    position = (centres - piece.onset) / max(1.0, piece.end - piece.onset) * len(letters)
    distance = position[:, None] - (torch.arange(len(letters)) + 0.5)
    weights = torch.softmax(-0.5 * distance.square(), dim=1)
    inside = (position > -0.5) & (position < len(letters) + 0.5)
    target.index_add_(1, torch.tensor(letters), weights * inside[:, None])
    target[~inside, 0] = 1.0
    return target


class Collator:
    """Turns utterances into batches."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tags = {language: tokenizer.token_to_id(f"<{tag}>") for language, tag in TAGS.items()}

    def tokens(self, record: Record) -> list[int]:
        """Return the pieces of the text and the language tag."""
        return [*self._tokenizer.encode(record.text).ids, self._tags[record.language]]

    def __call__(self, members: list[tuple[Record, Piece]], letters: bool) -> Batch:
        """Pad the utterances of one batch."""
        frames = torch.tensor([len(piece.mel) for _, piece in members])
        labels = [torch.tensor(self.tokens(record)) for record, _ in members]
        mel = torch.full((len(members), int(frames.max()), 128), SILENCE)
        for row, (_, piece) in enumerate(members):
            mel[row, : len(piece.mel)] = torch.from_numpy(piece.mel)
        targets = None
        if letters:
            # Each of three convolutions gives T // 2 + 1 frames.
            counts = [int(count // 2 + 1) // 2 + 1 for count in frames.tolist()]
            guesses = [
                flat_start(piece, record.text, count // 2 + 1)
                for (record, piece), count in zip(members, counts, strict=True)
            ]
            targets = torch.nn.utils.rnn.pad_sequence(guesses, batch_first=True)
        return Batch(
            mel,
            frames,
            torch.nn.utils.rnn.pad_sequence(labels, batch_first=True),
            torch.tensor([len(label) for label in labels]),
            targets,
            [record.language for record, _ in members],
            [record.text for record, _ in members],
        )


class Sampler:
    """An endless stream of batches; every utterance of a language and kind is drawn before any comes again."""

    def __init__(self, folder: Path, weights: dict[str, float], tokenizer: Tokenizer, rng: np.random.Generator) -> None:
        self._rng = rng
        self._collate = Collator(tokenizer)
        self._weights = weights
        self._shards = {(language, kind): Shards(folder, language, kind) for language in TAGS for kind in KINDS}
        self._left: dict[tuple[str, str], list[int]] = {key: [] for key in self._shards}
        self._ready: list[list[tuple[Record, Piece]]] = []
        self._drawn_in: Stage | None = None

    def state(self) -> Any:
        """Return what is left of each epoch."""
        return self._left

    def restore(self, state: Any) -> None:
        """Go on in the epochs of ``state``."""
        self._left.update(state)

    def next(self, stage: Stage) -> Batch:
        """Return the next batch of a stage."""
        if not self._ready or self._drawn_in != stage:
            pool = sorted((self._draw(stage) for _ in range(POOL)), key=lambda member: len(member[1].mel))
            self._ready = list(pack(pool, round(stage.batch_seconds * 100)))
            self._rng.shuffle(self._ready)  # type: ignore[arg-type]
            self._drawn_in = stage
        return self._collate(self._ready.pop(), letters=stage.letters > 0)

    def _draw(self, stage: Stage) -> tuple[Record, Piece]:
        weights = np.array([self._weights[language] for language in stage.languages])
        while True:
            language = str(self._rng.choice(stage.languages, p=weights / weights.sum()))
            kind = str(self._rng.choice(KINDS, p=stage.mix()))
            if not self._shards[language, kind].records:
                kind = "words" if stage.words == 1.0 else "sentences"
            shards, left = self._shards[language, kind], self._left[language, kind]
            if not left:
                shards.refresh()
                left.extend(int(index) for index in self._rng.permutation(len(shards.records)))
            shard, record = shards.records[left.pop()]
            if record.frames <= stage.seconds * 100:
                piece = Piece(shards.mel(shard, record), record.onset, record.end)
                return record, vary(piece, self._rng, stage.augment)


def pack(members: list[tuple[Record, Piece]], max_frames: int) -> Iterator[list[tuple[Record, Piece]]]:
    """Yield groups of utterances, sorted by length, of at most ``max_frames`` frames with padding."""
    group: list[tuple[Record, Piece]] = []
    for member in members:
        if group and (len(group) + 1) * len(member[1].mel) > max_frames:
            yield group
            group = []
        group.append(member)
    if group:
        yield group


def whole(folder: Path, language: str, kind: str, tokenizer: Tokenizer, count: slice) -> Iterator[Batch]:
    """Yield the utterances ``count`` of a language and kind as they are, for evaluation."""
    shards = Shards(folder, language, kind)
    members = [(record, Piece(shards.mel(shard, record), 0, 0)) for shard, record in shards.records[count]]
    members.sort(key=lambda member: len(member[1].mel))
    for group in pack(members, 8000):
        yield Collator(tokenizer)(group, letters=False)
