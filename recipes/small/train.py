"""Train the model until a given time of day.

    python -m recipes.small.train --data DATA --until 2026-01-31T18:00 [--workers 2]

Workers are processes that train the same weights, one thread each. Every few minutes, and at SIGTERM,
the first writes ``checkpoints/state.pt``, from which the same command goes on after a stop, and
``checkpoints/model`` (an ordinary model folder, averaged weights). In the last minutes the learning
rate falls to zero; ``checkpoints/state-before-decay.pt`` holds what was before, and is what a longer
training should go on from (copy it over ``state.pt``).
"""

import argparse
import json
import os
import signal
import time
import tomllib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Nemotron3_5AsrForRNNT

from recipes.common.decode import greedy
from recipes.common.histories import Histories
from recipes.common.learner import Learner, save_model, save_whole
from recipes.common.losses import transducer_loss
from recipes.common.model import build_config, forward_features, initialise
from recipes.small.batches import LETTER_CLASSES, Batch, Sampler, Stage, whole
from recipes.small.languages import TAGS
from recipes.small.scoring import Score, letter_errors

#: Held-out sentences of each language that the training is watched with; the later ones are for the test.
WATCHED = slice(0, 16)


class Helpers(nn.Module):
    """Heads that exist only in training: letters of the flat start, and CTC over the tokens."""

    def __init__(self, size: int, vocab_size: int) -> None:
        super().__init__()
        self.letters = nn.Linear(size, len(LETTER_CLASSES) + 1)
        self.ctc = nn.Linear(size, vocab_size)


