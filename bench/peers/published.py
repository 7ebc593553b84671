"""Write a published bundle: NeMo's own export of the encoder, quantized by ONNX Runtime's dynamic quantizer.

    python -m bench.peers.published EXPORT BUNDLE OUT

EXPORT is the folder that sherpa-onnx's exporter wrote for 320 ms (`models/sherpa-onnx/320`), BUNDLE the result of
`legato convert --layout published` for the same checkpoint. The encoder that Legato writes in that layout is quantized
in the same way, but its graph differs: NeMo's export projects the relative positions at every step, and its
convolutions remain convolutions, which the quantizer turns into `ConvInteger`. A few operators around the exported
graph provide the inputs and outputs of the published layout. Prediction net and joint are those of BUNDLE.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from legato.files import sha256_of

_PRE_CACHE = 9


def publish(export: Path, bundle: Path, out: Path) -> None:
    """Write the bundle `out`."""
    shutil.copytree(bundle, out, ignore=shutil.ignore_patterns("encoder.onnx*"))
    exported = compose.add_prefix(onnx.load(export / "encoder.int8.onnx"), "nemo/")
    contract = onnx.load(bundle / "encoder.onnx", load_external_data=False).graph
    graph = exported.graph
    node, nodes = helper.make_node, list(graph.node)
    before = [
        node("Concat", ["pre_cache", "audio_signal"], ["nemo/audio_signal"], axis=2),
        node("Cast", ["audio_length"], ["window"], to=TensorProto.INT64),
        node("Add", ["window", "pre_cache_frames"], ["nemo/length"]),
        node("Transpose", ["cache_last_channel"], ["nemo/cache_last_channel"], perm=[1, 0, 2, 3]),
        node("Transpose", ["cache_last_time"], ["nemo/cache_last_time"], perm=[1, 0, 2, 3]),
        node("Cast", ["cache_last_channel_len"], ["nemo/cache_last_channel_len"], to=TensorProto.INT64),
        node("ArgMax", ["language_mask"], ["nemo/prompt_index"], axis=1, keepdims=0),
    ]
    after = [
        node("Transpose", ["nemo/outputs"], ["encoded_output"], perm=[0, 2, 1]),
        node("Cast", ["nemo/encoded_lengths"], ["encoded_length"], to=TensorProto.INT32),
        node("Slice", ["nemo/audio_signal", "first", "end", "axis"], ["new_pre_cache"]),
        node("Transpose", ["nemo/cache_last_channel_next"], ["new_cache_last_channel"], perm=[1, 0, 2, 3]),
        node("Transpose", ["nemo/cache_last_time_next"], ["new_cache_last_time"], perm=[1, 0, 2, 3]),
        node("Cast", ["nemo/cache_last_channel_next_len"], ["new_cache_last_channel_len"], to=TensorProto.INT32),
    ]
    for field, values in (("node", [*before, *nodes, *after]), ("input", contract.input), ("output", contract.output)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    for name, value in (
        ("pre_cache_frames", _PRE_CACHE),
        ("first", -_PRE_CACHE),
        ("end", np.iinfo(np.int64).max),
        ("axis", 2),
    ):
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    onnx.save(exported, out / "encoder.onnx", save_as_external_data=True, location="encoder.onnx.data")
    config = json.loads((out / "config.json").read_text())
    config["legato"]["files"] = {
        file.name: {"size": file.stat().st_size, "sha256": sha256_of(file)}
        for file in sorted(out.iterdir())
        if file.name != "config.json"
    }
    (out / "config.json").write_text(json.dumps(config, indent=2))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("export", "bundle", "out"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    publish(arguments.export, arguments.bundle, arguments.out)


if __name__ == "__main__":
    main()
