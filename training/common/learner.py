"""A model that is being trained: weights, optimizer, averaged weights; saving and restoring."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Nemotron3_5AsrForRNNT

#: Weights of the helper heads in a model folder, so that training can continue from it.
HELPERS = "helpers.safetensors"


class Learner:
    """The model, helper heads that exist only in training, AdamW, and a running average of the weights."""

    def __init__(self, model: Nemotron3_5AsrForRNNT, helpers: nn.Module, settings: dict[str, Any]) -> None:
        self.model = model
        self.helpers = helpers
        # A tensor, so that processes that train the same weights can share it.
        self._steps = torch.zeros((), dtype=torch.long)
        self._settings = settings
        self._parameters = [*model.parameters(), *helpers.parameters()]
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=0.0, betas=(0.9, 0.98), weight_decay=settings["weight_decay"], fused=True
        )
        self.reset_average()

    @property
    def steps(self) -> int:
        """Steps taken so far, by all processes together."""
        return int(self._steps)

    def share(self) -> tuple[nn.Module, nn.Module, Tensor]:
        """Move weights and step count to shared memory, and return what :meth:`adopt` takes.

        Several processes then train the same weights without locks, each with an optimizer and an average
        of its own: that gives more steps than threads, which wait for each other.
        """
        self.share_steps()
        return self.model.share_memory(), self.helpers.share_memory(), self._steps

    def share_steps(self) -> Tensor:
        """Move the step count to shared memory, and return it."""
        return self._steps.share_memory_()

    def adopt(self, model: nn.Module, helpers: nn.Module, steps: Tensor) -> None:
        """Train the shared weights of another process from now on."""
        shared = [*model.parameters(), *helpers.parameters()]
        for parameter, other in zip(self._parameters, shared, strict=True):
            parameter.data = other.data
        self._steps = steps

    def reset_average(self) -> None:
        """Start the average at the present weights."""
        self._average = [parameter.detach().clone() for parameter in self.model.parameters()]

    def begin(self, steps: int) -> None:
        """Begin with the present weights, as if ``steps`` had been taken; the optimizer starts from zero."""
        self._steps.fill_(steps)
        self.reset_average()

    def step(self, loss: Tensor, rate: float) -> None:
        """Take one step, and update the average."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, self._settings["max_grad_norm"])
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._steps += 1
        decay = min(self._settings["ema"], (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._average, [parameter.detach() for parameter in self.model.parameters()], 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[Nemotron3_5AsrForRNNT]:
        """Use the averaged weights in the model within a `with` block."""
        self._swap()
        try:
            yield self.model
        finally:
            self._swap()

    def _swap(self) -> None:
        for parameter, average in zip(self.model.parameters(), self._average, strict=True):
            parameter.data, average.data = average.data, parameter.data

    def state(self) -> dict[str, Any]:
        """Return everything that :meth:`restore` needs."""
        return {
            "model": self.model.state_dict(),
            "helpers": self.helpers.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": self._average,
            "step": self.steps,
            "torch_rng": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.model.load_state_dict(state["model"])
        self.helpers.load_state_dict(state["helpers"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._average = state["average"]
        self._steps.fill_(state["step"])
        torch.set_rng_state(state["torch_rng"])


def save_whole(path: Path, state: dict[str, Any]) -> None:
    """Write a state atomically: the file is always a complete one, old or new."""
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def save_model(folder: Path, model: Nemotron3_5AsrForRNNT, tokenizer: Path, blank: int) -> None:
    """Write an ordinary model folder with the processor files of the folder ``tokenizer``."""
    model.generation_config.decoder_start_token_id = blank
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
