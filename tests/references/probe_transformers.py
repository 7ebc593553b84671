"""Print how transformers treats very short audio and language slots (the facts are in README.md).

python probe_transformers.py FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import Nemotron3_5AsrForRNNT, Nemotron3_5AsrProcessor

import transformers_models
from clips import SAMPLE_RATE

SAMPLES = (0, 1, 100, 159, 160, 320, 1000, 1280, 1360, 2559, 2560)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    model = Nemotron3_5AsrForRNNT.from_pretrained(arguments.folder, dtype=torch.float32).eval()
    processor = Nemotron3_5AsrProcessor.from_pretrained(arguments.folder)
    generator = np.random.default_rng(7)
    for samples in SAMPLES:
        audio = (0.1 * generator.standard_normal(samples)).astype(np.float32)
        for right in (0, 3):
            try:
                hidden, _ = transformers_models.encode(model, processor, audio, "auto", right)
                tokens, times, _ = transformers_models.decode(model, processor, audio, "auto", right)
                finite = bool(torch.isfinite(hidden).all())
                print(f"{samples:5d} R={right}: {len(hidden)} frames, finite {finite}, {len(tokens)} tokens at {times}")
            except Exception as error:  # a probe reports whatever a framework raises
                print(f"{samples:5d} R={right}: raises {type(error).__name__}: {str(error)[:100]!r}")

    inputs = processor(np.zeros(16000, dtype=np.float32), sampling_rate=SAMPLE_RATE, return_tensors="pt")
    print("without a language the processor takes slot", inputs["prompt_ids"].tolist())
    print("without prompt_ids the model takes slot", model.config.default_prompt_id)
    try:
        processor(np.zeros(16000, dtype=np.float32), sampling_rate=SAMPLE_RATE, language="xx-XX")
    except ValueError as error:
        print("an unknown language raises", str(error)[:60])


if __name__ == "__main__":
    main()
