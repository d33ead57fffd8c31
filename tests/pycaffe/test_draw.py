"""Nets as images."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from google.protobuf import text_format

from netc.diagnostics import NetcError
from netc.pycaffe import TEST, TRAIN, draw
from netc.pycaffe.proto import caffe_pb2

NET = r"""
layer { name: "read" type: "Data" top: "data" data_param { source: "db" batch_size: 7 } include { phase: TRAIN } }
layer { name: "in" type: "Input" top: "data" include { phase: TEST } }
layer { name: "conv\"\\l\n\001" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 12 kernel_h: 3 kernel_w: 3 kernel_size: 3 pad: 1 pad: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "later" type: "NotKnown" bottom: "ip" top: "out" exclude { phase: TRAIN } }
"""
pydot = pytest.importorskip("pydot")


@pytest.fixture
def net():
    return text_format.Parse(NET, caffe_pb2.NetParameter())


def labels(graph):
    return [node.get_label() for node in graph.get_nodes()]


def test_layers_and_blobs_of_a_phase(net):
    graph = draw.get_pydot_graph(net, phase=TRAIN)
    assert labels(graph) == [
        r'"read\n(Data)"', '"data"', r'"conv\"\\l\n?\n(Convolution)\nkernel size: 3\nstride: 1\npad: 1 x 2"', '"conv"',
        r'"relu\n(ReLU)"', r'"pool\n(Pooling)\nAVE\nkernel size: 2\nstride: 2\npad: 0"', '"pool"',
        r'"ip\n(InnerProduct)"', '"ip"',
    ]  # fmt: skip
    assert [edge.get_label() for edge in graph.get_edges()][:3] == ['"Batch 7"', '""', '"12"']
    assert labels(draw.get_pydot_graph(net, phase=TEST))[0] == r'"in\n(Input)"'
    assert len(labels(draw.get_pydot_graph(net))) == len(labels(graph)) + 3  # the input, the unknown layer, its blob


def test_colors_say_what_a_layer_has():
    found = {
        name: draw.choose_color_by_layertype(name) for name in ("Convolution", "Pooling", "InnerProduct", "LRN", "?")
    }
    assert found["LRN"] == found["?"]
    assert len(set(found.values())) == 4
    assert draw.choose_color_by_layertype("Deconvolution") == found["Convolution"]


def test_the_text_of_a_vertical_graph_is_on_one_line(net):
    assert draw.get_layer_label(net.layer[4], "TB") == "pool (Pooling) AVE kernel size: 2 stride: 2 pad: 0"


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("dot", b"digraph")]
)
def test_formats(net, tmp_path, suffix, start):
    draw.draw_net_to_file(net, tmp_path / f"net.{suffix}", "TB")
    assert (tmp_path / f"net.{suffix}").read_bytes().startswith(start)
    if suffix != "dot":
        assert draw.draw_net(net, ext=suffix).startswith(start)


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
def test_a_format_that_graphviz_lacks(net, tmp_path):
    with pytest.raises(NetcError, match="Graphviz cannot draw the net as `xyz`: Format"):
        draw.draw_net_to_file(net, tmp_path / "net.xyz")
    with pytest.raises(NetcError, match="unknown image format"):
        draw.draw_net(net, ext="png:cairo")
    assert not list(tmp_path.iterdir())


def test_without_graphviz_or_pydot(net, monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("dot")

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(NetcError, match="needs the program `dot`") as caught:
        draw.draw_net(net)
    assert caught.value.diagnostics[0].code == "E633"
    monkeypatch.setitem(__import__("sys").modules, "pydot", None)
    with pytest.raises(NetcError, match="drawing a net needs the package `pydot`"):
        draw.draw_net(net)


def test_learning_rate_multipliers(net):
    conv, relu = net.layer[2], net.layer[3]
    assert draw.get_layer_lr_mult(conv) == (1, 1)
    conv.param.add(lr_mult=0.5)
    assert draw.get_layer_lr_mult(conv) == (0.5, 1)
    with pytest.raises(ValueError, match="`ReLU` do not learn"):
        draw.get_layer_lr_mult(relu)
    assert draw.get_layer_label(conv, "LR", True).endswith("pad: 1 x 2\nlr mult: 0.5, 1.0")
    assert "lr mult" not in draw.get_layer_label(relu, "LR", True)
    assert "lr mult" not in draw.get_pydot_graph(net).to_string()
    assert draw.get_pydot_graph(net, display_lrm=True).to_string().count("lr mult") == 2


def test_names_of_caffes_module(net):
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}
    assert [draw.get_edge_label(layer) for layer in net.layer[:3]] == ["Batch 7", "", "12"]
