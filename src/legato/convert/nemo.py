"""Reads a NeMo archive (`.nemo`): a tar of `model_config.yaml`, `model_weights.ckpt` and the files of the tokenizer."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from legato.convert.architecture import Architecture, measure
from legato.convert.checkpoint import Checkpoint, Weight
from legato.convert.checks import check_shapes, prompt_slots, require
from legato.convert.license import read_license
from legato.convert.nemo_archive import WEIGHTS, read_config, unpack
from legato.convert.scratch import ScratchFolder
from legato.convert.torch_archive import TorchArchive
from legato.errors import CheckpointError
from legato.model.fields import Fields
from legato.runtime.features import hann_window, mel_filters
from legato.types import MelConfig


def open_nemo(path: Path) -> Checkpoint:
    """Open a `.nemo` archive. Its weights are unpacked into a temporary folder and memory-mapped.

    Raises:
        CheckpointError: it is not such an archive, is unsafe, or has another architecture.
    """
    scratch = ScratchFolder("legato-nemo-")
    try:
        return _open(path, scratch)
    except BaseException:
        scratch.remove()
        raise


def _open(path: Path, scratch: ScratchFolder) -> Checkpoint:
    folder = scratch.path
    unpack(path, folder)
    try:
        config = read_config(folder)
        archive = TorchArchive(folder / WEIGHTS)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    root = Fields(config, f"{path}: model_config.yaml")
    if not isinstance(config.get("encoder"), dict):
        raise CheckpointError(f"{path}: its configuration describes no encoder, so it is not a speech model.")
    encoder = root.section("encoder")
    _check_config(path, config)
    stored = {_rename(name): name for name in archive.tensors}
    shapes = {name: archive.tensors[original].shape for name, original in stored.items()}
    preprocessor = root.section("preprocessor")
    left, rights = _contexts(path, encoder, config["encoder"].get("att_context_size"))
    try:
        architecture = measure(
            shapes,
            left_context=left,
            right_contexts=rights,
            max_symbols=root.section("decoding").section("greedy").integer("max_symbols", 1, 100, 10),
            mel=_mel_config(path, preprocessor, config.get("preprocessor") or {}, archive),
            scaled_input=encoder.flag("xscaling", True),
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: another architecture: the weight {error} is missing.") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: another architecture: {error}.") from error
    check_shapes(path, architecture, shapes)

    def release() -> None:
        archive.close()
        scratch.remove()

    return Checkpoint(
        path=path,
        architecture=architecture,
        pieces=_pieces(path, folder, config, architecture),
        prompt_dictionary=prompt_slots(root.section("model_defaults"), "prompt_dictionary", architecture.prompts),
        weights={name: partial(_read, archive, original) for name, original in stored.items()},
        license=read_license(path),
        nbytes=(folder / WEIGHTS).stat().st_size,
        release=release,
    )


def _rename(name: str) -> str:
    # The joint's output layer is number 1 of a Sequential, or number 2 if it follows a dropout layer.
    for number in (1, 2):
        name = name.replace(f"joint.joint_net.{number}.", "joint.joint_net.out.")
    return name


def _read(archive: TorchArchive, name: str) -> Weight:
    return archive.read(name).astype(np.float32, copy=False)


def _check_config(path: Path, config: Mapping[str, Any]) -> None:
    encoder = config["encoder"]
    require(
        path,
        "encoder",
        (
            (name, encoder.get(name, default), needed)
            for name, default, needed in (
                ("self_attention_model", "rel_pos", "rel_pos"),
                ("subsampling", "striding", "dw_striding"),
                ("subsampling_factor", 4, 8),
                ("causal_downsampling", False, True),
                ("att_context_style", "regular", "chunked_limited"),
                ("conv_context_size", None, "causal"),
                ("conv_norm_type", "batch_norm", "layer_norm"),
                ("untie_biases", True, True),
            )
        ),
    )
    defaults = config.get("model_defaults")
    if not isinstance(defaults, dict) or "prompt_dictionary" not in defaults:
        raise CheckpointError(
            f"{path}: another architecture: model_defaults has no prompt_dictionary, so the model has no language "
            f"prompt (its target is {config.get('target')!r:.80})."
        )


def _contexts(path: Path, encoder: Fields, sizes: object) -> tuple[int, tuple[int, ...]]:
    if not isinstance(sizes, list) or not sizes:
        raise CheckpointError(f"{path}: the encoder's att_context_size is missing.")
    pairs = sizes if isinstance(sizes[0], list) else [sizes]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise CheckpointError(f"{path}: the encoder's att_context_size is no pair of numbers, nor a list of pairs.")
    lefts = {encoder.whole("att_context_size", left, -1, 1 << 20) for left, _ in pairs}
    rights = tuple(encoder.whole("att_context_size", right, -1, 1000) for _, right in pairs)
    if len(lefts) != 1 or min(lefts) < 1 or min(rights) < 0:
        raise CheckpointError(
            f"{path}: another architecture: att_context_size is {sizes}; streaming needs one limited left "
            "context and limited right contexts."
        )
    return lefts.pop(), rights


def _mel_config(path: Path, section: Fields, preprocessor: Mapping[str, Any], archive: TorchArchive) -> MelConfig:
    rate = section.integer("sample_rate", 1, 1 << 20, 16000)
    require(
        path,
        "preprocessor",
        (
            ("normalize", preprocessor.get("normalize"), "NA"),
            ("window", preprocessor.get("window", "hann"), "hann"),
            ("frame_splicing", preprocessor.get("frame_splicing", 1), 1),
            ("log", preprocessor.get("log", True), True),
            ("mag_power", preprocessor.get("mag_power", 2.0), 2.0),
            ("lowfreq", preprocessor.get("lowfreq", 0), 0),
            ("exact_pad", preprocessor.get("exact_pad", False), False),
            ("log_zero_guard_type", preprocessor.get("log_zero_guard_type", "add"), "add"),
        ),
    )
    window = round(rate * section.number("window_size", 0, 1, 0.02))
    config = MelConfig(
        sample_rate=rate,
        mel_bins=section.integer("features", 1, 1024, 64),
        fft_length=section.integer("n_fft", 1, 1 << 20, 1 << (window - 1).bit_length()),
        hop_length=round(rate * section.number("window_stride", 0, 1, 0.01)),
        window_length=window,
        pre_emphasis=section.number("preemph", 0, 1, 0.97 if "preemph" not in preprocessor else 0.0),
    )
    constants = ("preprocessor.featurizer.window", "preprocessor.featurizer.fb")
    if not all(name in archive.tensors for name in constants):
        return config
    stored = [np.squeeze(_read(archive, name)) for name in constants]
    for dtype in ("float32", "bfloat16"):
        candidate = MelConfig(**{**config.__dict__, "constants_dtype": dtype})
        ours = (hann_window(candidate), mel_filters(candidate).T)
        if all(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(ours, stored, strict=True)):
            return candidate
    raise CheckpointError(f"{path}: its window or mel filter bank differs from what its configuration describes.")


def _pieces(path: Path, folder: Path, config: Mapping[str, Any], architecture: Architecture) -> list[str]:
    tokenizer = config.get("tokenizer")
    model = str(tokenizer.get("model_path", "") if isinstance(tokenizer, dict) else "").removeprefix("nemo:")
    if not model or Path(model).name != model or not (folder / model).is_file():
        raise CheckpointError(f"{path}: the SentencePiece model of its tokenizer is missing.")
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(folder / model))
    except (RuntimeError, OSError) as error:
        raise CheckpointError(f"{path}: its SentencePiece model cannot be read ({error}).") from error
    pieces = [str(processor.IdToPiece(i)) for i in range(processor.GetPieceSize())]
    if len(pieces) != architecture.vocabulary:
        raise CheckpointError(
            f"{path}: the tokenizer has {len(pieces)} pieces, but the prediction net has {architecture.vocabulary} "
            "tokens."
        )
    return pieces
