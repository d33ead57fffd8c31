"""Outputs without weights, such as labels, are removed with what only they need."""

from __future__ import annotations

from netc.compiler import graph_of, read_net
from netc.diagnostics import Source
from netc.ir.graph import State
from netc.passes.data_to_inputs import data_to_inputs
from netc.passes.drop_labels import drop_labels

NET = """
layer { name: "in" type: "Input" top: "data" top: "labels" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "halves" type: "Slice" bottom: "labels" top: "one" top: "two" slice_param { axis: 1 } }
layer { name: "scaled" type: "Power" bottom: "data" top: "scaled" power_param { scale: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "scaled" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "best" type: "ArgMax" bottom: "fc" top: "best" }
layer { name: "both" type: "Eltwise" bottom: "fc" bottom: "fc" top: "both" }
"""


def graph(text):
    return data_to_inputs(graph_of(read_net(Source("net", text)), State("TEST")))


def test_labels_and_their_layers_are_removed():
    before = graph(NET)
    assert before.outputs == ("best", "both", "one", "two")
    after = drop_labels(before)
    assert after.outputs == ("best", "both")
    assert after.inputs == ("data",)
    assert [node.name for node in after.nodes] == ["scaled", "fc", "best", "both"]
    assert drop_labels(after) is not before


def test_a_net_without_weights_is_unchanged():
    before = graph(NET[: NET.index('layer { name: "fc"')])
    assert drop_labels(before) is before
