"""An ONNX graph as plain lists, with dynamically quantised products made products of floats again.

Dynamic quantisation rounds the input of each product at run time (DynamicQuantizeLinear, MatMulInteger or ConvInteger,
the bias in whole steps, Cast, Mul). :func:`load` replaces each such chain by MatMul or Conv with dequantised weights,
and quantised LSTMs by LSTM, then joins what a graph of small operators spells out (linear layers, normalizations).
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]


@dataclass
class Node:
    """One operator; an input that is left out is ``""``."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Graph:
    """Nodes in an order in which they can run."""

    inputs: list[str]
    outputs: list[str]
    nodes: list[Node]
    constants: dict[str, Array]

    def producers(self) -> dict[str, Node]:
        """Return which node makes a value."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    def consumers(self) -> dict[str, list[Node]]:
        """Return which nodes use a value; a node that uses it twice is there twice."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return found

    def prune(self) -> None:
        """Remove the nodes and constants that nothing needs."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(node.inputs)
        self.nodes = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}

    def replace(self, old: list[Node], new: Node) -> None:
        """Put ``new`` in the place of the last of the ``old`` nodes."""
        removed = {id(node) for node in old}
        last = max(index for index, node in enumerate(self.nodes) if id(node) in removed)
        self.nodes[last] = new
        self.nodes = [node for node in self.nodes if id(node) not in removed]


def load(path: Path) -> Graph:
    """Return the graph of a file, in floats."""
    proto = onnx.load(str(path)).graph
    constants = {item.name: numpy_helper.to_array(item) for item in proto.initializer}
    nodes = []
    for item in proto.node:
        attributes = {attribute.name: _attribute(attribute) for attribute in item.attribute}
        if item.op_type == "Constant":
            constants[item.output[0]] = attributes["value"]
        else:
            nodes.append(Node(item.op_type, list(item.input), list(item.output), attributes))
    inputs = [item.name for item in proto.input if item.name not in constants]
    graph = Graph(inputs, [item.name for item in proto.output], nodes, constants)
    for step in (_dequantise, _divide_by_window, _angle, _normalise, _linear, _group_linear):
        step(graph)
        graph.prune()
    return graph


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _dequantise(graph: Graph) -> None:
    producers, consumers = graph.producers(), graph.consumers()
    constants = graph.constants

    def weight(name: str, zero_point: str, scale: Array, shape: tuple[int, ...]) -> str:
        zero = constants[zero_point].astype(np.int32) if zero_point else np.zeros(1, np.int32)
        steps, zeros = (item.reshape(shape) if item.size > 1 else item.reshape(()) for item in (scale, zero))
        constants[f"{name} as float"] = ((constants[name].astype(np.int32) - zeros) * steps).astype(np.float32)
        return f"{name} as float"

    made: dict[int, Node] = {}
    for node in graph.nodes:
        if node.op in ("MatMulInteger", "ConvInteger"):
            bias, last = "", consumers[node.outputs[0]][0]
            if last.op == "Add":  # the bias, divided by the scale, rounded and cast
                source = producers[next(name for name in last.inputs if name != node.outputs[0])]
                while source.op != "Div":
                    source = producers[source.inputs[0]]
                bias, last = source.inputs[0], consumers[last.outputs[0]][0]
            product = consumers[last.outputs[0]][0]
            assert (last.op, product.op) == ("Cast", "Mul"), f"not a dynamically quantised product: {node}"
            scales = producers[next(name for name in product.inputs if name != last.outputs[0])]
            scale = constants[next(name for name in scales.inputs if name in constants)]
            per_output = (-1, *[1] * (constants[node.inputs[1]].ndim - 1)) if node.op == "ConvInteger" else (-1,)
            floats = weight(node.inputs[1], (node.inputs[3:] or [""])[0], scale, per_output)
            inputs = [producers[node.inputs[0]].inputs[0], floats, *([bias] if bias else [])]
            made[id(product)] = Node(node.op.removesuffix("Integer"), inputs, product.outputs, node.attributes)
        elif node.op == "DynamicQuantizeLSTM":
            names = [*node.inputs, *[""] * (12 - len(node.inputs))]
            floats_of = [
                weight(name, zero, constants[scale], (len(constants[scale]), 1, -1))
                for name, scale, zero in ((names[1], names[8], names[9]), (names[2], names[10], names[11]))
            ]
            for name in floats_of:  # [directions, inputs, 4 hidden] as in LSTM
                constants[name] = constants[name].transpose(0, 2, 1)
            made[id(node)] = Node("LSTM", [names[0], *floats_of, *names[3:8]], node.outputs, node.attributes)
        elif (
            node.op == "DequantizeLinear" and node.inputs[0] not in constants
        ):  # of looked-up rows: dequantise the table
            lookup = producers[node.inputs[0]]
            floats = weight(lookup.inputs[0], (node.inputs[2:] or [""])[0], constants[node.inputs[1]], (-1, 1))
            made[id(node)] = Node("Gather", [floats, lookup.inputs[1]], node.outputs, lookup.attributes)
    graph.nodes = [made.get(id(node), node) for node in graph.nodes]


def _divide_by_window(graph: Graph) -> None:
    """Divide an overlap-add by the sum of its windows at once, in place of gathering where that sum is not zero.

    The sum in an exported graph can be shorter than the audio; what follows is not divided.
    """
    producers = graph.producers()
    for node in [node for node in graph.nodes if node.op == "ScatterND"]:
        quotient = producers[producers[node.inputs[2]].inputs[0]]
        mask = producers[producers[producers[producers[quotient.inputs[1]].inputs[1]].inputs[0]].inputs[0]]
        assert (quotient.op, mask.op) == ("Div", "Greater"), "not the division by a window sum"
        graph.constants["one"] = np.ones((), np.float32)
        divisor = Node("Where", [mask.outputs[0], mask.inputs[0], "one"], ["window or one"])
        index = graph.nodes.index(node)
        graph.nodes[index : index + 1] = [
            divisor,
            Node("DivideStart", [node.inputs[0], divisor.outputs[0]], node.outputs),
        ]


def _angle(graph: Graph) -> None:
    """Join the operators of an arc tangent in four quadrants; it is pi, as in training, where they say -pi."""
    producers = graph.producers()
    for node in list(graph.nodes):
        arc = producers.get(node.inputs[2]) if node.op == "Where" else None
        if arc and arc.op == "Atan" and producers[node.inputs[0]].op == "Less":
            quotient = producers[arc.inputs[0]]
            assert (quotient.op, producers[node.inputs[0]].inputs[0]) == ("Div", quotient.inputs[1]), "not an angle"
            graph.replace([node], Node("Atan2", quotient.inputs, node.outputs))


def _normalise(graph: Graph) -> None:
    """Join the seven operators of a normalization over the last axis, and then multiplications with additions."""
    producers, consumers = graph.producers(), graph.consumers()
    for node in list(graph.nodes):
        if node.op != "Div" or node.inputs[1] not in producers or producers[node.inputs[1]].op != "Sqrt":
            continue
        root = producers[node.inputs[1]]
        shifted = producers.get(root.inputs[0])
        variance = producers.get(shifted.inputs[0]) if shifted and shifted.op == "Add" else None
        square = producers.get(variance.inputs[0]) if variance and variance.op == "ReduceMean" else None
        centred = producers.get(node.inputs[0])
        if not (shifted and variance and square and centred and centred.op == "Sub"):
            continue
        mean = producers.get(centred.inputs[1])
        if not mean or mean.op != "ReduceMean" or mean.inputs[0] != centred.inputs[0]:
            continue
        of_difference = square.op == "Mul" and square.inputs == [node.inputs[0], node.inputs[0]]
        last_axis = all(graph.constants[item.inputs[1]].tolist() == [2] for item in (mean, variance))
        if of_difference and last_axis and len(consumers[node.inputs[0]]) == 3:
            epsilon = float(graph.constants[shifted.inputs[1]].reshape(-1)[0])
            chain = [mean, centred, square, variance, shifted, root, node]
            graph.replace(chain, Node("InstanceNorm", [mean.inputs[0]], node.outputs, {"epsilon": epsilon}))
    producers, consumers = graph.producers(), graph.consumers()
    for node in list(graph.nodes):
        for first, second in ((0, 1), (1, 0)) if node.op == "Add" else ():
            product = producers.get(node.inputs[first])
            single = product is not None and product.op == "Mul" and len(consumers[product.outputs[0]]) == 1
            scalar = product is not None and any(
                name in graph.constants and graph.constants[name].size == 1
                for name in [*product.inputs, node.inputs[second]]
            )
            if product is not None and single and not scalar:
                graph.replace([product, node], Node("AddMul", [node.inputs[second], *product.inputs], node.outputs))
                break


def _linear(graph: Graph) -> None:
    """Join a product by constant weights with the addition of a constant."""
    consumers = graph.consumers()
    for node in list(graph.nodes):
        if node.op != "MatMul" or node.inputs[1] not in graph.constants or graph.constants[node.inputs[1]].ndim != 2:
            continue
        users = consumers[node.outputs[0]]
        added = users[0] if len(users) == 1 and users[0].op == "Add" else None
        bias = next((name for name in added.inputs if name in graph.constants), "") if added else ""
        if added and bias and graph.constants[bias].ndim == 1:
            graph.replace([node, added], Node("Linear", [*node.inputs, bias], added.outputs))


def _group_linear(graph: Graph) -> None:
    """Make linear layers of the same input one: those that a style goes through, and query, key and value."""
    groups: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op == "Linear":
            groups[node.inputs[0]].append(node)
    for source, group in groups.items():
        if len(group) == 1:
            continue
        names = [f"{source} weights", f"{source} biases"]
        for position, name in enumerate(names, start=1):
            graph.constants[name] = np.concatenate([graph.constants[node.inputs[position]] for node in group], axis=-1)
        sizes = [graph.constants[node.inputs[2]].size for node in group]
        outputs = [node.outputs[0] for node in group]
        first = next(index for index, node in enumerate(graph.nodes) if node is group[0])
        graph.nodes[first] = Node("Linear", [source, *names], outputs, {"split": sizes})
        graph.nodes = [node for node in graph.nodes if not any(node is other for other in group)]
