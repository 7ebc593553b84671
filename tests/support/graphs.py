"""Changes to the graphs of a bundle."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

Change = Callable[[ModelProto], object]


def edit_graph(file: Path, change: Change, *, external: bool = False) -> None:
    """Change a graph; its weights are then in the graph itself, or else in NAME.onnx.data."""
    model = onnx.load(file)
    change(model)
    data = file.with_name(f"{file.name}.data")
    data.unlink(missing_ok=True)  # onnx appends to it
    onnx.save(model, file, save_as_external_data=external, location=data.name if external else None)


def sign_weights(file: Path) -> None:
    """Store the quantized weights of a graph as the same integers in int8, with zero point 0 instead of 128."""

    def change(model: ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name.endswith((".quantized", ".zero_point")):
                values = numpy_helper.to_array(tensor).astype(np.int16) - 128
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int8), tensor.name))

    edit_graph(file, change, external=file.with_name(f"{file.name}.data").exists())


def retype(old: int, new: int) -> Change:
    """Give inputs and outputs of one element type another one, with casts inside."""

    def change(model: ModelProto) -> None:
        graph = model.graph
        before, after = [], []
        for value in graph.input:
            if value.type.tensor_type.elem_type == old:
                value.type.tensor_type.elem_type = new
                rename_uses(graph, value.name, f"{value.name}/inside")
                before.append(helper.make_node("Cast", [value.name], [f"{value.name}/inside"], to=old))
        for value in graph.output:
            if value.type.tensor_type.elem_type == old:
                value.type.tensor_type.elem_type = new
                rename_uses(graph, value.name, f"{value.name}/inside", outputs=True)
                after.append(helper.make_node("Cast", [f"{value.name}/inside"], [value.name], to=new))
        nodes = [*before, *graph.node, *after]
        del graph.node[:]
        graph.node.extend(nodes)

    return change


def rename_uses(graph: GraphProto, old: str, new: str, *, outputs: bool = False) -> None:
    """Rename a value in all nodes: where it is read, and with `outputs` where it is computed."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
        for index, name in enumerate(node.output):
            if name == old and outputs:
                node.output[index] = new


def rename(old: str, new: str) -> Change:
    """Rename an input or output."""

    def change(model: ModelProto) -> None:
        for value in values_of(model):
            if value.name == old:
                value.name = new
        rename_uses(model.graph, old, new, outputs=True)

    return change


def values_of(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs and outputs of a graph."""
    return [*model.graph.input, *model.graph.output]


def without_input(name: str, value: NDArray[np.int32]) -> Change:
    """Remove an input; the graph has a constant in its place."""

    def change(model: ModelProto) -> None:
        kept = [each for each in model.graph.input if each.name != name]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.graph.initializer.append(numpy_helper.from_array(value, name))

    return change


def reverse(model: ModelProto) -> None:
    """Reverse the order of inputs and outputs."""
    for values in (model.graph.input, model.graph.output):
        kept = list(values)[::-1]
        del values[:]
        values.extend(kept)


def free_axes(model: ModelProto) -> None:
    """Make every axis of inputs and outputs dynamic."""
    for value in values_of(model):
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            size.dim_param = f"{value.name}_{axis}"


def set_shape(name: str, shape: list[int]) -> Change:
    """Declare another shape of an input or output."""

    def change(model: ModelProto) -> None:
        for value in values_of(model):
            if value.name == name:
                dtype = value.type.tensor_type.elem_type
                value.CopyFrom(helper.make_tensor_value_info(name, dtype, shape))

    return change


def add_output(model: ModelProto) -> None:
    """Add an output before the others."""
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "three"))
    model.graph.node.append(helper.make_node("Neg", ["three"], ["additional"]))
    kept = [helper.make_tensor_value_info("additional", TensorProto.FLOAT, [3]), *model.graph.output]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def add_input(model: ModelProto) -> None:
    """Add an input that nothing reads."""
    model.graph.input.append(helper.make_tensor_value_info("speaker", TensorProto.FLOAT, [1]))


def weights_as_inputs(model: ModelProto) -> None:
    """List the weights as inputs too, as old exporters did."""
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))


def point_elsewhere(location: str) -> Change:
    """Let the first weight be in another file."""

    def change(model: ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=location)

    return change


def point_elsewhere_in_a_node(location: str) -> Change:
    """Let the value of a Constant node be in another file."""

    def change(model: ModelProto) -> None:
        tensor = numpy_helper.from_array(np.ones(3, np.float32), "hidden")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=tensor))

    return change


def set_field(field: str, number: int) -> Change:
    """Set the version of the format (`ir_version`) or of the operators (`opset`)."""

    def change(model: ModelProto) -> None:
        if field == "opset":
            model.opset_import[0].version = number
        else:
            setattr(model, field, number)

    return change


def add_operator(domain: str) -> Change:
    """Add an operator that no version of ONNX Runtime has."""

    def change(model: ModelProto) -> None:
        if domain not in {opset.domain for opset in model.opset_import}:
            model.opset_import.append(helper.make_opsetid(domain, 1))
        model.graph.node.append(helper.make_node("Understand", [model.graph.input[0].name], ["meaning"], domain=domain))

    return change


def spoil(model: ModelProto) -> None:
    """Make every float output NaN."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.nan, np.float32), "nan"))
    for value in model.graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            rename_uses(model.graph, value.name, f"{value.name}/inside", outputs=True)
            model.graph.node.append(helper.make_node("Mul", [f"{value.name}/inside", "nan"], [value.name]))
