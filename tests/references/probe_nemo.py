"""Print how NeMo treats lengths, tails and very short audio (the facts are in README.md).

python probe_nemo.py MODEL.nemo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from nemo.collections.asr.models import ASRModel

import nemo_models
from nemo_models import Audio

SHORT = (0, 1, 100, 159, 160, 320, 1000, 1280, 1360, 2559, 2560)
LONG = tuple(range(16000, 16000 + 8 * 160 + 1, 160))


def noise(samples: int) -> Audio:
    """Audible noise [samples]."""
    return (0.1 * np.random.default_rng(7).standard_normal(samples)).astype(np.float32)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rights", type=int, nargs="+", default=[0, 1, 3, 6, 13])
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    model = ASRModel.restore_from(str(arguments.model), map_location="cpu").eval()
    left = model.encoder.att_context_size[0]
    slot = model.cfg.model_defaults.prompt_dictionary["auto"]
    print("samples R | mel valid/returned | offline frames | streamed frames by step | difference by frame")
    for samples in (*SHORT, *LONG):
        audio = noise(samples)
        for right in arguments.rights:
            nemo_models.use_context(model, left, right)
            try:
                mel, length = nemo_models.mel_of(model, audio)
                line = f"{samples:6d} {right:2d} | {int(length)}/{mel.shape[-1]}"
                frames = nemo_models.offline(model, mel, length, slot)
                line += f" | {len(frames)}"
            except Exception as error:  # a probe reports whatever a framework raises
                print(f"{samples:6d} {right:2d} | offline raises {type(error).__name__}: {str(error)[:120]!r}")
                continue
            try:
                streamed = nemo_models.stream(model, audio, "auto")
                count = min(len(frames), len(streamed.frames))
                differences = (frames[:count] - streamed.frames[:count]).abs().amax(dim=1)
                line += f" | {len(streamed.frames)} = {streamed.steps} | " + " ".join(
                    f"{value:.0e}" for value in differences.tolist()[:4] + differences.tolist()[-2:]
                )
            except Exception as error:
                line += f" | streaming raises {type(error).__name__}: {str(error)[:120]!r}"
            print(line)


if __name__ == "__main__":
    main()
