"""Graphs back to Caffe: what is read again is what was written, and the bytes are protobuf's."""

from pathlib import Path

import numpy as np
import pytest

from netc.compiler import graph_of, read_net
from netc.conversion.convert import convert
from netc.conversion.writers import write_caffe
from netc.diagnostics import NetcError, Source
from netc.exporters.caffe import net_message, net_text
from netc.ir.graph import State
from netc.schema import caffe
from netc.weights import read
from tests.conversion.nets import MIXED, hostile_net, trained, write

REFERENCE = Path(__file__).parent.parent / "reference" / "layers"
NETS = sorted(path.parent.name for path in REFERENCE.glob("*/net.prototxt"))


def meaning(graph):
    return [(n.name, n.layer, n.bottoms, n.tops, n.param_specs, n.loss_weights, n.propagate_down) for n in graph.nodes]


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", NETS)
def test_a_net_read_again_is_the_same(name, phase):
    net = read_net(REFERENCE / name / "net.prototxt")
    net.report.raise_errors()
    graph = graph_of(net, State(phase))
    again = read_net(Source("again", net_text(graph)))
    assert not again.report.diagnostics
    assert meaning(graph_of(again, State(phase))) == meaning(graph)


@pytest.mark.parametrize("text", [MIXED, hostile_net()], ids=["mixed", "hostile"])
def test_weights_are_read_back_bit_for_bit(tmp_path, text):
    model = trained(write(tmp_path, text))
    prototxt, trained_file = write_caffe(model, tmp_path / "out.prototxt")
    layers = read(trained_file).layers
    written = [node for node in model.nodes if model.arrays(node)]
    assert [layer.name for layer in layers if layer.blobs] == [node.name for node in written]
    for layer, node in zip([layer for layer in layers if layer.blobs], written):
        for blob, array in zip(layer.blobs, model.arrays(node)):
            assert blob.data.tobytes() == array.tobytes()
    again = trained_file.read_bytes()
    parsed = caffe.NetParameter.FromString(again)
    assert parsed.SerializeToString() == again
    assert convert(prototxt, trained_file, to="caffe", output=tmp_path / "twice").files[1].read_bytes() == again


def test_a_type_that_bvlc_lacks_is_an_error(tmp_path):
    model = trained(write(tmp_path, MIXED))
    stranger = type("Stranger", (type(model.nodes[0].layer),), {"type": "Stranger", "dialect": "fork"})
    node = model.nodes[0]
    changed = type(node)(**{**vars(node), "layer": stranger(num_output=8, kernel=(3,))})
    graph = model.replace(nodes=(changed, *model.nodes[1:]))
    with pytest.raises(NetcError, match="no layer type `Stranger`"):
        net_message(graph)


def test_an_edited_state_dict_is_written_back(tmp_path):
    import torch

    path = write(tmp_path, MIXED)
    convert(path, to="pt", output=tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["fc.weight"] = torch.arange(state["fc.weight"].numel(), dtype=torch.float32).reshape(state["fc.weight"].shape)
    torch.save(state, tmp_path / "edited.pt")
    done = convert(path, tmp_path / "edited.pt", to="caffe", output=tmp_path / "edited")
    blobs = read(done.files[1]).by_name["fc"].blobs
    np.testing.assert_array_equal(blobs[0].data, state["fc.weight"].numpy())
