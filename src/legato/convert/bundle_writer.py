"""Writes the files of a bundle."""

import json
from pathlib import Path
from typing import Any

import onnx_ir as ir

from legato.chunks import SUBSAMPLING_FACTOR
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Precision
from legato.convert.graph.published import FRAMES, PRE_CACHE, RIGHT_CONTEXT, WINDOW, write_published_encoder
from legato.files import Progress, sha256_of
from legato.model.bundle import FORMAT
from legato.model.languages import AUTO


def write_bundle(
    checkpoint: Checkpoint, folder: Path, precision: Precision, layout: str, *, name: str, progress: Progress
) -> None:
    """Write a whole bundle, one weight at a time.

    Args:
        folder: the folder to create; it must not exist.
        precision: precision of the encoder. It determines the precision of prediction net and joint.
        layout: `native`, `published` or `litert`.
        progress: called after every weight, with the name of the graph as the step.
    """
    folder.mkdir(parents=True)
    native = layout == "native"
    transducer = precision.transducer
    batch: int | str = "batch" if native else 1
    frames: int | str = "frames" if native else 1
    if layout == "litert":
        # Needs the packages of the extra `litert`.
        from legato.convert.litert.graphs import save_models  # noqa: PLC0415

        save_models(checkpoint, folder, precision, progress)
    else:
        encoder = (write_native_encoder if native else write_published_encoder)(checkpoint, precision)
        save_graph(encoder, folder, "encoder", progress)
        save_graph(write_decoder(checkpoint, transducer, batch), folder, "decoder", progress)
        save_graph(write_joint(checkpoint, transducer, batch, frames), folder, "joint", progress)
    _write_json(folder / "vocab.json", {str(number): piece for number, piece in enumerate(checkpoint.pieces)})
    _write_json(folder / "languages.json", _languages(checkpoint))
    files = {file.name: {"size": file.stat().st_size, "sha256": sha256_of(file)} for file in sorted(folder.iterdir())}
    ours = _our_config(checkpoint, precision, layout, name) | {"files": files}
    _write_json(folder / "config.json", _published_config(checkpoint, precision.name, layout, name) | {"legato": ours})


def save_graph(model: ir.Model, folder: Path, name: str, progress: Progress) -> None:
    """Write the graph `name`.onnx and the file of its weights, `name`.onnx.data."""
    done = 0

    def written(_: ir.TensorProtocol, info: ir.external_data.CallbackInfo) -> None:
        nonlocal done
        done += 1
        progress(name, done, info.total)

    # Offsets are multiples of a page, so that ONNX Runtime can map the weights instead of copying them.
    ir.save(model, folder / f"{name}.onnx", external_data=f"{name}.onnx.data", callback=written, alignment=1 << 16)
    # The external file must exist even if every tensor was small enough to be stored in the graph.
    (folder / f"{name}.onnx.data").touch()


def _languages(checkpoint: Checkpoint) -> dict[str, Any]:
    """The prompts of the checkpoint, and the bare code of every language whose locales share one slot.

    Readers of the published layout look up a locale and then its bare code, and use `auto` if both are missing.
    """
    prompts = checkpoint.prompt_dictionary
    slots: dict[str, set[int]] = {}
    for name, slot in prompts.items():
        if "-" in name:
            slots.setdefault(name.split("-")[0], set()).add(slot)
    codes = {code: min(found) for code, found in slots.items() if len(found) == 1}
    auto = {"autoSlot": prompts[AUTO]} if AUTO in prompts else {}
    return {"numPrompts": checkpoint.architecture.prompts, **auto, "promptDictionary": codes | prompts}


def _our_config(checkpoint: Checkpoint, precision: Precision, layout: str, name: str) -> dict[str, Any]:
    """The keys that only Legato reads."""
    a = checkpoint.architecture
    return {
        "format": FORMAT,
        "name": name,
        "layout": layout,
        "precision": precision.name,
        **({"recipe": precision.recipe} if precision.recipe else {}),
        **({"narrowWeights": True} if precision.reduce_range else {}),
        "attentionHeads": a.heads,
        "rightContexts": list(a.right_contexts),
        "maxSymbols": a.max_symbols,
        "melConstants": a.mel.constants_dtype,
        "source": {
            "file": checkpoint.path.name,
            "parameters": a.parameters,
            **({"license": dict(checkpoint.license)} if checkpoint.license else {}),
        },
    }


def _published_config(checkpoint: Checkpoint, precision: str, layout: str, name: str) -> dict[str, Any]:
    """The keys that loaders of the published bundle read."""
    a = checkpoint.architecture
    published = layout != "native"
    right = RIGHT_CONTEXT if published else a.right_contexts[0]
    frames = FRAMES if published else right + 1
    samples = frames * SUBSAMPLING_FACTOR * a.mel.hop_length
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
            "chunkMs": samples * 1000 // a.mel.sample_rate,
            "chunkSize": frames,
            "rightContext": right,
            "melFrames": WINDOW if published else frames * SUBSAMPLING_FACTOR,
            "preCacheSize": PRE_CACHE,
            "outputFrames": frames,
        },
    }


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")