class Trainer:
    """The learner, its data, its schedule and its log."""

    def __init__(self, data: Path, configuration: dict[str, Any], until: float, worker: int = 0) -> None:
        self.data = data
        self.until = until
        self.stopping = False
        self.settings = configuration["train"]
        self.stages = [Stage.read(entry) for entry in self.settings["stages"]]
        self.rng = np.random.default_rng(self.settings["seed"])
        torch.manual_seed(self.settings["seed"])
        self.audio_frames = torch.zeros((), dtype=torch.long).share_memory_()  # of all workers
        self.seconds = 0.0  # of computing, of the first worker
        self.tokenizer = Tokenizer.from_file(str(data / "tokenizer" / "tokenizer.json"))
        prompts = json.loads((data / "tokenizer" / "processor_config.json").read_text())["prompt_dictionary"]
        self.auto = int(prompts["auto"])
        self.slots = {language: int(prompts[tag]) for language, tag in TAGS.items()}
        vocab_size = self.tokenizer.get_vocab_size()
        self.blank = vocab_size - 1
        model = Nemotron3_5AsrForRNNT(build_config(configuration["model"], vocab_size))
        helpers = Helpers(configuration["model"]["hidden_size"], vocab_size)
        self.learner = Learner(model, helpers, self.settings)
        self.histories = Histories(self.blank, self.rng)
        self.sampler = Sampler(data / "features", self.settings["language_weights"], self.tokenizer, self.rng)
        self.folder = data / "checkpoints"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state_path = self.folder / "state.pt"
        if self.state_path.exists():
            self.restore()
        else:
            sample = self.sampler.next(replace(self.stage(), batch_seconds=300.0))
            initialise(model, self.settings["residual_scale"], sample.mel, sample.frames)
            self.learner.reset_average()
        if worker:  # what it draws is its own
            self.rng.bit_generator.state = np.random.default_rng([worker, self.learner.steps]).bit_generator.state

    def share(self) -> tuple[Tensor, nn.Module, nn.Module, Tensor]:
        """Return what :meth:`train_along` takes."""
        return self.audio_frames, *self.learner.share()

    def train_along(self, audio_frames: Tensor, model: nn.Module, helpers: nn.Module, steps: Tensor) -> None:
        """Train the weights of another process until the time has come, or that process ends."""
        self.audio_frames = audio_frames
        self.learner.adopt(model, helpers, steps)
        parent = os.getppid()
        while time.time() < self.until and os.getppid() == parent:
            self.train_step()

    def restore(self) -> None:
        """Go on from ``state.pt``."""
        state = torch.load(self.state_path, weights_only=False)
        self.learner.restore(state["learner"])
        self.sampler.restore(state["sampler"])
        self.rng.bit_generator.state = state["rng"]
        self.audio_frames.fill_(state["audio_frames"])
        self.seconds = state["seconds"]
        print(f"going on from step {self.learner.steps}", flush=True)

    def save_state(self, path: Path) -> None:
        """Write all that :meth:`restore` needs."""
        state = {
            "learner": self.learner.state(),
            "sampler": self.sampler.state(),
            "rng": self.rng.bit_generator.state,
            "audio_frames": int(self.audio_frames),
            "seconds": self.seconds,
        }
        save_whole(path, state)

    def stage(self) -> Stage:
        """Return the stage of the present step."""
        return next(stage for stage in self.stages if self.learner.steps < stage.until)

    def decay(self) -> float:
        """Return the factor of the learning rate: 1, and falling to 0 before the end."""
        return min(1.0, max(0.0, (self.until - time.time()) / 60 / self.settings["decay_minutes"]))

    def rate(self) -> float:
        """Return the learning rate."""
        warm = min(1.0, (self.learner.steps + 1) / self.settings["warmup_steps"])
        return float(self.settings["peak_lr"] * warm * self.decay())

    def losses(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        """Return the weighted losses of a batch, per token or per frame."""
        model, helpers = self.learner.model, self.learner.helpers
        auto = self.rng.random(len(batch.languages)) < self.settings["auto_prompt"]
        slots = [self.auto if hidden else self.slots[name] for hidden, name in zip(auto, batch.languages, strict=True)]
        right = int(self.rng.choice(self.settings["right_contexts"]))
        features, frames = forward_features(model, batch.mel, batch.frames, torch.tensor(slots), right)
        tokens = int(batch.label_lengths.sum())
        losses = {}
        if stage.transducer:
            # Its grid costs more than the encoder: only some rows have one, and the others CTC alone.
            rows = torch.from_numpy(self.rng.permutation(len(batch.texts))[: self.grids(batch, stage)])
            lengths, valid = batch.label_lengths[rows], frames[rows]
            labels = batch.labels[rows, : int(lengths.max())]
            predicted = self.histories.predict(model, labels, lengths)
            encoded = model.encoder_projector(features[rows, : int(valid.max())])
            logits = model.joint(predicted[:, None], encoded[:, :, None])
            loss = transducer_loss(logits, labels, valid, lengths, self.blank)
            losses["rnnt"] = stage.transducer * loss.sum() / lengths.sum()
        if stage.ctc:
            scores = helpers.ctc(features).log_softmax(-1).transpose(0, 1)
            ctc = F.ctc_loss(
                scores, batch.labels, frames, batch.label_lengths, self.blank, reduction="sum", zero_infinity=True
            )
            losses["ctc"] = stage.ctc * ctc / tokens
        if batch.letters is not None:
            guess = batch.letters[:, : features.shape[1]]
            logs = helpers.letters(features)[:, : guess.shape[1]].log_softmax(-1)
            losses["letters"] = -stage.letters * (guess * logs).sum() / guess.sum()
        return losses

    def grids(self, batch: Batch, stage: Stage) -> int:
        """Return how many rows of a batch are trained with the transducer loss: at least one."""
        return max(1, round(stage.grids * len(batch.texts)))

    def train_step(self) -> dict[str, float]:
        """Take one step; return the losses without their weights."""
        stage = self.stage()
        batch = self.sampler.next(stage)
        losses = self.losses(batch, stage)
        self.learner.step(torch.stack(list(losses.values())).sum(), self.rate())
        self.audio_frames += batch.frames.sum()
        weights = {"rnnt": stage.transducer, "ctc": stage.ctc, "letters": stage.letters}
        return {name: float(value.detach()) / weights[name] for name, value in losses.items()}

    @torch.no_grad()
    def watch(self) -> dict[str, float]:
        """Return the CER % at right context 3 over the watched sentences; an example of each is printed."""
        result: dict[str, float] = {}
        with self.learner.averaged() as model:
            for language, kind in [*((name, "held-out") for name in TAGS), ("en", "real-dev"), ("de", "real-dev")]:
                score = Score()
                for batch in whole(self.data / "features", language, kind, self.tokenizer, WATCHED):
                    prompts = torch.full((len(batch.texts),), self.slots[language])
                    features, frames = forward_features(model, batch.mel, batch.frames, prompts, 3)
                    written = (
                        greedy(model, features, frames) if self.stage().transducer else self.spell(features, frames)
                    )
                    for ids, text in zip(written, batch.texts, strict=True):
                        hypothesis = self.tokenizer.decode(ids, skip_special_tokens=False)
                        score.add(letter_errors(text, hypothesis))
                if score.letters:
                    name = language if kind == "held-out" else f"{language} real"
                    result[name] = round(score.rate, 1)
                    print(f"    {name}: {text} | {hypothesis[:120]}", flush=True)
        return result

    def spell(self, features: Tensor, frames: Tensor) -> list[list[int]]:
        """Return the tokens of each utterance by the CTC head, as long as the transducer is not trained."""
        best = self.learner.helpers.ctc(features).argmax(dim=-1)
        rows = [torch.unique_consecutive(row[:count]).tolist() for row, count in zip(best, frames, strict=True)]
        return [[token for token in row if token != self.blank] for row in rows]

    def report(self) -> None:
        """Evaluate, print, and append to ``log.jsonl``."""
        entry = {
            "time": datetime.now().isoformat(timespec="seconds"),
            "step": self.learner.steps,
            "cpu_minutes": round(self.seconds / 60, 1),
            "audio_hours": round(int(self.audio_frames) / 360000, 1),
            "cer": self.watch(),
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)

    def save(self) -> None:
        """Write the state and the averaged model."""
        if self.decay() == 1.0:
            self.save_state(self.folder / "state-before-decay.pt")
        self.save_state(self.state_path)
        with self.learner.averaged() as model:
            save_model(self.folder / "model", model, self.data / "tokenizer", self.blank)

    def run(self) -> None:
        """Train until the time has come."""
        sums: dict[str, list[float]] = {}
        saved = began = time.time()
        reported = self.seconds
        first = self.learner.steps
        while time.time() < self.until and not self.stopping:
            before = time.process_time()
            for name, value in self.train_step().items():
                sums.setdefault(name, []).append(value)
            self.seconds += time.process_time() - before
            if self.learner.steps >= first + 100:
                means = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sums.items())
                speed = (self.learner.steps - first) / (time.time() - began)
                first = self.learner.steps
                print(f"{datetime.now():%H:%M:%S} step {self.learner.steps} {speed:.1f}/s {means}", flush=True)
                sums.clear()
                began = time.time()
            if time.time() - saved > self.settings["save_minutes"] * 60:
                self.save()
                saved = time.time()
            if self.seconds - reported > self.settings["evaluate_minutes"] * 60:
                self.report()
                reported = self.seconds
        self.save()
        if not self.stopping:
            self.report()

    def stop(self, *_: object) -> None:
        """Let :meth:`run` end after the present step."""
        self.stopping = True


def train_along(worker: int, data: Path, configuration: dict[str, Any], until: float, shared: tuple[Any, ...]) -> None:
    """Be a further worker."""
    torch.set_num_threads(1)
    Trainer(data, configuration, until, worker).train_along(*shared)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--until", type=datetime.fromisoformat, required=True, help="local time, ISO 8601")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    configuration = tomllib.loads(arguments.config.read_text())
    until = arguments.until.timestamp()
    trainer = Trainer(arguments.data, configuration, until)
    signal.signal(signal.SIGTERM, trainer.stop)
    shared = trainer.share()
    context = torch.multiprocessing.get_context("spawn")
    for worker in range(1, arguments.workers):
        context.Process(
            target=train_along, args=(worker, arguments.data, configuration, until, shared), daemon=True
        ).start()
    trainer.run()


if __name__ == "__main__":
    main()
