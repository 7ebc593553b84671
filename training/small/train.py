"""Train the model until a given time of day.

    python -m training.small.train --data DATA --until 2026-01-31T18:00 [--workers 2]

Workers are processes that train the same weights, one thread each. Every few minutes, and at SIGTERM,
the first writes ``checkpoints/state.pt``, from which the same command goes on after a stop, and
``checkpoints/model`` (an ordinary model folder, averaged weights). In the last minutes the learning
rate falls to zero; ``checkpoints/state-before-decay.pt`` holds what was before, and is what a longer
training should go on from (copy it over ``state.pt``). Without a state, ``--start training/small/model`` goes on
from the weights of a model folder, which may have another tokenizer (:mod:`training.small.warm`).
"""

import argparse
import json
import os
import signal
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Nemotron3_5AsrForRNNT

from training.common.alignment import all_letter_steps
from training.common.band import band_index, band_loss, band_starts
from training.common.decode import greedy
from training.common.half import linear
from training.common.histories import Histories
from training.common.learner import HELPERS, Learner, save_model, save_whole
from training.common.model import build_config, forward_features, forward_layers, fuse_prompt, initialize
from training.small import warm
from training.small.batches import LETTER_BLANK, PARTS, PHONE_BLANK, Batch, Sampler, Stage, Target, current, whole
from training.small.languages import ALPHABET, TAGS
from training.small.loader import Batches, load
from training.small.parts import WATCHED
from training.small.scoring import Score, letter_errors


