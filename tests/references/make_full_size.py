"""Make a random-weight transformers checkpoint of the published model's full size.

    python make_full_size.py OUT --audio AUDIO...

24 layers of width 1024, 13,088 outputs, 638 million float32 parameters (2.6 GB). It measures speed and memory, and
takes conversion through its real sizes; the text it gives is meaningless. Made with transformers 5.23.0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from clips import read_audio
from transformers_models import Shape, build_model, build_processor, fit_model, generated_tokenizer, language_tags

PIECES = 13087
TAGS = 39

FULL_SIZE = Shape(
    layers=24,
    width=1024,
    heads=8,
    feed_forward=4096,
    kernel=9,
    channels=256,
    left=56,
    predictor=640,
    predictor_layers=2,
    pieces=PIECES,
    prompts=128,
    prompt_width=2048,
)


def main() -> None:
    """Make the checkpoint and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="16 kHz speech to fit the weights to")
    parser.add_argument("--seed", type=int, default=35)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    tokenizer = generated_tokenizer(PIECES, language_tags(TAGS), seed=arguments.seed)
    processor = build_processor(FULL_SIZE, tokenizer)
    model = build_model(FULL_SIZE)
    clips = [(read_audio(path), "auto") for path in arguments.audio]
    fit_model(model, processor, clips, seed=arguments.seed, blank_share=0.7)
    model.save_pretrained(arguments.out)
    processor.save_pretrained(arguments.out)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters in {arguments.out}")


if __name__ == "__main__":
    main()
