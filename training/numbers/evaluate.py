"""Word error rate of a model folder over a manifest of clips.

    python -m training.numbers.evaluate --model MODEL --manifest manifest.jsonl [--right 0 1 3 6 13]

Each line of the manifest has ``audio_filepath`` (relative to it), ``text``, ``lang`` and, if the
clip is to be counted under a group of its own, ``source``. Decodes offline with the chunked mask of
each right context, which is what a streaming decoder of the same right context computes.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import soundfile
import torch
from transformers import AutoProcessor, Nemotron3_5AsrForRNNT

from training.common.decode import greedy, split_tags, word_errors


class Evaluator:
    """A loaded model, and its transcripts of single clips."""

    def __init__(self, folder: Path) -> None:
        self.model = Nemotron3_5AsrForRNNT.from_pretrained(folder).eval()
        self.processor = AutoProcessor.from_pretrained(folder)

    @torch.no_grad()
    def transcribe(self, path: Path, language: str, right: int) -> tuple[str, list[str]]:
        """Return the text without tags, and the tags."""
        audio, rate = soundfile.read(path, dtype="float32")
        inputs = self.processor(audio, sampling_rate=rate, language=language, return_tensors="pt")
        outputs = self.model.get_audio_features(
            input_features=inputs["input_features"],
            attention_mask=inputs["attention_mask"],
            prompt_ids=inputs["prompt_ids"],
            num_lookahead_tokens=right,
        )
        # The pooler output is already projected for the joint: decode from it directly.
        tokens = greedy(self.model, outputs.pooler_output, outputs.attention_mask.sum(dim=1), projected=True)
        return split_tags(self.processor.tokenizer.decode(tokens[0], group_tokens=False))


def group_of(entry: dict[str, Any]) -> str:
    """Return the language, or for real speech the language and "real"."""
    language = str(entry["lang"])
    return language if "synthesised" in entry.get("source", "synthesised") else f"{language} real"


def score(evaluator: Evaluator, manifest: Path, right: int, auto: bool, wrong: list[str]) -> dict[str, float]:
    """Return WER % by group and overall, and the share of clips whose last tag is right."""
    errors: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    tags_right = clips = 0
    for line in manifest.read_text(encoding="utf-8").split("\n"):
        if not line.strip():
            continue
        entry = json.loads(line)
        language = "auto" if auto else entry["lang"]
        text, tags = evaluator.transcribe(manifest.parent / entry["audio_filepath"], language, right)
        count = word_errors(entry["text"], text)
        if count:
            wrong.append(f"{entry['audio_filepath']} [{language}, R={right}]: {entry['text']} | {text}")
        clips += 1
        tags_right += tags[-1:] == [f"<{entry['lang']}>"]
        for name in (group_of(entry), "all"):
            errors[name] += count
            totals[name] += len(entry["text"].split())
    result = {name: round(100 * errors[name] / totals[name], 2) for name in sorted(totals)}
    return result | {"tag accuracy": round(100 * tags_right / clips, 1)}


def main() -> None:
    """Print one line per right context and prompt, then the wrong transcripts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--right", type=int, nargs="+", default=[3])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    evaluator = Evaluator(arguments.model)
    wrong: list[str] = []
    for right in arguments.right:
        for auto in (False, True):
            result = score(evaluator, arguments.manifest, right, auto, wrong)
            print(f"R={right} prompt {'auto' if auto else 'given'}: {result}", flush=True)
    print(*wrong, sep="\n")


if __name__ == "__main__":
    main()
