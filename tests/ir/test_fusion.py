"""BatchNorm and the Scale that alone reads it are one step, unless a part of the net needs the value between them."""

from __future__ import annotations

import pytest

from netc.ir.fusion import steps
from tests.ir.test_liveness import layer
from tests.ir.test_receptive import conv, data

PARAMETER = "parameter_param { shape { dim: 2 } }"
NET = data(1, 2, 5, 5) + conv("data", "c", 3) + layer("k", "Parameter", "", "k", PARAMETER)
NET += layer("bn", "BatchNorm", "c", "b")
SCALE = layer("scale", "Scale", "b", "s")


def keys(graph, **settings) -> list[str]:
    return ["+".join(node.key for node in step.nodes) for step in steps(graph, **settings)]


def test_batch_norm_and_its_scale_are_one_step(graph_from):
    graph = graph_from(NET + SCALE + layer("relu", "ReLU", "s", "r"))
    assert keys(graph) == ["data", "c", "k", "bn+scale", "relu"]
    fused = list(steps(graph))[3]
    assert (fused.tops, fused.node.key) == (("s",), "bn")


def test_in_place_versions_are_one_step_too(graph_from):
    graph = graph_from(NET.replace('top: "b"', 'top: "c"') + layer("scale", "Scale", "c", "c"))
    assert keys(graph) == ["data", "c", "k", "bn+scale"]


@pytest.mark.parametrize(
    "more",
    [
        SCALE + layer("other", "ReLU", "b", "r"),
        layer("twice", "Eltwise", "b b", "e"),
        layer("relu", "ReLU", "b", "r"),
        layer("scale", "Scale", "b k", "s"),
        layer("scale", "Scale", "b", "s", "scale_param { axis: 2 }"),
    ],
    ids=["another reader", "no scale", "other type", "second bottom", "other axis"],
)
def test_a_reader_of_the_intermediate_value_prevents_fusion(graph_from, more):
    assert all(step.absorbed is None for step in steps(graph_from(NET + more)))


def test_a_fetched_value_prevents_fusion(graph_from):
    assert keys(graph_from(NET + SCALE), kept=("b",)) == ["data", "c", "k", "bn", "scale"]
    assert keys(graph_from(NET + SCALE), kept=("s",)) == ["data", "c", "k", "bn+scale"]


def test_a_scale_that_is_not_run_is_not_absorbed(graph_from):
    graph = graph_from(NET + SCALE)
    assert keys(graph, nodes=graph.nodes[:-1]) == ["data", "c", "k", "bn"]
