"""Eltwise with one bottom, which FlowNet's nets scale by, and the number of bottoms that decides for it."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import Source
from netc.frontends import read_net
from netc.inspection import check
from netc.layers.optical_flow.scaled import ScaledBottom
from tests.layers.case import Case
from tests.layers.case import Source as Told
from tests.layers.contract import raises, traces, values
from tests.layers.harness import run

CASES = [
    Case(ScaledBottom(coeff=(-0.5,)), ((2, 3, 4),), ((5, 2),), source=Told(in_place=True, role="inner")),
    Case(ScaledBottom(coeff=(2.0,)), ((2, 3, 4),), ((5, 2),), source=Told(in_place=True, role="inner")),
]
NET = """
layer {{ name: "data" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "e" type: "Eltwise" bottom: "x" {0} top: "y" eltwise_param {{ {1} }} }}
"""


def chosen(bottoms: str, parameters: str) -> str:
    net = read_net(Source("net.prototxt", NET.format(bottoms, parameters)))
    graph, report = net.graph(net_state(net))
    assert not report.errors
    return type(graph.nodes[-1].layer).__name__


def net_state(net):
    from netc.frontends import TEST_STATE

    return TEST_STATE.of(net)


def test_product():
    x = values(2, 3)
    np.testing.assert_allclose(run(ScaledBottom(coeff=(0.05,)), x)[0], 0.05 * x.numpy())


def test_one_bottom_with_a_factor_is_flownets():
    assert chosen("", "coeff: 0.05") == "ScaledBottom"
    assert chosen('bottom: "x"', "coeff: 1 coeff: 2") == "Eltwise"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ("", "`Eltwise` expects at least 2 bottoms, got 1"),
        ("coeff: 1 coeff: 2", "2 values of `coeff` for 1 bottom"),
        ("operation: MAX coeff: 1", "`MAX` needs at least 2 bottoms"),
    ],
)
def test_what_one_bottom_cannot_have(parameters, text):
    errors = [d for d in check(Source("net.prototxt", NET.format("", parameters))) if d.severity == "error"]
    assert [d.message for d in errors] == [text]


def test_parameters():
    with raises("E101", "0 values of `coeff`"):
        ScaledBottom(coeff=())


@pytest.mark.slow
def test_tracing():
    traces(ScaledBottom(coeff=(0.5,)), values(2, 3))
