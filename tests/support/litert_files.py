"""Changes to the models of a LiteRT bundle."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

PREFIX = "nemotron-multilingual-"

Change = Callable[[Any], object]


def edit(file: Path, change: Change) -> None:
    """Change a model whose weights are inside of it afterwards."""
    data = file.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    for buffer in model.buffers:
        if buffer.size:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    change(model)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    file.write_bytes(bytes(builder.Output()))


def forget_hashes(folder: Path) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text("utf-8"))
    del config["legato"]["files"]
    file.write_text(json.dumps(config), "utf-8")


def names(side: str, new: Sequence[str], *, backwards: bool = False) -> Change:
    """Rename the inputs or outputs in their order; with `backwards`, list them from the last to the first."""

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        for index, name in zip(getattr(graph, side), new, strict=True):
            graph.tensors[index].name = name.encode()
        if backwards:
            setattr(graph, side, getattr(graph, side)[::-1])
        model.signatureDefs = []

    return change


def as_constant(number: int, value: NDArray[Any]) -> Change:
    """Make a constant of an input."""

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        constant = schema.BufferT()
        constant.data = np.frombuffer(value.tobytes(), np.uint8)
        graph.tensors[graph.inputs[number]].buffer = len(model.buffers)
        model.buffers.append(constant)
        graph.inputs = np.delete(graph.inputs, number)
        model.signatureDefs = []

    return change


def more_outputs(model: Any) -> None:
    """Return what the first operator writes, too."""
    graph = model.subgraphs[0]
    graph.outputs = np.append(graph.operators[0].outputs[:1], graph.outputs)
    model.signatureDefs = []


def without_input(number: int) -> Change:
    """Leave an input out, and let a constant be read in its place."""

    def change(model: Any) -> None:
        tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[number]]
        size = int(np.prod(tensor.shape)) * (8 if tensor.type == schema.TensorType.INT64 else 4)
        as_constant(number, np.zeros(size, np.uint8))(model)

    return change


def code(**values: object) -> Change:
    """Change the kind of the first operator."""

    def change(model: Any) -> None:
        vars(model.operatorCodes[0]).update(values)

    return change


def tensor(place: int, **values: object) -> Change:
    """Change the tensor that the first operator reads at a place."""

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        vars(graph.tensors[graph.operators[0].inputs[place]]).update(values)

    return change


def operator(**values: object) -> Change:
    """Change the first operator."""

    def change(model: Any) -> None:
        vars(model.subgraphs[0].operators[0]).update(values)

    return change


def graph(**values: object) -> Change:
    """Change the first graph."""

    def change(model: Any) -> None:
        vars(model.subgraphs[0]).update(values)

    return change


def splits(model: Any) -> None:
    """Let an operator split a tensor into more parts than it has outputs; LiteRT would write beyond them."""
    for each in model.subgraphs[0].operators:
        if isinstance(each.builtinOptions, schema.SplitOptionsT):
            each.builtinOptions.numSplits = 4_456_452


def short_table(model: Any) -> None:
    """Leave ten rows of the table of the first operator, which gathers them."""
    first = model.subgraphs[0].tensors[model.subgraphs[0].operators[0].inputs[0]]
    model.buffers[first.buffer].data = model.buffers[first.buffer].data[: 4 * 10 * first.shape[1]]
    first.shape = np.array([10, first.shape[1]], np.int32)
