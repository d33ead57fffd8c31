"""Gather of synopsys' Caffe, compared with its loop over elements; Gather and Scatter of yjxiong's, as without MPI."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.compiler import graph_of, read_net
from netc.ir.dims import UNKNOWN
from netc.ir.graph import State
from netc.ir.layer import Cost
from netc.layers.gather import Gather, GatherProcesses, Scatter
from netc.passes.data_to_inputs import data_to_inputs
from netc.passes.drop_identities import drop_identities
from tests.conversion.nets import write
from tests.layers.case import Case, Source
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, values
from tests.layers.harness import run

PARTS = Source(in_place=True)
CASES = [
    Case(Gather((2, 0, 2, 1), (2, 2), 1), ((2, 3, 4),), ((3, 5, 2),), source=Source(places_lost=True)),
    Case(Gather((1,), axis=-1), ((2, 3, 4),), ((3, 5, 2),), source=Source(places_lost=True)),
    *(Case(cls(), ((2, 3), (4,)), ((3, 1, 2), (5, 2)), tops=2, source=PARTS) for cls in (GatherProcesses, Scatter)),
]
REQUIRED = {"Gather": "indices: 0"}
WHOLE = {"gather_param.shape": {"gather_param": {"indices": [1, 0], "shape": [2]}}}


def gathered(x: np.ndarray, places, axis: int, extents) -> np.ndarray:
    """Elements of the axis, one run of memory after the other."""
    size, extent = int(np.prod(x.shape[axis + 1 :])), x.shape[axis]
    flat, top = x.reshape(-1), []
    for m in range(int(np.prod(x.shape[:axis]))):
        for place in places:
            start = (m * extent + place) * size
            top.append(flat[start : start + size])
    return np.concatenate(top).reshape(*x.shape[:axis], *extents, *x.shape[axis + 1 :])


@pytest.mark.parametrize(
    ("places", "shape", "axis"), [((2, 0, 2), (3,), 1), ((1, 0, 1, 1), (2, 2), -1), ((1,), (0,), 0), ((3,), (), 2)]
)
def test_gather(places, shape, axis):
    x, layer = values(2, 3, 5).numpy(), Gather(places, shape, axis)
    expected = gathered(x, places, axis % 3, () if shape == (0,) else shape)
    (found,) = run(layer, x)
    np.testing.assert_array_equal(found, expected)
    assert layer.infer((x.shape,), 1) == (expected.shape,)
    slopes = np.zeros_like(x)
    np.add.at(np.moveaxis(slopes, axis % 3, 0), list(places), 1.0)
    np.testing.assert_array_equal(gradient(layer, x), slopes)


def test_gather_in_files():
    given = {"indices": [2, 0], "shape": [2], "axis": -1}
    assert round_trip("Gather", **given) == Gather((2, 0), (2,), -1)
    assert round_trip("Gather", indices=[4]) == Gather((4,))
    with raises("E101", r"`shape` \[\] does not hold 2 `indices`"):
        round_trip("Gather", indices=[4, 5])
    with raises("E101", r"`shape` \[3\] does not hold 1 `indices`"):
        round_trip("Gather", indices=[4], shape=[3])
    with raises("E103", "index -1 is negative"):
        round_trip("Gather", indices=[0, -1], shape=[2])


def test_gather_shapes():
    assert repr(Gather((4, 1), (2,), 1).infer(((UNKNOWN, UNKNOWN, 3),), 1)) == "((?, 2, 3),)"
    with raises("E102", "index 4 on axis 1, which has 4 elements"):
        Gather((4,), axis=1).infer(((2, 4),), 1)
    with raises("E102", "axis 2 of a bottom with 2 axes"):
        Gather((4,), axis=2).infer(((2, 4),), 1)
    assert Gather((0,)).cost(((2, 4),), ((4,),)) == Cost()


def test_one_module_for_other_sizes():
    resizes(Gather((1, 0), (2,), 1), (values(2, 3, 4),), (values(1, 2, 5),))
    traces(Gather((1, 0, 2), (3,)), values(3, 4))


@pytest.mark.parametrize("layer", [GatherProcesses(), Scatter()], ids=str)
def test_parts_of_one_process_are_the_whole(layer):
    x, labels = values(2, 3), values(2)
    for found, given in zip(run(layer, x, labels, tops=2), (x, labels), strict=True):
        np.testing.assert_array_equal(found, given.numpy())
    assert layer.infer(((UNKNOWN, 3), (2,)), 2) == ((UNKNOWN, 3), (2,))
    assert layer.cost(((2, 3),), ((2, 3),)) == Cost()
    assert layer.to_caffe() == {}
    resizes(layer, (values(2, 3), labels), (values(1, 4), values(1)), tops=2)
    traces(layer, values(2, 3), labels, tops=2)


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 dim: 1 } } }
layer { name: "all" type: "Gather" bottom: "data" bottom: "label" top: "all" top: "labels" }
layer { name: "own" type: "Scatter" bottom: "all" bottom: "labels" top: "own" top: "kept" }
layer { name: "two" type: "Gather" bottom: "own" top: "two" gather_param { axis: 1 indices: 2 indices: 0 shape: 2 } }
layer { name: "sum" type: "Reduction" bottom: "kept" top: "sum" reduction_param { axis: 1 } }
"""


def test_the_meaning_follows_from_the_parameters(tmp_path):
    found = graph_of(read_net(write(tmp_path, NET)), State("TEST"))
    assert [type(node.layer) for node in found.nodes[2:5]] == [GatherProcesses, Scatter, Gather]
    tested = drop_identities(data_to_inputs(found))
    assert [(node.name, node.bottoms) for node in tested.nodes] == [("two", ("data",)), ("sum", ("label",))]
    net, x = netc.load(write(tmp_path, NET)), torch.arange(6.0).reshape(2, 3)
    tops = net(x, torch.tensor([[1.0], [2.0]]))
    torch.testing.assert_close(tops["two"], x[:, [2, 0]])
