"""Write a transformers checkpoint as a NeMo archive, which the converters of sherpa-onnx and transcribe.cpp read.

    python -m bench.peers.nemo_archive CHECKPOINT OUT.nemo

Run it in an environment with nemo-toolkit 3.0.0 and transformers 5.23.0, from the root of the repository. The weights
are only renamed (see the table in `tests/references/README.md`), and all of them must be used.
"""

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

_REFERENCES = Path(__file__).parents[2] / "tests" / "references"


def write_tokenizer(pieces: list[str], folder: Path) -> None:
    """Write a SentencePiece model with exactly these pieces, and the two lists that NeMo expects beside it."""
    protocol: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2")
    kinds = protocol.ModelProto.SentencePiece
    model = protocol.ModelProto()
    model.trainer_spec.model_type = protocol.TrainerSpec.BPE
    model.trainer_spec.vocab_size = len(pieces)
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    for number, piece in enumerate(pieces):
        entry = model.pieces.add()
        entry.piece, entry.score = piece, float(-number)
        if piece == "<unk>":
            entry.type = kinds.UNKNOWN
        elif piece in {"<s>", "</s>"}:
            entry.type = kinds.CONTROL
        elif piece.startswith("<") and piece.endswith(">"):
            entry.type = kinds.USER_DEFINED
        else:
            entry.type = kinds.NORMAL
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    (folder / "tokenizer.vocab").write_text("".join(f"{piece}\t{-n}\n" for n, piece in enumerate(pieces)), "utf-8")
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")


def pieces_of(checkpoint: Path) -> list[str]:
    """Return the pieces of the tokenizer in the order of their ids, without the blank."""
    vocabulary: dict[str, int] = json.loads((checkpoint / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[piece] for piece in pieces] != list(range(len(pieces))):
        raise SystemExit(f"{checkpoint}/tokenizer.json: its ids are not 0, 1, 2, ...")
    return pieces


def build(checkpoint: Path, folder: Path) -> Any:
    """Return a NeMo model with the weights of the checkpoint; its tokenizer is written to `folder`."""
    sys.path.insert(0, str(_REFERENCES))
    import nemo_models
    import torch
    from compare_frameworks import rename
    from safetensors.torch import load_file

    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    encoder = config["encoder_config"]
    processor = json.loads((checkpoint / "processor_config.json").read_text("utf-8"))
    write_tokenizer(pieces_of(checkpoint), folder)
    left = encoder["sliding_window"] - 1
    shape = nemo_models.Shape(
        layers=encoder["num_hidden_layers"],
        width=encoder["hidden_size"],
        heads=encoder["num_attention_heads"],
        expansion=encoder["intermediate_size"] // encoder["hidden_size"],
        kernel=encoder["conv_kernel_size"],
        channels=encoder["subsampling_conv_channels"],
        contexts=tuple((left, right) for right in processor["supported_num_lookahead_tokens"]),
        predictor=config["decoder_hidden_size"],
        predictor_layers=config["num_decoder_layers"],
        joint=config["decoder_hidden_size"],
        pieces=config["blank_token_id"],
        prompts=config["num_prompts"],
    )
    nemo_models.PROMPTS.clear()
    nemo_models.PROMPTS.update(processor["prompt_dictionary"])
    model = nemo_models.build_model(shape, folder)
    weights: dict[str, Any] = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        weights.update(load_file(file))
    own = model.state_dict()
    taken: dict[str, Any] = {
        name: value if name.startswith("preprocessor.") else weights.pop(rename(name)) for name, value in own.items()
    }
    if weights:
        raise SystemExit(f"{checkpoint}: no place in NeMo's model for {', '.join(sorted(weights)[:5])}.")
    with torch.no_grad():
        model.load_state_dict(taken, strict=True)
    return model


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a transformers folder")
    parser.add_argument("out", type=Path, help="the .nemo to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = build(arguments.checkpoint, Path(folder))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        model.save_to(str(arguments.out))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters in {arguments.out}")


if __name__ == "__main__":
    main()
