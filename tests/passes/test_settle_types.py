"""The types of a Caffe2 net's inputs follow from the operators that read them."""

from __future__ import annotations

import pytest

from netc.diagnostics import Source
from netc.frontends import read_net
from netc.ir.graph import State
from netc.passes.settle_types import settle_types


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ('op { type: "Relu" input: "x" output: "y" }', "float32"),
        ('op { type: "Gather" input: "table" input: "x" output: "y" }', "int32"),
        ('op { type: "Not" input: "x" output: "y" }', "bool"),
        ('op { type: "Add" input: "x" input: "x" output: "y" }', "float32"),
        ('op { type: "Flatten" input: "x" output: "y" }', "float32"),
    ],
)
def test_an_input_has_a_type_that_its_readers_accept(text, dtype):
    graph, _ = read_net(Source("net.pbtxt", text)).graph(State())
    settled = settle_types(graph)
    (node,) = [node for node in settled.nodes if node.name == "x"]
    assert node.layer.dtype == dtype
    assert settle_types(settled).nodes == settled.nodes
