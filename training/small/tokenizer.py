"""Train the BPE tokenizer of all languages, and write the processor files.

    python -m training.small.tokenizer --data DATA --processor-config processor_config.json

``processor_config.json`` is one of any checkpoint of this architecture: its prompt dictionary is copied.
"""

import argparse
import tomllib
from itertools import cycle, islice
from pathlib import Path

from training.common.tokenizer import save_processor, train_bpe
from training.small import texts
from training.small.languages import CHARACTERS, MARKS, TAGS


def main() -> None:
    """Train on as many sentences of each language, and say how long its pieces are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--processor-config", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["tokenizer"]
    corpus = {
        language: [sentence.text for sentence in texts.read(arguments.data / "texts" / f"{language}.jsonl")]
        for language in TAGS
    }
    balanced = [
        text
        for language, sentences in corpus.items()
        for text in islice(cycle(sentences), settings["sentences"][language])
    ]
    tags = [f"<{tag}>" for tag in sorted(TAGS.values())]
    tokenizer = train_bpe(balanced, settings["vocab_size"], CHARACTERS, tags, alone=MARKS)
    # The contexts that `train.py` draws from.
    save_processor(arguments.data / "tokenizer", tokenizer, arguments.processor_config, [3, 0, 1, 6, 13])
    for language, sentences in corpus.items():
        encodings = tokenizer.encode_batch(sentences[:500])
        letters, pieces = sum(map(len, sentences[:500])), sum(len(encoding.ids) for encoding in encodings)
        print(f"{language}: {letters / pieces:.2f} letters per piece")


if __name__ == "__main__":
    main()
