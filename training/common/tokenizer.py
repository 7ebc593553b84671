"""BPE tokenizers, and the files that make a checkpoint folder complete for the processor."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

BLANK = "<blank>"
UNKNOWN = "<unk>"


def train_bpe(
    corpus: Iterable[str],
    vocab_size: int,
    alphabet: Iterable[str],
    tags: list[str],
    drop_merge: Callable[[list[str]], bool] | None = None,
    alone: str = "",
) -> Tokenizer:
    """Return a BPE tokenizer with ``vocab_size`` - 1 pieces and the blank as the last id.

    ``tags`` are language tags with brackets. The pieces of merges that ``drop_merge`` picks stay in
    the vocabulary, unused. A character of ``alone`` is a piece for itself.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    if alone:
        marks = pre_tokenizers.Split(Regex(f"[{re.escape(alone)}]"), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([tokenizer.pre_tokenizer, marks])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=[UNKNOWN, "<s>", "</s>", *tags],
        initial_alphabet=sorted(set(alphabet)),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    state = json.loads(tokenizer.to_str())
    if drop_merge:
        state["model"]["merges"] = [merge for merge in state["model"]["merges"] if not drop_merge(merge)]
    for token in state["added_tokens"]:
        # The tags are ordinary text for the processor: it strips them itself when asked to.
        token["special"] = token["content"] not in tags
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken(BLANK, normalized=False)])
    return tokenizer


def save_processor(folder: Path, tokenizer: Tokenizer, processor_config: Path, right_contexts: list[int]) -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``processor_config.json``.

    ``processor_config`` is one of any checkpoint of this architecture: its 128-slot prompt dictionary
    is copied, not invented. The first of ``right_contexts`` is the default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "backend": "tokenizers",
        "clean_up_tokenization_spaces": False,
        "extra_special_tokens": [BLANK],
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": UNKNOWN,
        "processor_class": "Nemotron3_5AsrProcessor",
        "tokenizer_class": "ParakeetTokenizer",
        "unk_token": UNKNOWN,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    processor = json.loads(processor_config.read_text(encoding="utf-8"))
    processor["supported_num_lookahead_tokens"] = right_contexts
    (folder / "processor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
