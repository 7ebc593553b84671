"""The models of a LiteRT bundle: the graphs of the published layout, translated."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.precision import Precision
from legato.convert.graph.published import write_published_encoder
from legato.convert.litert.model import Model, Tensor
from legato.convert.litert.operators import cast, translate_node
from legato.convert.litert.translation import Translation
from legato.files import Progress
from legato.model.bundle import graph_name


def save_models(checkpoint: Checkpoint, folder: Path, precision: Precision, progress: Progress) -> None:
    """Write the three models, and `io_map.json` with the role of every input and output.

    Args:
        folder: where to write.
        precision: precision of the encoder, from which that of the others follows.
        progress: called after every weight, with the name of the graph as the step.
    """
    transducer = precision.transducer
    writers: dict[str, Callable[[], ir.Model]] = {
        "encoder": lambda: write_published_encoder(checkpoint, precision),
        "decoder": lambda: write_decoder(checkpoint, transducer, 1, linear=True),
        "joint": lambda: write_joint(checkpoint, transducer, 1, 1),
    }
    roles = {}
    for graph, write in writers.items():
        source = write()
        model = translate(source.graph)
        model.save(
            folder / graph_name("litert", graph),
            f"{source.doc_string}, {precision.name}",
            lambda done, total, graph=graph: progress(graph, done, total),  # type: ignore[misc]
        )
        roles[graph] = {
            "inputs": _roles(model.inputs, source.graph.inputs),
            "outputs": _roles(model.outputs, source.graph.outputs),
        }
    (folder / "io_map.json").write_text(json.dumps(roles, indent=1) + "\n", "utf-8")


def translate(graph: ir.Graph) -> Model:
    """Translate a graph. Inputs and outputs keep their order.

    int32 inputs become int64: lengths are int64 where they enter and int32 where they leave, as in published bundles.
    """
    t = Translation()
    for value in graph.inputs:
        assert value.dtype and value.shape
        dtype = value.dtype.numpy()
        tensor = t.model.input(np.int64 if dtype == np.int32 else dtype, value.shape.numpy())
        t[value] = tensor if tensor.dtype == dtype else cast(t, tensor, dtype)
    for node in graph:
        translate_node(t, node)
    for value in graph.outputs:
        t.model.output(t[value])
    return t.model


def _roles(tensors: Sequence[Tensor], values: Sequence[ir.Value]) -> dict[str, dict[str, object]]:
    """Return name, type and shape of each tensor by its role, the name in the ONNX layout."""
    return {
        str(value.name): {"name": tensor.name, "dtype": tensor.dtype.name, "shape": list(tensor.shape)}
        for tensor, value in zip(tensors, values, strict=True)
    }
