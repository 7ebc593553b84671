"""Train the BPE tokenizer so that a number word is one token, and write the processor files.

    python -m recipes.numbers.tokenizer --data DATA --processor-config processor_config.json

``processor_config.json`` is one of any checkpoint of this architecture: its 128-slot prompt
dictionary is copied, not invented.
"""

import argparse
import json
import random
import tomllib
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from recipes.numbers import words

BLANK = "<blank>"
UNKNOWN = "<unk>"
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
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tags = [f"<{tag}>" for tag in sorted(words.LANGUAGES.values())]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=[UNKNOWN, "<s>", "</s>", *tags],
        initial_alphabet=sorted(set(_LETTERS)),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    state = json.loads(tokenizer.to_str())
    state["model"]["merges"] = [merge for merge in state["model"]["merges"] if not _joins_compound(merge)]
    for token in state["added_tokens"]:
        # The tags are ordinary text for the processor: it strips them itself when asked to.
        token["special"] = token["content"] not in tags
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken(BLANK, normalized=False)])
    return tokenizer


def main() -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``processor_config.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--processor-config", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    configuration = tomllib.loads(arguments.config.read_text())
    tokenizer = train_tokenizer(configuration["tokenizer"]["vocab_size"], configuration["synthesis"]["seed"])
    folder = arguments.data / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "backend": "tokenizers",
                "clean_up_tokenization_spaces": False,
                "extra_special_tokens": [BLANK],
                "model_max_length": 1000000000000000019884624838656,
                "pad_token": UNKNOWN,
                "processor_class": "Nemotron3_5AsrProcessor",
                "tokenizer_class": "ParakeetTokenizer",
                "unk_token": UNKNOWN,
            },
            indent=2,
        )
    )
    processor = json.loads(arguments.processor_config.read_text(encoding="utf-8"))
    # The contexts that `train.py` draws from, the default first.
    processor["supported_num_lookahead_tokens"] = [3, 0, 1, 6, 13]
    (folder / "processor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
    split = {
        word: tokenizer.encode(word).tokens
        for language in words.LANGUAGES
        for word in words.all_words(language)
        if len(tokenizer.encode(word).ids) > 1
    }
    print(f"{tokenizer.get_vocab_size()} tokens; words of more than one: {split}")


if __name__ == "__main__":
    main()
