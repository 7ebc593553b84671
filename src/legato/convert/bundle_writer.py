"""Writes the files of a bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir

from legato.convert.architecture import SUBSAMPLING_FACTOR
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.published import FRAMES, PRE_CACHE, RIGHT_CONTEXT, WINDOW, write_reference_encoder
from legato.convert.quantize.precision import Precision
from legato.files import sha256_of
from legato.model.languages import AUTO

Progress = Callable[[str, int, int], None]

FORMAT = 1


def write_bundle(
    checkpoint: Checkpoint, folder: Path, precision: Precision, layout: str, *, name: str, progress: Progress
) -> None:
    """Write a whole bundle into a new folder, a weight at a time.

    Prediction net and joint take the precision that goes with the encoder's.
    """
    folder.mkdir(parents=True)
    native = layout == "native"
    small = precision.transducer
    batch: int | str = "batch" if native else 1
    frames: int | str = "frames" if native else 1
    encoder = (write_native_encoder if native else write_reference_encoder)(checkpoint, precision)
    save_graph(encoder, folder, "encoder", progress)
    save_graph(write_decoder(checkpoint, small, batch), folder, "decoder", progress)
    save_graph(write_joint(checkpoint, small, batch, frames), folder, "joint", progress)
    _write_json(folder / "vocab.json", {str(number): piece for number, piece in enumerate(checkpoint.pieces)})
    _write_json(folder / "languages.json", _languages(checkpoint))
    files = {file.name: {"size": file.stat().st_size, "sha256": sha256_of(file)} for file in sorted(folder.iterdir())}
    _write_json(folder / "config.json", _config(checkpoint, precision.name, layout, name) | {"legato": {
        "format": FORMAT,
        "name": name,
        "layout": layout,
        "precision": precision.name,
        **({"recipe": precision.recipe} if precision.recipe else {}),
        **({"narrowWeights": True} if precision.narrow else {}),
        "attentionHeads": checkpoint.architecture.heads,
        "rightContexts": list(checkpoint.architecture.right_contexts),
        "maxSymbols": checkpoint.architecture.max_symbols,
        "melConstants": checkpoint.architecture.mel.constants_dtype,
        "files": files,
    }})  # fmt: skip


def save_graph(model: ir.Model, folder: Path, name: str, progress: Progress) -> None:
    """Write one graph and the file with its weights."""
    done = 0

    def written(_: ir.TensorProtocol, info: ir.external_data.CallbackInfo) -> None:
        nonlocal done
        done += 1
        progress(name, done, info.total)

    # Offsets in whole pages, so that ONNX Runtime can map the weights instead of copying them.
    ir.save(model, folder / f"{name}.onnx", external_data=f"{name}.onnx.data", callback=written, alignment=1 << 16)
    # An external file must be there even where every tensor was small enough to stand in the graph.
    (folder / f"{name}.onnx.data").touch()


def _languages(checkpoint: Checkpoint) -> dict[str, Any]:
    prompts = checkpoint.prompt_dictionary
    auto = {"autoSlot": prompts[AUTO]} if AUTO in prompts else {}
    return {"numPrompts": checkpoint.architecture.prompts, **auto, "promptDictionary": prompts}


def _config(checkpoint: Checkpoint, precision: str, layout: str, name: str) -> dict[str, Any]:
    """The keys that loaders of the published bundle read."""
    a = checkpoint.architecture
    right = RIGHT_CONTEXT if layout == "reference" else a.right_contexts[0]
    frames = FRAMES if layout == "reference" else right + 1
    chunk_ms = frames * SUBSAMPLING_FACTOR * a.mel.hop_length * 1000 // a.mel.sample_rate
    return {
        "model": name,
        "precision": precision,
        "sampleRate": a.mel.sample_rate,
        "numMelBins": a.mel.mel_bins,
        "nFFT": a.mel.fft_length,
        "hopLength": a.mel.hop_length,
        "winLength": a.mel.window_length,
        "preEmphasis": a.mel.pre_emphasis,
        "encoderHidden": a.width,
        "encoderLayers": a.layers,
        "subsamplingFactor": SUBSAMPLING_FACTOR,
        "attentionLeftContext": a.left_context,
        "convCacheSize": a.conv_cache,
        "decoderHidden": a.prediction_hidden,
        "decoderLayers": a.prediction_layers,
        "vocabSize": a.vocabulary,
        "blankTokenId": a.vocabulary,
        "numPrompts": a.prompts,
        "streaming": {
            "chunkMs": chunk_ms,
            "chunkSize": frames * SUBSAMPLING_FACTOR * a.mel.hop_length,
            "rightContext": right,
            "melFrames": WINDOW if layout == "reference" else frames * SUBSAMPLING_FACTOR,
            "preCacheSize": PRE_CACHE,
            "outputFrames": frames,
        },
    }


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")
