"""Reads a NeMo archive (`.nemo`): a tar of `model_config.yaml`, `model_weights.ckpt` and the files of the tokenizer."""

import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import sentencepiece
import yaml

from legato.convert.architecture import Architecture, measure
from legato.convert.checkpoint import Checkpoint, Weight
from legato.convert.checks import check_shapes, require
from legato.convert.torch_archive import TorchArchive
from legato.errors import CheckpointError
from legato.runtime.features import hann_window, mel_filters
from legato.types import MelConfig

_CONFIG, _WEIGHTS = "model_config.yaml", "model_weights.ckpt"


def open_nemo(path: Path) -> Checkpoint:
    """Open a `.nemo` archive. Its weights are unpacked into a temporary folder and memory-mapped.

    Raises:
        CheckpointError: it is not such an archive, is unsafe, or has another architecture.
    """
    folder = Path(tempfile.mkdtemp(prefix="legato-nemo-"))
    try:
        return _open(path, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _open(path: Path, folder: Path) -> Checkpoint:
    _unpack(path, folder)
    try:
        config = yaml.safe_load((folder / _CONFIG).read_text("utf-8"))
    except yaml.YAMLError as error:
        raise CheckpointError(f"{path}: its {_CONFIG} is not plain YAML ({error}).") from error
    if not isinstance(config, dict) or not isinstance(config.get("encoder"), dict):
        raise CheckpointError(f"{path}: its {_CONFIG} describes no encoder, so it is not a speech model.")
    _check_config(path, config)
    try:
        archive = TorchArchive(folder / _WEIGHTS)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    stored = {_rename(name): name for name in archive.tensors}
    shapes = {name: archive.tensors[original].shape for name, original in stored.items()}
    mel = _mel_config(path, config["preprocessor"], archive)
    left, rights = _contexts(path, config["encoder"])
    try:
        architecture = measure(
            shapes,
            left_context=left,
            right_contexts=rights,
            max_symbols=int((config.get("decoding") or {}).get("greedy", {}).get("max_symbols") or 10),
            mel=mel,
            scaled_input=bool(config["encoder"].get("xscaling", True)),
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: another architecture: the weight {error} is missing.") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: another architecture: {error}.") from error
    check_shapes(path, architecture, shapes)

    def release() -> None:
        archive.close()
        shutil.rmtree(folder, ignore_errors=True)

    return Checkpoint(
        path=path,
        architecture=architecture,
        pieces=_pieces(path, folder, config, architecture),
        prompt_dictionary=_prompt_dictionary(path, config),
        weights={name: partial(_read, archive, original) for name, original in stored.items()},
        nbytes=(folder / _WEIGHTS).stat().st_size,
        release=release,
    )


def _unpack(path: Path, folder: Path) -> None:
    """Unpack the regular files at the top level of the archive. Links, devices and paths with folders are skipped."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                inside = PurePosixPath(member.name)
                if member.isfile() and len([part for part in inside.parts if part != "."]) == 1:
                    source = archive.extractfile(member)
                    assert source is not None
                    with source, (folder / inside.name).open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
    except (tarfile.TarError, EOFError) as error:
        raise CheckpointError(f"{path}: not a .nemo archive, or truncated ({error}).") from error
    for name in (_CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{path}: contains no {name}, so it is not a .nemo archive of a model.")


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
    if "prompt_dictionary" not in (config.get("model_defaults") or {}):
        raise CheckpointError(
            f"{path}: another architecture: model_defaults has no prompt_dictionary, so the model has no language "
            f"prompt (its target is {config.get('target')})."
        )


def _contexts(path: Path, encoder: Mapping[str, Any]) -> tuple[int, tuple[int, ...]]:
    sizes = encoder.get("att_context_size")
    if not isinstance(sizes, list) or not sizes:
        raise CheckpointError(f"{path}: the encoder's att_context_size is missing.")
    pairs = sizes if isinstance(sizes[0], list) else [sizes]
    lefts = {int(left) for left, _ in pairs}
    rights = tuple(int(right) for _, right in pairs)
    if len(lefts) != 1 or min(lefts) < 1 or min(rights) < 0:
        raise CheckpointError(
            f"{path}: another architecture: att_context_size is {sizes}; streaming needs one limited left "
            "context and limited right contexts."
        )
    return lefts.pop(), rights


def _mel_config(path: Path, preprocessor: Mapping[str, Any], archive: TorchArchive) -> MelConfig:
    rate = int(preprocessor.get("sample_rate", 16000))
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
    window = round(rate * float(preprocessor.get("window_size", 0.02)))
    config = MelConfig(
        sample_rate=rate,
        mel_bins=int(preprocessor.get("features", 64)),
        fft_length=int(preprocessor.get("n_fft") or 1 << (window - 1).bit_length()),
        hop_length=round(rate * float(preprocessor.get("window_stride", 0.01))),
        window_length=window,
        pre_emphasis=float(preprocessor.get("preemph", 0.97) or 0.0),
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
    model = str((config.get("tokenizer") or {}).get("model_path", "")).removeprefix("nemo:")
    if not model or not (folder / model).is_file():
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


def _prompt_dictionary(path: Path, config: Mapping[str, Any]) -> dict[str, int]:
    dictionary = config["model_defaults"]["prompt_dictionary"]
    if not isinstance(dictionary, dict) or not dictionary:
        raise CheckpointError(f"{path}: its prompt_dictionary is empty.")
    return {str(name): int(slot) for name, slot in dictionary.items()}
