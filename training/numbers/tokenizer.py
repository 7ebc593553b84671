"""Train the BPE tokenizer so that a number word is one token, and write the processor files.

    python -m training.numbers.tokenizer --data DATA --processor-config processor_config.json

``processor_config.json`` is one of any checkpoint of this architecture: its 128-slot prompt
dictionary is copied, not invented.
"""

import argparse
import random
import tomllib
from pathlib import Path

from tokenizers import Tokenizer

from training.common.tokenizer import save_processor, train_bpe
from training.numbers import words

# Letters of the six languages that no number word needs: the tokenizer can spell other text too.
_LETTERS = (
    "abcdefghijklmnopqrstuvwxyzäöüßàâæçéèêëîïôœùûÿáíñóúìò'अआइईउऊऋएऐओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसह़ऽािीुूृॅेैॉोौ्ँंःक़ज़ड़ढ़"
)


def _joins_compound(merge: list[str]) -> bool:
    """Tell whether a merge makes one piece of a German compound such as "einundzwanzig".

    As two pieces ("ein", "undzwanzig") the compounds share what is learned; as 72 rare pieces they
    do not. The pieces whose merges are dropped stay in the vocabulary, unused.
    """
    return merge[0].startswith("▁") and merge[1].startswith("und") and merge[1] != "und"


def train_tokenizer(vocab_size: int, seed: int) -> Tokenizer:
    """Return a BPE tokenizer with ``vocab_size`` - 1 pieces and the blank as the last id."""
    rng = random.Random(seed)
    corpus: list[str] = []
    for language in words.LANGUAGES:
        # Whole words first: far more often than any piece of a compound.
        corpus.extend(words.all_words(language) * 400)
        corpus.extend(words.label(words.random_phrase(language, rng, 6)) for _ in range(1500))
    tags = [f"<{tag}>" for tag in sorted(words.LANGUAGES.values())]
    return train_bpe(corpus, vocab_size, _LETTERS, tags, drop_merge=_joins_compound)


def main() -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``processor_config.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--processor-config", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    configuration = tomllib.loads(arguments.config.read_text())
    tokenizer = train_tokenizer(configuration["tokenizer"]["vocab_size"], configuration["synthesis"]["seed"])
    # The contexts that `train.py` draws from, the default first.
    save_processor(arguments.data / "tokenizer", tokenizer, arguments.processor_config, [3, 0, 1, 6, 13])
    split = {
        word: tokenizer.encode(word).tokens
        for language in words.LANGUAGES
        for word in words.all_words(language)
        if len(tokenizer.encode(word).ids) > 1
    }
    print(f"{tokenizer.get_vocab_size()} tokens; words of more than one: {split}")


if __name__ == "__main__":
    main()
