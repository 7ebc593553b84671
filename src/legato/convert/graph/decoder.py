"""The prediction net and the joint. They are the same in both layouts, with a dynamic batch in the native one."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.precision import Precision
from legato.convert.graph.sites import Group, Linear, Site, Source
from legato.convert.graph.writer import GraphWriter

_LSTM = "decoder.prediction.dec_rnn.lstm"


def write_decoder(checkpoint: Checkpoint, precision: Precision, batch: int | str, *, linear: bool = False) -> ir.Model:
    """Write the prediction net, which takes one token and computes one step of its LSTM.

    Inputs: token int64[B, 1]; h and c float32[layers, B, hidden]. Outputs: decoder_output float32[B, 1, hidden]; the
    new h_out and c_out. Blank, the id after the last token, has a row of its own in the embedding and starts a stream.

    Args:
        precision: precision of the weights.
        batch: B, or the name of a dynamic dimension.
        linear: write the LSTM as linear layers, as INT8 always is, and not as the operator LSTM.
    """
    a = checkpoint.architecture
    graph = GraphWriter("decoder")
    hidden, layers = a.prediction_hidden, a.prediction_layers
    token = graph.input("token", ir.DataType.INT64, [batch, 1])
    state_shape: Sequence[int | str] = [layers, batch, hidden]
    h, c = (graph.input(name, ir.DataType.FLOAT, state_shape) for name in ("h", "c"))
    name = "decoder.prediction.embed.weight"
    table = precision.parameter(graph, name, (a.vocabulary + 1, hidden), lambda: checkpoint.read(name))
    x = graph.op("Transpose", graph.op("Gather", table, token, axis=0), perm=[1, 0, 2])
    states = []
    hs, cs = (_split(graph, state, layers) for state in (h, c))
    step = _linear_step if linear or precision.name == "int8" else _lstm_step
    for layer in range(layers):
        x, new_h, new_c = step(graph, checkpoint, precision, layer, x, hs[layer], cs[layer])
        states.append((new_h, new_c))
    graph.output(graph.op("Transpose", x, perm=[1, 0, 2]), "decoder_output", ir.DataType.FLOAT, [batch, 1, hidden])
    for number, output in enumerate(("h_out", "c_out")):
        joined = graph.op("Concat", *(state[number] for state in states), axis=0)
        graph.output(joined, output, ir.DataType.FLOAT, state_shape)
    return graph.model("RNN-T prediction net")


def _split(graph: GraphWriter, state: ir.Value, layers: int) -> Sequence[ir.Value]:
    if layers == 1:
        return [state]
    return graph.ops("Split", state, outputs=layers, axis=0, num_outputs=layers)


def _lstm_step(
    graph: GraphWriter, checkpoint: Checkpoint, precision: Precision, layer: int, x: ir.Value, h: ir.Value, c: ir.Value
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Write one LSTM layer for one token. Output, h and c are float32[1, B, hidden], as x, h and c are."""
    hidden = checkpoint.architecture.prediction_hidden

    def read(name: str) -> NDArray[np.float32]:
        return _onnx_gates(checkpoint.read(f"{_LSTM}.{name}_l{layer}"))

    def read_biases() -> NDArray[np.float32]:
        bias = _onnx_gates(_bias(checkpoint, layer))
        return np.concatenate([bias, np.zeros_like(bias)])[None]

    shape = (1, 4 * hidden, hidden)
    weights = [
        precision.parameter(graph, f"{_LSTM}.weight_ih_l{layer}", shape, lambda: read("weight_ih")[None]),
        precision.parameter(graph, f"{_LSTM}.weight_hh_l{layer}", shape, lambda: read("weight_hh")[None]),
        graph.weight(f"{_LSTM}.bias_l{layer}", ir.DataType.FLOAT, (1, 8 * hidden), read_biases),
    ]
    y, new_h, new_c = graph.ops("LSTM", x, *weights, None, h, c, outputs=3, hidden_size=hidden)
    return graph.op("Squeeze", y, graph.constant([1])), new_h, new_c


