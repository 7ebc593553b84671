"""Batches: utterances of all languages and kinds, drawn, changed, and grouped by similar length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.small.augment import BANDS, SILENCE, Piece, color, pad, vary
from training.small.languages import ALPHABET, TAGS
from training.small.languages import letters as written_letters
from training.small.phones import CLASSES, PHONES
from training.small.shards import Record, Shards

KINDS = ("words", "sentences", "wide", "real", "numbers")
#: Classes of the helper heads; the last one is CTC's blank, and silence in the flat start.
LETTER_CLASSES = {letter: index for index, letter in enumerate(ALPHABET)}
LETTER_BLANK = len(ALPHABET)
PHONE_BLANK = len(PHONES)
FRAME = 8  # mel frames per encoder frame
PARTS = 3  # parts of an encoder frame that the helper heads tell apart
REAL_HOURS = 4.0  # of real speech in a language that are drawn as often as the stage says; less of it less often
POOL = 256  # utterances drawn at a time and sorted by length, and so many batches of the longest
BATCHES = 12


@dataclass(frozen=True)
class Utterance:
    """A training example: one sentence, several with pauses between them, or none."""

    piece: Piece
    language: str
    texts: tuple[str, ...]
    phones: tuple[str, ...]


@dataclass
class Target:
    """The target of one helper head; B utterances, T' encoder frames."""

    ids: Tensor  # [B, L]
    lengths: Tensor  # [B]
    guess: Tensor | None  # [B, PARTS * T']: the class in each part of a frame by the flat start, -100 past the end

    def to(self, device: torch.device) -> "Target":
        """Return the target on a device."""
        guess = None if self.guess is None else self.guess.to(device)
        return Target(self.ids.to(device), self.lengths.to(device), guess)


@dataclass
class Batch:
    """One batch; B utterances, T mel frames, U labels."""

    mel: Tensor  # [B, T, 128] float16
    frames: Tensor  # [B]
    labels: Tensor  # [B, U]
    label_lengths: Tensor  # [B]
    letters: Target
    phones: Target
    last_letters: list[list[int]]  # for each label the number of letters written with it
    languages: list[str]
    texts: list[str]

    def pin_memory(self) -> "Batch":
        """Return the batch with features that a GPU can copy by itself."""
        return replace(self, mel=self.mel.pin_memory())


@dataclass(frozen=True)
class Stage:
    """What is drawn until a step, and the weights of the losses; see config.toml."""

    until: int
    words: float
    real: float
    wide: float
    seconds: float
    batch_seconds: float
    joined: float  # share of utterances that two or three sentences with pauses between are made into
    silence: float  # share of utterances without speech
    augment: float
    flat: float  # the flat start of both helper heads
    ctc: float  # CTC of both helper heads
    transducer: float
    numbers: float = 0.0
    languages: tuple[str, ...] = tuple(TAGS)

    @classmethod
    def read(cls, entry: dict[str, Any]) -> "Stage":
        """Return the stage that a table of config.toml describes."""
        return cls(**entry | {"languages": tuple(entry.get("languages", TAGS))})

    def mix(self) -> tuple[float, ...]:
        """Return the shares of the kinds."""
        sentences = max(0.0, 1.0 - self.words - self.wide - self.real - self.numbers)
        return self.words, sentences, self.wide, self.real, self.numbers


def current(stages: Sequence[Stage], steps: int) -> Stage:
    """Return the stage that follows ``steps`` steps."""
    return next(stage for stage in stages if steps < stage.until)


def flat_start(piece: Piece, ids: Tensor, frames: int, silence: int) -> Tensor:
    """Return the class in each part of an encoder frame [PARTS * frames], as if all sounds were equally long.

    The target of frame q is the sound of the frame before it, which it has received completely. The guess is good
    enough for the first steps with short pieces.
    """
    centers = ((torch.arange(PARTS * frames) + 0.5) / PARTS - 1) * FRAME
    position = (centers - piece.onset) / max(1.0, piece.end - piece.onset) * len(ids)
    inside = (position >= 0) & (position < len(ids))
    return torch.where(inside, ids[position.long().clamp(0, len(ids) - 1)], silence)


