"""Train the model until a given time of day, by a schedule in wall-clock time.

    python -m training.numbers.train --data DATA --minutes 85

Writes ``checkpoints/step-N`` (ordinary model folders, averaged weights), the link
``checkpoints/latest``, and ``state.pt``, from which the same command goes on after a stop.
"""

import argparse
import json
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Nemotron3_5AsrForRNNT

from training.common.decode import greedy, split_tags, word_errors
from training.common.histories import Histories
from training.common.learner import Learner, save_model, save_whole
from training.common.losses import transducer_loss
from training.common.model import MEL_MEAN, build_config, forward_features, initialize
from training.numbers.features import WORD_CLASSES
from training.numbers.shards import IGNORE, Batch, Shards, mask_bands
from training.numbers.words import LANGUAGES

KINDS = ("short", "words", "joined", "phrases", "long", "compounds", "chains")


@dataclass(frozen=True)
class Stage:
    """What is drawn up to a step, and the weights of the losses."""

    until: float
    mix: tuple[float, ...]  # of KINDS
    frame_weight: float
    ctc_weight: float
    transducer_weight: float
    auto_prompt: float  # share of utterances prompted with `auto`


# Isolated words first: with known boundaries they are plain classification of frames. The
# transducer comes in once words are known; before, its loss is only noise in the gradient.
CURRICULUM = (
    Stage(1000, (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0.1, 0.0, 0.0),
    Stage(2500, (0.4, 0.3, 0.2, 0.1, 0.0, 0.0, 0.0), 1.0, 0.3, 0.2, 0.3),
    Stage(5000, (0.1, 0.2, 0.35, 0.35, 0.0, 0.0, 0.0), 0.5, 0.3, 1.0, 0.5),
    Stage(8000, (0.05, 0.1, 0.3, 0.4, 0.1, 0.05, 0.0), 0.2, 0.2, 1.0, 0.5),
    Stage(float("inf"), (0.02, 0.06, 0.10, 0.30, 0.16, 0.10, 0.26), 0.1, 0.1, 1.0, 0.5),
)


class Helpers(nn.Module):
    """Heads that exist only in training: word class of each frame, and CTC over the tokens."""

    def __init__(self, size: int, vocab_size: int) -> None:
        super().__init__()
        self.frame = nn.Linear(size, len(WORD_CLASSES) + 1)
        self.ctc = nn.Linear(size, vocab_size)


class Trainer:
    """Model, helpers, optimizer, averaged weights and data, with saving and restoring."""

    def __init__(self, data: Path, configuration: dict[str, Any], seconds: float) -> None:
        self.data = data
        self.settings = configuration["train"]
        self.seconds = seconds
        self.spent = 0.0
        self.audio_frames = 0
        self.rng = np.random.default_rng(self.settings["seed"])
        torch.manual_seed(self.settings["seed"])
        self.tokenizer = Tokenizer.from_file(str(data / "tokenizer" / "tokenizer.json"))
        prompts = json.loads((data / "tokenizer" / "processor_config.json").read_text())["prompt_dictionary"]
        self.auto = int(prompts["auto"])
        self.slots = {language: int(prompts[tag]) for language, tag in LANGUAGES.items()}
        vocab_size = self.tokenizer.get_vocab_size()
        self.model = Nemotron3_5AsrForRNNT(build_config(configuration["model"], vocab_size))
        self.blank = vocab_size - 1
        self.helpers = Helpers(configuration["model"]["hidden_size"], vocab_size)
        self.learner = Learner(self.model, self.helpers, self.settings)
        self.histories = Histories(self.blank, self.rng)
        self.state_path = data / "checkpoints" / "state.pt"
        self.state_path.parent.mkdir(parents=True, exist_ok=True)
        self.shards = {kind: Shards(data / "features", kind) for kind in KINDS}
        if self.state_path.exists():
            self.restore()
        else:
            sample = next(self.shards["short"].batches(60000, self.rng))
            initialize(self.model, self.settings["residual_scale"], sample.mel, sample.frames)
            self.learner.reset_average()
        self.streams = {
            kind: shards.endless(self.settings["batch_frames"], self.rng) for kind, shards in self.shards.items()
        }

    def restore(self) -> None:
        """Go on from ``state.pt``."""
        state = torch.load(self.state_path, weights_only=False)
        self.learner.restore(state)
        self.spent, self.audio_frames = state["spent"], state["audio_frames"]
        self.rng.bit_generator.state = state["rng"]

    def save_state(self) -> None:
        """Write ``state.pt`` in one move."""
        state = {"spent": self.spent, "audio_frames": self.audio_frames, "rng": self.rng.bit_generator.state}
        save_whole(self.state_path, self.learner.state() | state)

    def stage(self) -> Stage:
        """Return the stage of the curriculum of this step."""
        return next(stage for stage in CURRICULUM if self.learner.steps < stage.until)

    def learning_rate(self) -> float:
        """Warm up by steps, hold, and decay linearly to zero over the last part of the time."""
        warm = min(1.0, (self.learner.steps + 1) / self.settings["warmup_steps"])
        left = max(0.0, 1.0 - self.spent / self.seconds)
        return float(self.settings["peak_lr"] * warm * min(1.0, left / self.settings["decay_fraction"]))

    def prompt(self, language: str, auto: float) -> int:
        """Return the slot of a language, or `auto` for a share of them and for mixed languages."""
        if language not in self.slots or self.rng.random() < auto:
            return self.auto
        return self.slots[language]

    def losses(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        """Return the transducer, CTC and frame losses of a batch, per token or frame."""
        prompts = torch.tensor([self.prompt(language, stage.auto_prompt) for language in batch.languages])
        right = int(self.rng.choice(self.settings["right_contexts"]))
        features, frames = forward_features(self.model, batch.mel, batch.frames, prompts, right)
        tokens = max(1, int(batch.label_lengths.sum()))
        losses = {}
        if stage.transducer_weight:
            encoded = self.model.encoder_projector(features)
            predicted = self.histories.predict(self.model, batch.labels, batch.label_lengths)
            logits = self.model.joint(predicted[:, None], encoded[:, :, None])
            loss = transducer_loss(logits, batch.labels, frames, batch.label_lengths, self.blank)
            losses["rnnt"] = stage.transducer_weight * loss.sum() / tokens
        log_probabilities = self.helpers.ctc(features).log_softmax(-1).transpose(0, 1)
        ctc = F.ctc_loss(
            log_probabilities,
            batch.labels,
            frames,
            batch.label_lengths,
            blank=self.blank,
            reduction="sum",
            zero_infinity=True,
        )
        losses["ctc"] = stage.ctc_weight * ctc / tokens
        classes = batch.classes[:, : features.shape[1]]
        if bool((classes != IGNORE).any()):
            scores = self.helpers.frame(features).flatten(0, 1)
            losses["frame"] = stage.frame_weight * F.cross_entropy(scores, classes.flatten(), ignore_index=IGNORE)
        return losses

    def train_step(self) -> dict[str, float]:
        """Draw a batch, take a step, move the averaged weights; return the losses."""
        stage = self.stage()
        kind = str(self.rng.choice(KINDS, p=stage.mix))
        batch = next(self.streams[kind])
        if kind != "short":
            mask_bands(batch, self.rng, floor=MEL_MEAN)
        losses = self.losses(batch, stage)
        self.learner.step(torch.stack(list(losses.values())).sum(), self.learning_rate())
        self.audio_frames += int(batch.frames.sum())
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return WER % on the dev set at right context 3, by language; every second batch with `auto`."""
        errors: dict[str, int] = {}
        totals: dict[str, int] = {}
        shards = Shards(self.data / "features", "dev")
        for index, batch in enumerate(shards.batches(6000, np.random.default_rng(0), pool=10**6)):
            slots = [self.auto if index % 2 else self.slots[language] for language in batch.languages]
            features, frames = forward_features(self.model, batch.mel, batch.frames, torch.tensor(slots), 3)
            for ids, text, language in zip(
                greedy(self.model, features, frames), batch.texts, batch.languages, strict=True
            ):
                hypothesis, _ = split_tags(self.tokenizer.decode(ids, skip_special_tokens=False))
                for name in (language, "all"):
                    errors[name] = errors.get(name, 0) + word_errors(text, hypothesis)
                    totals[name] = totals.get(name, 0) + len(text.split())
        return {name: round(100 * errors[name] / totals[name], 1) for name in sorted(totals)}

    def save_model(self) -> Path:
        """Write the model folder ``step-N`` and point ``latest`` at it."""
        folder = self.state_path.parent / f"step-{self.learner.steps}"
        save_model(folder, self.model, self.data / "tokenizer", self.blank)
        link = folder.with_name("latest.part")
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(folder.with_name("latest"))
        return folder

    def checkpoint(self) -> None:
        """Evaluate and save the averaged weights, and the state."""
        self.save_state()
        with self.learner.averaged():
            result = self.evaluate()
            folder = self.save_model()
        (folder / "dev.json").write_text(json.dumps(result))
        hours = self.audio_frames / 360000
        print(
            f"step {self.learner.steps} {self.spent / 60:.1f} min {hours:.1f} h of audio, dev WER {result}", flush=True
        )

    def run(self) -> None:
        """Train until the time is spent."""
        sums: dict[str, list[float]] = {}
        evaluated = self.spent
        while self.spent < self.seconds:
            begin = time.monotonic()
            for name, value in self.train_step().items():
                sums.setdefault(name, []).append(value)
            self.spent += time.monotonic() - begin
            if self.learner.steps % 100 == 0:
                report = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sums.items())
                rate = self.learning_rate()
                print(f"{time.strftime('%H:%M:%S')} step {self.learner.steps} lr {rate:.2e} {report}", flush=True)
                sums.clear()
            if self.spent - evaluated > self.settings["evaluate_every_s"]:
                self.checkpoint()
                evaluated = self.spent
        self.checkpoint()


def main() -> None:
    """Train on one thread: at this size a second thread mostly waits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    configuration = tomllib.loads(arguments.config.read_text())
    Trainer(arguments.data, configuration, arguments.minutes * 60).run()


if __name__ == "__main__":
    main()