def _linear_step(
    graph: GraphWriter, checkpoint: Checkpoint, precision: Precision, layer: int, x: ir.Value, h: ir.Value, c: ir.Value
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Write the same as `_lstm_step`, with its two products as linear layers of the precision.

    ONNX Runtime's own quantized LSTM has one activation scale per batch, so streams would depend on each other.
    """
    hidden = checkpoint.architecture.prediction_hidden

    def gates(value: ir.Value, part: str) -> ir.Value:
        weight = f"{_LSTM}.weight_{part}_l{layer}"
        site = Site(Group.PREDICTION, Source.OTHER)
        linear = Linear(weight, site, hidden, 4 * hidden, lambda: checkpoint.read(weight).T)
        return precision.linear(graph, value, linear)

    with graph.scoped(f"lstm.{layer}"):
        name, shape = f"{_LSTM}.bias_l{layer}", (4 * hidden,)
        bias = graph.weight(name, ir.DataType.FLOAT, shape, lambda: _bias(checkpoint, layer))
        total = graph.op("Add", graph.op("Add", gates(x, "ih"), gates(h, "hh")), bias)
        i, f, g, o = graph.ops("Split", total, outputs=4, axis=-1, num_outputs=4)
        kept = graph.op("Mul", graph.op("Sigmoid", f), c)
        new_c = graph.op("Add", kept, graph.op("Mul", graph.op("Sigmoid", i), graph.op("Tanh", g)))
        new_h = graph.op("Mul", graph.op("Sigmoid", o), graph.op("Tanh", new_c))
    return new_h, new_h, new_c


def _bias(checkpoint: Checkpoint, layer: int) -> NDArray[np.float32]:
    """Return the bias of an LSTM layer. Torch has two, which are only ever added; some checkpoints have the sum."""
    return checkpoint.read(f"{_LSTM}.bias_ih_l{layer}") + checkpoint.read(f"{_LSTM}.bias_hh_l{layer}")


def _onnx_gates(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder an LSTM's gates from torch (input, forget, cell, output) to ONNX (input, output, forget, cell)."""
    i, f, g, o = np.split(weight, 4)
    return np.concatenate([i, o, f, g])


def write_joint(checkpoint: Checkpoint, precision: Precision, batch: int | str, frames: int | str) -> ir.Model:
    """Write the joint, which combines every frame with one state of the prediction net.

    Inputs: encoder_output float32[B, T, width]; decoder_output float32[B, 1, hidden]. Output: logits float32[B, T,
    vocabulary + 1], blank last.

    Args:
        precision: precision of the weights.
        batch: B, or the name of a dynamic dimension.
        frames: T, or the name of a dynamic dimension.
    """
    a = checkpoint.architecture
    graph = GraphWriter("joint")
    encoder = graph.input("encoder_output", ir.DataType.FLOAT, [batch, frames, a.width])
    decoder = graph.input("decoder_output", ir.DataType.FLOAT, [batch, 1, a.prediction_hidden])

    def linear(x: ir.Value, name: str, source: Source = Source.OTHER) -> ir.Value:
        weight, bias = f"{name}.weight", f"{name}.bias"
        outputs, inputs = a.weight_shapes()[weight]
        layer = Linear(weight, Site(Group.JOINT, source), inputs, outputs, lambda: checkpoint.read(weight).T)
        product = precision.linear(graph, x, layer)
        added = graph.weight(bias, ir.DataType.FLOAT, (outputs,), lambda: checkpoint.read(bias))
        return graph.op("Add", product, added)

    joined = graph.op("Relu", graph.op("Add", linear(encoder, "joint.enc"), linear(decoder, "joint.pred")))
    logits = linear(joined, "joint.joint_net.out", Source.RELU)
    graph.output(logits, "logits", ir.DataType.FLOAT, [batch, frames, a.vocabulary + 1])
    return graph.model("RNN-T joint")