def padded(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Return rows of labels as one tensor [B, at least 1], and their lengths [B]."""
    ids = torch.zeros(len(rows), max(1, *map(len, rows)), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
    return ids, torch.tensor([len(row) for row in rows])


def target(pieces: list[Piece], ids: list[list[int]], silence: int, guess: bool) -> Target:
    """Return the target of a head for the utterances of a batch."""
    guesses = None
    if guess:
        rows = []
        for piece, labels in zip(pieces, ids, strict=True):
            frames = len(piece.mel)
            for _ in range(3):  # each of three convolutions gives T // 2 + 1 frames
                frames = frames // 2 + 1
            rows.append(flat_start(piece, torch.tensor(labels), frames, silence))
        guesses = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
    return Target(*padded(ids), guesses)


class Collator:
    """Turns utterances into batches."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tags = {language: tokenizer.token_to_id(f"<{tag}>") for language, tag in TAGS.items()}

    def labels(self, utterance: Utterance) -> tuple[list[int], list[int]]:
        """Return pieces and a language tag for each sentence, and the number of letters written with each."""
        ids: list[int] = []
        letters: list[int] = []
        for text in utterance.texts:
            encoding = self._tokenizer.encode(text)
            before = letters[-1] if letters else 0
            counts = before + np.cumsum([len(written_letters(token)) for token in encoding.tokens])
            ids += [*encoding.ids, self._tags[utterance.language]]
            letters += [*counts.tolist(), int(counts[-1])]
        return ids, letters

    def __call__(self, members: list[Utterance], guess: bool) -> Batch:
        """Pad the utterances of one batch."""
        pieces = [member.piece for member in members]
        frames = torch.tensor([len(piece.mel) for piece in pieces])
        mel = torch.full((len(members), int(frames.max()), 128), SILENCE, dtype=torch.float16)
        for row, piece in enumerate(pieces):
            mel[row, : len(piece.mel)] = torch.from_numpy(piece.mel)
        labels, last_letters = zip(*(self.labels(member) for member in members), strict=True)
        letters = [[LETTER_CLASSES[letter] for letter in written_letters("".join(member.texts))] for member in members]
        phones = [[CLASSES[phone] for phone in member.phones] for member in members]
        return Batch(
            mel,
            frames,
            *padded(labels),
            target(pieces, letters, LETTER_BLANK, guess),
            target(pieces, phones, PHONE_BLANK, guess),
            list(last_letters),
            [member.language for member in members],
            [" ".join(member.texts) for member in members],
        )


class Sampler:
    """An endless stream of batches; every utterance of a language and kind is drawn before any comes again."""

    def __init__(self, folder: Path, weights: dict[str, float], tokenizer: Tokenizer, rng: np.random.Generator) -> None:
        self._rng = rng
        self._collate = Collator(tokenizer)
        self._weights = weights
        self._shards = {(language, kind): Shards(folder, language, kind) for language in TAGS for kind in KINDS}
        self._left: dict[tuple[str, str], list[int]] = {key: [] for key in self._shards}
        self._ready: list[list[Utterance]] = []
        self._drawn_in: Stage | None = None

    def state(self) -> Any:
        """Return what is left of each epoch."""
        return self._left

    def restore(self, state: Any) -> None:
        """Continue in the epochs of ``state``."""
        self._left.update(state)

    def next(self, stage: Stage) -> Batch:
        """Return the next batch of a stage."""
        if not self._ready or self._drawn_in != stage:
            self._pick_up()
            count = max(POOL, round(BATCHES * stage.batch_seconds / min(stage.seconds, 8.0)))
            pool = sorted((self._draw(stage) for _ in range(count)), key=lambda member: len(member.piece.mel))
            self._ready = list(pack(pool, round(stage.batch_seconds * 100)))
            self._rng.shuffle(self._ready)  # type: ignore[arg-type]
            self._drawn_in = stage
        return self._collate(self._ready.pop(), guess=stage.flat > 0)

    def _pick_up(self) -> None:
        """Add utterances that have been written since to what is left of the epochs."""
        for key, shards in self._shards.items():
            known = len(shards.records)
            shards.refresh()
            if known and len(shards.records) > known:
                self._left[key].extend(range(known, len(shards.records)))
                self._rng.shuffle(self._left[key])

    def _draw(self, stage: Stage) -> Utterance:
        weights = np.array([self._weights[language] for language in stage.languages])
        language = str(self._rng.choice(stage.languages, p=weights / weights.sum()))
        if self._rng.random() < stage.silence:
            mel = np.full((int(self._rng.integers(100, 500)), BANDS), SILENCE, np.float32)
            return Utterance(Piece(color(mel, self._rng, self._babble), 0, 0), language, (), ())
        record, piece = self._take(stage, language)
        texts, phones = [record.text], [*record.phones]
        if self._rng.random() < stage.joined:
            for _ in range(int(self._rng.integers(1, 3))):
                record, further = self._take(stage, language)
                if len(piece.mel) + len(further.mel) > 150 * stage.seconds:
                    break
                # The stored pieces start and end with silence, a third of a second in total.
                pause = int(self._rng.choice([self._rng.integers(0, 30), self._rng.integers(30, 200)]))
                piece = Piece(np.concatenate([pad(piece, 0, pause).mel, further.mel]), piece.onset, 0)
                texts.append(record.text)
                phones += record.phones
        return Utterance(vary(piece, self._rng, stage.augment, self._babble), language, tuple(texts), tuple(phones))

    def _babble(self, frames: int) -> npt.NDArray[np.float32]:
        """Return the power [frames, 128] of three to six people, each with a sentence of any language without end."""
        power = np.zeros((frames, BANDS), np.float32)
        spoken = [
            shards
            for (_, kind), shards in self._shards.items()
            if kind in ("sentences", "wide", "real") and shards.records
        ]
        for _ in range(int(self._rng.integers(3, 7))):
            shards = spoken[self._rng.integers(len(spoken))]
            mel = shards.mel(*shards.records[self._rng.integers(len(shards.records))])
            shift = self._rng.integers(len(mel))
            power += np.exp(mel[(np.arange(frames) + shift) % len(mel)])
        return power

    def _take(self, stage: Stage, language: str) -> tuple[Record, Piece]:
        """Return the next stored utterance of a language that is short enough."""
        while True:
            kind = str(self._rng.choice(KINDS, p=stage.mix()))
            if kind == "real" and self._rng.random() > self._shards[language, kind].hours() / REAL_HOURS:
                kind = "wide"
            if not self._shards[language, kind].records:
                others = ("words", *KINDS) if stage.words == 1.0 else ("sentences", *KINDS)
                kind = next(other for other in others if self._shards[language, other].records)
            shards, left = self._shards[language, kind], self._left[language, kind]
            if not left:
                left.extend(int(index) for index in self._rng.permutation(len(shards.records)))
            shard, record = shards.records[left.pop()]
            if record.frames <= stage.seconds * 100:
                return record, Piece(shards.mel(shard, record), record.onset, record.end)


def pack(members: list[Utterance], max_frames: int) -> Iterator[list[Utterance]]:
    """Yield groups of utterances, sorted by length, of at most ``max_frames`` frames with padding."""
    group: list[Utterance] = []
    for member in members:
        if group and (len(group) + 1) * len(member.piece.mel) > max_frames:
            yield group
            group = []
        group.append(member)
    if group:
        yield group


def whole(folder: Path, language: str, kind: str, tokenizer: Tokenizer, count: slice) -> Iterator[Batch]:
    """Yield the utterances ``count`` of a language and kind as they are, for evaluation."""
    shards = Shards(folder, language, kind)
    members = [
        Utterance(Piece(shards.mel(shard, record), 0, 0), language, (record.text,), record.phones)
        for shard, record in shards.records[count]
    ]
    members.sort(key=lambda member: len(member.piece.mel))
    for group in pack(members, 8000):
        yield Collator(tokenizer)(group, guess=False)