class Helpers(nn.Module):
    """Heads that exist only in training, with several outputs per frame: phones in the middle, letters at the end.

    Speech has more sounds per second than the encoder has frames, and a letter or a phone is learned from far
    fewer examples than a piece of a word.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.phones = nn.Linear(size, PARTS * (PHONE_BLANK + 1))
        self.letters = nn.Linear(size, PARTS * (LETTER_BLANK + 1))

    @staticmethod
    def scores(head: nn.Linear, hidden: Tensor) -> Tensor:
        """Return log-probabilities [B, PARTS * T', classes] of frames [B, T', D]."""
        output = linear(hidden, head.weight, head.bias)
        return output.view(len(hidden), PARTS * hidden.shape[1], -1).log_softmax(-1)


def helper_loss(scores: Tensor, target: Target, frames: Tensor, stage: Stage) -> Tensor:
    """Return the weighted loss of a helper head: CTC per label, and the flat start per part of a frame."""
    loss = scores.new_zeros(())
    if stage.ctc:
        ctc = F.ctc_loss(
            scores.transpose(0, 1),
            target.ids,
            PARTS * frames,
            target.lengths,
            scores.shape[2] - 1,
            reduction="sum",
            zero_infinity=True,
        )
        loss = loss + stage.ctc * ctc / target.lengths.sum().clamp(min=1)
    if target.guess is not None:
        guess = target.guess[:, : scores.shape[1]]
        loss = loss + stage.flat * F.nll_loss(scores[:, : guess.shape[1]].transpose(1, 2), guess)
    return loss


def label_frames(scores: Tensor, batch: Batch, frames: Tensor) -> list[Any]:
    """Return the frame of each label of each utterance, by the letters' CTC: that of its last letter."""
    valid = PARTS * frames.cpu().numpy()
    lengths = batch.letters.lengths.numpy()
    copied = torch.empty(scores.shape, pin_memory=scores.is_cuda).copy_(scores)
    paths = all_letter_steps(copied.numpy(), valid, batch.letters.ids.numpy(), lengths, LETTER_BLANK)
    found = []
    for path, count, length, written in zip(paths, valid, lengths, batch.last_letters, strict=True):
        # Spoken too fast for the letters: evenly.
        steps = np.linspace(0, count - 1, length).astype(np.int64) if path is None else path
        found.append(steps[np.maximum(np.array(written, dtype=np.int64) - 1, 0)] // PARTS)
    return found


class Trainer:
    """The learner, its data, its schedule and its log."""

    def __init__(
        self,
        data: Path,
        configuration: dict[str, Any],
        until: float,
        worker: int = 0,
        start: Path | None = None,
        device: str = "cpu",
        loaders: int = 0,
    ) -> None:
        self.data = data
        self.device = torch.device(device)
        self.until = until
        self.stopping = False
        self.settings = configuration["train"]
        self.stages = [Stage.read(entry) for entry in self.settings["stages"]]
        if self.device.type == "cuda":
            self.settings |= configuration["gpu"]
            self.stages[-1] = replace(self.stages[-1], batch_seconds=self.settings["batch_seconds"])
        self.rng = np.random.default_rng(self.settings["seed"])
        torch.manual_seed(self.settings["seed"])
        self.audio_frames = torch.zeros((), dtype=torch.long).share_memory_()  # of all workers
        self.started = 0  # the step that the warm-up of the learning rate starts at
        self.seconds = 0.0  # of computing, of the first worker
        self.tokenizer = Tokenizer.from_file(str(data / "tokenizer" / "tokenizer.json"))
        prompts = json.loads((data / "tokenizer" / "processor_config.json").read_text())["prompt_dictionary"]
        self.auto = int(prompts["auto"])
        self.slots = {language: int(prompts[tag]) for language, tag in TAGS.items()}
        vocab_size = self.tokenizer.get_vocab_size()
        self.blank = vocab_size - 1
        model = Nemotron3_5AsrForRNNT(build_config(configuration["model"], vocab_size)).to(self.device)
        helpers = Helpers(configuration["model"]["hidden_size"]).to(self.device)
        self.learner = Learner(model, helpers, self.settings)
        self.histories = Histories(self.blank, self.rng)
        self.sampler = Sampler(data / "features", self.settings["language_weights"], self.tokenizer, self.rng)
        self.folder = data / "checkpoints"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state_path = self.folder / "state.pt"
        if self.state_path.exists():
            self.restore()
        elif start:
            warm.start(model, helpers, start, self.tokenizer)
            self.learner.begin(self.stages[-2].until)
            self.started = self.learner.steps
        else:
            sample = self.sampler.next(replace(self.stage(), batch_seconds=300.0))
            mel, frames = sample.mel.to(self.device).float(), sample.frames.to(self.device)
            initialize(model, self.settings["residual_scale"], mel, frames)
            self.learner.reset_average()
        self.batches: Iterator[Batch] | None = None
        if loaders:
            steps = self.learner.share_steps()
            weights = self.settings["language_weights"]
            drawn = Batches(data, weights, self.stages, steps, (self.settings["seed"], self.learner.steps))
            self.batches = load(drawn, loaders, self.device)
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
        self.started = state["started"]
        print(f"going on from step {self.learner.steps}", flush=True)

    def save_state(self, path: Path) -> None:
        """Write all that :meth:`restore` needs."""
        state = {
            "learner": self.learner.state(),
            "sampler": self.sampler.state(),
            "rng": self.rng.bit_generator.state,
            "audio_frames": int(self.audio_frames),
            "seconds": self.seconds,
            "started": self.started,
        }
        save_whole(path, state)

    def stage(self) -> Stage:
        """Return the stage of the present step."""
        return current(self.stages, self.learner.steps)

    def decay(self) -> float:
        """Return the factor of the learning rate: 1, and falling to 0 before the end."""
        return min(1.0, max(0.0, (self.until - time.time()) / 60 / self.settings["decay_minutes"]))

    def rate(self) -> float:
        """Return the learning rate."""
        warm = min(1.0, (self.learner.steps - self.started + 1) / self.settings["warmup_steps"])
        return float(self.settings["peak_lr"] * warm * self.decay())

    def losses(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        """Return the weighted losses of a batch, per label or per part of a frame."""
        model, helpers, device = self.learner.model, self.learner.helpers, self.device
        auto = self.rng.random(len(batch.languages)) < self.settings["auto_prompt"]
        slots = [self.auto if hidden else self.slots[name] for hidden, name in zip(auto, batch.languages, strict=True)]
        right = int(self.rng.choice(self.settings["right_contexts"]))
        mel = batch.mel.to(device, non_blocking=True).float()
        layers, frames = forward_layers(model, mel, batch.frames.to(device), right)
        features = fuse_prompt(model, layers[-1], torch.tensor(slots, device=device))
        losses = {}
        phones = helpers.scores(helpers.phones, layers[self.settings["phones_layer"] - 1])
        losses["phones"] = helper_loss(phones, batch.phones.to(device), frames, stage)
        letters = helpers.scores(helpers.letters, features)
        losses["letters"] = helper_loss(letters, batch.letters.to(device), frames, stage)
        if stage.transducer:
            predicted = self.histories.predict(model, batch.labels, batch.label_lengths)
            aligned = label_frames(letters.detach(), batch, frames)  # the device is waited for here
            longest = features.shape[1]
            starts = torch.from_numpy(np.stack([band_starts(label, longest) for label in aligned])).to(device)
            labels, counts = batch.labels.to(device), batch.label_lengths.to(device)
            index = band_index(starts, counts)
            picked = predicted.gather(1, index.flatten(1)[..., None].expand(-1, -1, predicted.shape[2]))
            encoded = model.encoder_projector(features)[:, :, None]
            joined = model.joint.activation(picked.view(*index.shape, -1) + encoded)
            logits = linear(joined, model.joint.head.weight, model.joint.head.bias)
            loss = band_loss(logits, labels, starts, frames, counts, self.blank)
            losses["rnnt"] = stage.transducer * loss.sum() / counts.sum().clamp(min=1)
        return losses

    def train_step(self) -> dict[str, Tensor]:
        """Take one step; return the losses, each divided by its weight (that of CTC, if a helper has two losses)."""
        stage = self.stage()
        batch = next(self.batches) if self.batches is not None else self.sampler.next(stage)
        losses = self.losses(batch, stage)
        self.learner.step(torch.stack(list(losses.values())).sum(), self.rate())
        self.audio_frames += batch.frames.sum()
        helped = stage.ctc or stage.flat
        weights = {"rnnt": stage.transducer, "phones": helped, "letters": helped}
        return {name: value.detach() / weights[name] for name, value in losses.items()}

    @torch.no_grad()
    def watch(self) -> dict[str, float]:
        """Return the CER % at right context 3 over the watched sentences; an example of each is printed."""
        result: dict[str, float] = {}
        with self.learner.averaged() as model:
            for language, kind in [*((name, "held-out") for name in TAGS), ("en", "real-dev"), ("de", "real-dev")]:
                score = Score()
                for batch in whole(self.data / "features", language, kind, self.tokenizer, WATCHED):
                    prompts = torch.full((len(batch.texts),), self.slots[language], device=self.device)
                    mel, counts = batch.mel.to(self.device).float(), batch.frames.to(self.device)
                    features, frames = forward_features(model, mel, counts, prompts, 3)
                    for hypothesis, text in zip(self.write(features, frames), batch.texts, strict=True):
                        score.add(letter_errors(text if self.stage().transducer else text.replace(" ", ""), hypothesis))
                if score.letters:
                    name = language if kind == "held-out" else f"{language} real"
                    result[name] = round(score.rate, 1)
                    print(f"    {name}: {text} | {hypothesis[:120]}", flush=True)
        return result

    def write(self, features: Tensor, frames: Tensor) -> list[str]:
        """Return the text of each utterance; as long as the transducer is not trained, letters of the helper head."""
        if self.stage().transducer:
            tokens = greedy(self.learner.model, features, frames)
            return [self.tokenizer.decode(ids, skip_special_tokens=False) for ids in tokens]
        helpers = self.learner.helpers
        best = helpers.scores(helpers.letters, features).argmax(dim=-1)
        rows = [torch.unique_consecutive(row[: PARTS * count]) for row, count in zip(best, frames, strict=True)]
        return ["".join(ALPHABET[letter] for letter in row.tolist() if letter != LETTER_BLANK) for row in rows]

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
        save_file(self.learner.helpers.state_dict(), self.folder / "model" / HELPERS)

    def run(self) -> None:
        """Train until the time has come."""
        sums: dict[str, list[Tensor]] = {}  # not numbers: reading one waits for the device
        saved = began = time.time()
        reported = self.seconds
        first = self.learner.steps
        while time.time() < self.until and not self.stopping:
            before = time.thread_time()
            for name, value in self.train_step().items():
                sums.setdefault(name, []).append(value)
            self.seconds += time.thread_time() - before
            if self.learner.steps >= first + 100:
                means = " ".join(f"{name} {float(torch.stack(values).mean()):.3f}" for name, values in sums.items())
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
    numba.set_num_threads(1)
    Trainer(data, configuration, until, worker).train_along(*shared)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--until", type=datetime.fromisoformat, required=True, help="local time, ISO 8601")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--start", type=Path, help="model folder to go on from, in the last stage, if there is no state"
    )
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--loaders", type=int, default=0, help="processes that only make batches, for a GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.device == "cpu":
        numba.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    configuration = tomllib.loads(arguments.config.read_text())
    until = arguments.until.timestamp()
    trainer = Trainer(
        arguments.data,
        configuration,
        until,
        start=arguments.start,
        device=arguments.device,
        loaders=arguments.loaders,
    )
    signal.signal(signal.SIGTERM, trainer.stop)
    shared = trainer.share() if arguments.workers > 1 else ()
    context = torch.multiprocessing.get_context("spawn")
    for worker in range(1, arguments.workers):
        context.Process(
            target=train_along, args=(worker, arguments.data, configuration, until, shared), daemon=True
        ).start()
    trainer.run()


if __name__ == "__main__":
    main()
