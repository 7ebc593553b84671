"""Character error rate of a model folder on the test parts: synthesized sentences, known and unknown speakers.

    python -m training.small.evaluate --data DATA --model DATA/checkpoints/model [--right 0 3 13] [--prompt given auto]

Reads the stored features, and leaves out the held-out sentences that the training was watched with.
Decodes with the chunked mask of each right context, which is what a streaming decoder of the same
right context computes. Prints one JSON line for each right context and prompt: CER in % by language,
and the share of utterances whose one tag is right.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import Nemotron3_5AsrForRNNT

from training.common.decode import greedy
from training.common.model import forward_features
from training.small.batches import whole
from training.small.languages import TAGS
from training.small.parts import TEST_PARTS, UNHEARD_PARTS
from training.small.scoring import Score, letter_errors


@torch.no_grad()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--right", type=int, nargs="+", default=[3])
    parser.add_argument("--prompt", nargs="+", choices=["given", "auto"], default=["given"])
    parser.add_argument("--examples", type=int, default=0, help="utterances of each part to print")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = Nemotron3_5AsrForRNNT.from_pretrained(arguments.model).eval()
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    slots = json.loads((arguments.model / "processor_config.json").read_text())["prompt_dictionary"]
    for right in arguments.right:
        for prompt in arguments.prompt:
            scores: dict[str, Score] = defaultdict(Score)
            tags: dict[str, list[bool]] = defaultdict(list)
            for kind, language, count, part in [*TEST_PARTS, *UNHEARD_PARTS]:
                name = language if part == "synthesised" else f"{language} {part}"
                slot = int(slots["auto" if prompt == "auto" else TAGS[language]])
                printed = 0
                for batch in whole(arguments.data / "features", language, kind, tokenizer, count):
                    prompts = torch.full((len(batch.texts),), slot)
                    features, frames = forward_features(model, batch.mel.float(), batch.frames, prompts, right)
                    for ids, text in zip(greedy(model, features, frames), batch.texts, strict=True):
                        hypothesis = tokenizer.decode(ids, skip_special_tokens=False)
                        errors = letter_errors(text, hypothesis)
                        scores[name].add(errors)
                        tags[name].append(errors.tags == (f"<{TAGS[language]}>",))
                        if printed < arguments.examples:
                            print(f"    {name}: {text} | {hypothesis}")
                            printed += 1
            result = {
                "right": right,
                "prompt": prompt,
                "cer": {name: round(score.rate, 2) for name, score in scores.items() if score.letters},
                "tags": {name: round(100 * sum(right_ones) / len(right_ones), 1) for name, right_ones in tags.items()},
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
