"""The sites that the graph writers pass to a precision."""

import re

import onnx_ir as ir

from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Float32
from legato.convert.graph.sites import Group, Linear, Site
from legato.convert.graph.writer import GraphWriter
from legato.convert.open import open_checkpoint
from tests.conftest import checkpoint_path


class Recorder(Float32):
    """FP32 that records the linear layers it writes."""

    name = "int8"  # the prediction net has linear layers in INT8 only

    def __init__(self) -> None:
        self.written: dict[str, Site] = {}

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        self.written[layer.name] = layer.site
        return super().linear(graph, x, layer)


def test_every_linear_layer_has_a_site() -> None:
    checkpoint, recorder = open_checkpoint(checkpoint_path("nemo-r3")), Recorder()
    write_native_encoder(checkpoint, recorder)
    write_decoder(checkpoint, recorder, "batch")
    write_joint(checkpoint, recorder, "batch", "frames")
    linear = {
        re.sub(r"linear_[qkv]\.", "linear_qkv.", name)
        for name, shape in checkpoint.architecture.weight_shapes().items()
        if re.search(r"weight(_[ih]h_l\d)?$", name) and len(shape) in (2, 3)
        if not re.search(r"depthwise|embed|linear_pos", name)
    }
    assert recorder.written.keys() == linear
    assert {site.group for site in recorder.written.values()} == set(Group)
    for name, site in recorder.written.items():
        layer = re.match(r"encoder\.layers\.(\d+)\.", name)
        assert site.layer == (int(layer[1]) if layer else None)
