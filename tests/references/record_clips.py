"""Record what transformers recognises in the clips of a manifest.

    python record_clips.py CHECKPOINT MANIFEST OUT.json

Made with transformers 5.23.0 on torch 2.13.0, `generate` over the whole utterance at 320 ms (right context 3).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from clips import SAMPLE_RATE, read_audio
from transformers import Nemotron3_5AsrForRNNT, Nemotron3_5AsrProcessor

RIGHT = 3


def recognise(model: Any, processor: Any, clip: Path, language: str) -> list[int]:
    """Tokens of one clip, language tags included."""
    inputs = processor(read_audio(clip), sampling_rate=SAMPLE_RATE, language=language)
    inputs["num_lookahead_tokens"] = RIGHT
    output = model.generate(**inputs, decoder_start_token_id=model.config.blank_token_id, return_dict_in_generate=True)
    sequence = output.sequences[0].tolist()
    unspoken = {model.config.blank_token_id, model.config.pad_token_id}
    return [token for token in sequence if token not in unspoken]


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = Nemotron3_5AsrForRNNT.from_pretrained(arguments.checkpoint).float().eval()
    processor = Nemotron3_5AsrProcessor.from_pretrained(arguments.checkpoint)
    recorded = {}
    with torch.inference_mode():
        for line in arguments.manifest.read_text("utf-8").splitlines():
            row = json.loads(line)
            clip = arguments.manifest.parent / row["audio_filepath"]
            recorded[row["audio_filepath"]] = {
                language: recognise(model, processor, clip, language) for language in (row["lang"], "auto")
            }
    arguments.out.write_text(json.dumps(recorded, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main()
