import numpy as np
import pytest
import torch

from netc.layers.detection.normalize import Normalize
from netc.layers.metric_learning.channel_normalize import ChannelNormalize
from tests.layers.case import PLANES, Case, Source
from tests.layers.contract import raises, values
from tests.layers.harness import module_of, run

WHOLE = {"normalize_param.normalize_type": {"normalize_param": {"normalize_type": "L1"}}}

FACTS = Source(reads_top="values", role="inner")
CASES = [
    Case(ChannelNormalize(), *PLANES, source=FACTS),
    Case(ChannelNormalize("L1", bp_norm=True), *PLANES, tops=2, source=FACTS),
    Case(
        ChannelNormalize(fix_gradient=True),
        *PLANES,
        source=Source(reads_top="values", role="inner", own_gradient="times the norm"),
    ),
]


def expected(x, dy, dn, kind, fixed):
    """The tops and the gradient, by the formulas of the layer's code."""
    eps = 1e-6 if kind == "L1" else 1e-12
    norm = np.abs(x).sum(1, keepdims=True) + eps
    if kind == "L2":
        norm = np.sqrt((x**2).sum(1, keepdims=True) + eps)
    y = x / norm
    direction = np.sign(x) if kind == "L1" else y
    gradient = dy - direction * (y * dy).sum(1, keepdims=True)
    return y, norm, (gradient if fixed else gradient / norm) + dn * direction


@pytest.mark.parametrize("kind", ["L1", "L2"])
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_values_and_gradients(kind, fixed, both):
    x, dy, dn = values(2, 3, 4, 5).requires_grad_(), values(2, 3, 4, 5, seed=4), values(2, 1, 4, 5, seed=6)
    y, norm = module_of(ChannelNormalize(kind, fixed, both), (x.shape,), 2)(x)
    if both:
        (gradient,) = torch.autograd.grad((y, norm), x, (dy, dn))
    else:
        assert not norm.requires_grad
        (gradient,) = torch.autograd.grad(y, x, dy)
    found = expected(x.detach().numpy(), dy.numpy(), dn.numpy() * both, kind, fixed)
    for one, other in zip((y.detach(), norm.detach(), gradient), found):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_vectors_become_planes():
    (y,) = run(ChannelNormalize(), np.array([[3.0, 4.0]]))
    assert y.tolist() == [[[[pytest.approx(0.6)]], [[pytest.approx(0.8)]]]]


def test_code_of_the_cpu():
    x = torch.tensor([[1e-3, 0.0]], requires_grad=True)
    module = module_of(ChannelNormalize(fix_gradient=True), ((1, 2),))
    module.cpu_code = True
    y = module(x)
    y[0, 0].sum().backward()
    assert y[0, 0].item() == pytest.approx(2**-0.5, rel=1e-5)
    assert x.grad[0, 0].item() == pytest.approx(0.5 / 2**0.5 / 1e-3, rel=1e-4)


LAYER = 'layer { name: "n" type: "Normalize" bottom: "x" top: "n" %s }'
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 3 dim: 3 } } }'
FLIP = 'layer { name: "f" type: "Flip" bottom: "n" top: "f" }'


@pytest.mark.parametrize(
    ("text", "cls"),
    [
        (LAYER % "normalize_param { normalize_type: 'L1' }", ChannelNormalize),
        (LAYER % "top: 'norm'", ChannelNormalize),
        (LAYER % "" + FLIP, ChannelNormalize),
        (LAYER % "", Normalize),
        (LAYER % "norm_param { eps: 1 }" + FLIP, Normalize),
    ],
)
def test_meanings(text, cls, graph_from):
    graph = graph_from(INPUT + text)
    assert type(next(node.layer for node in graph.nodes if node.name == "n")) is cls


def test_errors(graph_from):
    with raises("E102", r"expected a bottom with 2 to 4 axes, got \[3\]"):
        ChannelNormalize().infer(((3,),), 1)
    with raises("E103", "unknown `normalize_type` `L3`"):
        graph_from(INPUT + LAYER % "normalize_param { normalize_type: 'L3' }")
