"""Record NeMo's own confidence of tokens on checkpoints that `make_nemo.py` made.

    python make_confidence.py CHECKPOINT_FOLDER... --audio AUDIO...

Writes <folder>/confidence.json: for each clip, in the checkpoint's first right context, the tokens and, by measure, their
confidences. Words are left out: NeMo stops with an error at these random texts. Made with nemo-toolkit 3.0.0.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from nemo.collections.asr.models import ASRModel
from omegaconf import OmegaConf, open_dict

import nemo_models
from clips import read_clips

MEASURES = {
    "max_prob": {"name": "max_prob", "alpha": 1.0},
    "entropy": {"name": "entropy", "entropy_type": "tsallis", "entropy_norm": "exp", "alpha": 0.33},
}


def confidences(model: Any, frames: torch.Tensor, measure: str) -> Any:
    """NeMo's hypothesis for encoder frames [T, D], with confidences."""
    decoding = OmegaConf.create(OmegaConf.to_container(model.cfg.decoding))
    with open_dict(decoding):
        decoding.confidence_cfg = {
            "preserve_frame_confidence": True,
            "preserve_token_confidence": True,
            "exclude_blank": True,
            "method_cfg": MEASURES[measure],
        }
    model.change_decoding_strategy(decoding, verbose=False)
    [hypothesis] = model.decoding.rnnt_decoder_predictions_tensor(
        encoder_output=frames.T[None], encoded_lengths=torch.tensor([len(frames)]), return_hypotheses=True
    )
    return hypothesis


def main() -> None:
    """Record every folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--audio", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    clips = read_clips(arguments.audio)
    for folder in arguments.folders:
        model = ASRModel.restore_from(str(folder / "model.nemo"), map_location="cpu").eval()
        about = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        right = about["rights"][0]
        nemo_models.use_context(model, about["left"], right)
        recorded: dict[str, Any] = {}
        for name, audio in clips.items():
            described = about["clips"][name]
            mel, length = nemo_models.mel_of(model, audio)
            frames = nemo_models.offline(model, mel, length, described["slot"])
            entry: dict[str, Any] = {}
            for measure in MEASURES:
                hypothesis = confidences(model, frames, measure)
                entry["tokens"] = [int(token) for token in hypothesis.y_sequence]
                entry[measure] = [round(float(value), 6) for value in hypothesis.token_confidence]
            recorded[name] = entry
        text = json.dumps({"right": right, "clips": recorded}, ensure_ascii=False)
        (folder / "confidence.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
