"""The table of parameters: names, sharing, arrays, and what is checked of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netc.ir.parameter_table import tabulated
from netc.ir.parameters import Parameter
from netc.ir.shapes import infer
from netc.ir.verify import verify
from tests.ir.test_liveness import data, fc, layer

SHARED = (
    data((4, 3), (4, 3), tops="a b")
    + fc("a", "f", 5, 'param { name: "w" lr_mult: 7 } param { name: "v" }')
    + fc("b", "g", 5, 'param { name: "w" } param { name: "v" decay_mult: 0 }')
)
PERMISSIVE = (
    data((4, 6), (4, 3), tops="a b")
    + fc("a", "f", 2, 'param { name: "w" }')
    + fc("b", "g", 4, 'param { name: "w" share_mode: PERMISSIVE }')
)


def names(graph):
    return {node.name: node.parameters for node in graph.nodes if node.parameters}


def test_each_blob_is_an_entry(graph_from):
    text = data((4, 3)) + fc("data", "a/b.c", 5, "param { lr_mult: 2 decay_mult: 0 }")
    graph = graph_from(text + layer("bn", "BatchNorm", "a/b.c", "bn"))
    assert names(graph) == {
        "a/b.c": ("a/b%2Ec.weight", "a/b%2Ec.bias"),
        "bn": ("bn.mean", "bn.variance", "bn.scale_factor"),
    }
    weight = graph.parameters["a/b%2Ec.weight"]
    assert weight == Parameter("a/b%2Ec.weight", (5, 3), lr_mult=2.0, decay_mult=0.0)
    assert graph.parameters["a/b%2Ec.bias"].shape == (5,)
    assert [graph.parameters[name].rate_factor for name in names(graph)["bn"]] == [0.0, 0.0, 0.0]


def test_nodes_that_name_one_parameter_share_it(graph_from):
    graph = graph_from(SHARED)
    assert names(graph) == {"f": ("w", "v"), "g": ("w", "v")}
    assert list(graph.parameters) == ["w", "v"]
    assert graph.parameters["w"].lr_mult == 7
    assert graph.parameters["v"].decay_mult == 0
    assert graph.owners() == {("f", 0): ("f", 0), ("f", 1): ("f", 1), ("g", 0): ("f", 0), ("g", 1): ("f", 1)}


def test_one_layer_may_name_a_parameter_twice(graph_from):
    text = data((4, 3, 5)) + layer(
        "s", "Scale", "data", "s", 'param { name: "w" } param { name: "w" } scale_param { bias_term: true }'
    )
    graph = graph_from(text)
    assert names(graph) == {"s": ("w", "w")}
    assert list(graph.parameters) == ["w"]


def test_a_permissive_blob_is_a_view_of_a_parameter(graph_from):
    graph = graph_from(PERMISSIVE)
    assert names(graph) == {"f": ("w", "f.bias"), "g": ("w", "g.bias")}
    assert graph.parameters["w"].shape == (2, 6)
    assert graph.weights(graph.by_key["g"])[0].shape == (4, 3)


def test_a_file_may_take_the_name_of_an_entry(graph_from):
    text = data((4, 3)) + fc("data", "a", 5) + fc("data", "b", 5, 'param { name: "a.weight" }')
    graph = graph_from(text)
    assert names(graph) == {"a": ("a.weight%", "a.bias"), "b": ("a.weight", "b.bias")}
    assert len(graph.parameters) == 4


def with_array(graph, name, array):
    return graph.replace(parameters={**graph.parameters, name: replace(graph.parameters[name], array=array)})


def test_arrays_are_kept_if_the_shape_is(graph_from):
    graph = graph_from(SHARED)
    held = np.ones((5, 3), np.float32)
    graph = with_array(graph, "w", held)
    again, report = infer(graph)
    assert not report.errors
    assert again.parameters["w"].array is held
    assert again.parameters["v"].array is None
    changed = graph.replace(nodes=tuple(_with_outputs(node, 6) if node.parameters else node for node in graph.nodes))
    assert tabulated(changed).parameters["w"].array is None


def _with_outputs(node, count):
    return replace(node, layer=replace(node.layer, num_output=count))


def drop_entry(graph):
    return graph.replace(parameters={name: entry for name, entry in graph.parameters.items() if name != "v"})


def add_entry(graph):
    return graph.replace(parameters={**graph.parameters, "x": Parameter("x", (1,))})


def rename_entry(graph):
    return graph.replace(parameters={**graph.parameters, "v": replace(graph.parameters["v"], name="x")})


def misshapen_array(graph):
    return with_array(graph, "w", np.ones((3, 5)))


def misshapen_entry(graph):
    return graph.replace(parameters={**graph.parameters, "w": replace(graph.parameters["w"], shape=(3, 5))})


def other_type(graph):
    return graph.replace(parameters={**graph.parameters, "w": replace(graph.parameters["w"], dtype="int8")})


def unknown_type(graph):
    return graph.replace(parameters={**graph.parameters, "w": replace(graph.parameters["w"], dtype="double")})


def unknown_value_type(graph):
    return graph.replace(values={**graph.values, "a": replace(graph.values["a"], dtype="double")})


def one_name_less(graph):
    return graph.replace(
        nodes=tuple(replace(node, parameters=node.parameters[:1]) for node in graph.nodes),
        parameters={"w": graph.parameters["w"]},
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (drop_entry, "'f' names the parameter 'v', which the graph does not list"),
        (add_entry, r"parameters that no node names: \['x'\]"),
        (rename_entry, "the parameter 'x' is listed as 'v'"),
        (misshapen_array, r"the array of 'w' is \(3, 5\), not \(5, 3\)"),
        (misshapen_entry, r"'f' reads 'w' of shape \(3, 5\) as \(5, 3\)"),
        (other_type, "'f' reads 'w' of int8 as float32"),
        (unknown_type, "the parameter 'w' has the unknown type 'double'"),
        (unknown_value_type, "the value 'a' has the unknown type 'double'"),
        (one_name_less, "'f' has 2 blobs, but names"),
    ],
)
def test_verify_finds_errors(graph_from, fault, message):
    graph = graph_from(SHARED)
    assert verify(graph) is graph
    with pytest.raises(AssertionError, match=message):
        verify(fault(graph))


def test_verify_accepts_a_permissive_view(graph_from):
    verify(graph_from(PERMISSIVE))
