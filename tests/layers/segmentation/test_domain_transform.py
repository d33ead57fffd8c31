"""DomainTransform, compared with its recursions element by element."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.functions.recursive_filter import RecursiveFilter
from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.domain_transform import DomainTransform
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, traces, values
from tests.layers.harness import gradcheck, layer_from, run

LAYER = DomainTransform(2, 4.0, 5.0)
FIRST, SECOND = ((1, 2, 4, 5), (1, 1, 4, 5), (1, 2)), ((2, 1, 4, 6), (2, 1, 4, 6), (2, 1, 1, 2))
CASES = [Case(LAYER, FIRST, SECOND, integers=(2,), below=5, source=Source(places_lost=True))]


def filtered(layer, x, edges, sizes):
    top = x.copy()
    for n, (height, width) in enumerate(sizes.reshape(-1, 2).astype(int)):
        for i in range(layer.num_iter):
            spread = math.sqrt(3) * 2.0 ** (layer.num_iter - i - 1) / math.sqrt(4.0**layer.num_iter - 1)
            sigma = layer.spatial_sigma * spread
            weight = np.exp(-math.sqrt(2) / sigma * (1 + edges[n, 0] * layer.spatial_sigma / layer.range_sigma))
            weight = np.minimum(np.maximum(weight, layer.min_weight), 1)
            for c in range(x.shape[1]):
                for plane, share, rows, columns in (
                    (top[n, c], weight, height, width),
                    (top[n, c].T, weight.T, width, height),
                ):
                    for row in range(rows):
                        for k in range(1, columns):
                            plane[row, k] += share[row, k] * (plane[row, k - 1] - plane[row, k])
                        for k in range(columns - 2, -1, -1):
                            plane[row, k] += share[row, k + 1] * (plane[row, k + 1] - plane[row, k])
    return top


@pytest.mark.parametrize("sizes", [[(5, 6), (5, 6)], [(5, 3), (2, 6)], [(1, 1), (0, 4)]])
@pytest.mark.parametrize("min_weight", [0.0, 0.4])
def test_recursions(sizes, min_weight):
    x, edges = values(2, 3, 5, 6).numpy(), np.abs(values(2, 1, 5, 6, seed=4).numpy())
    dims = np.array(sizes, np.float64).reshape(2, 1, 1, 2)
    layer = round_trip("DomainTransform", num_iter=2, spatial_sigma=4, range_sigma=2, min_weight=min_weight)
    np.testing.assert_allclose(run(layer, x, edges, dims)[0], filtered(layer, x, edges, dims), rtol=1e-9, atol=1e-12)


def test_gradients_within_a_region():
    sizes = torch.tensor([[3.0, 4.0], [4.0, 2.0]])
    assert gradcheck(LAYER, (2, 2, 4, 5), (2, 1, 4, 5), (2, 2), fixed={2: sizes})


def test_a_bounded_weight_keeps_its_gradient():
    """The fork derives the exponential at the weight it uses, also at a bound."""
    layer = DomainTransform(1, 4.0, 2.0, min_weight=0.9)
    edges = torch.ones(1, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    weight = layer._weight(edges, 0)
    assert weight.tolist() == [[[[0.9, 0.9]]]]
    weight.sum().backward()
    factor = -math.sqrt(2) / (4 * math.sqrt(3) / math.sqrt(3)) * 2
    np.testing.assert_allclose(edges.grad.flatten(), [0.9 * factor] * 2)


@pytest.mark.parametrize("extent", [1, 2, 7, 16])
def test_recursive_filter(extent):
    x, weight = values(2, 3, 2, extent), values(2, 1, 2, extent, seed=2).sigmoid()
    top = RecursiveFilter.apply(x, weight)
    expected = x.clone()
    for k in range(1, extent):
        expected[..., k] += weight[..., k] * (expected[..., k - 1] - x[..., k])
    torch.testing.assert_close(top, expected)
    assert torch.autograd.gradcheck(RecursiveFilter.apply, (x.requires_grad_(), weight.requires_grad_()))


def test_shapes_and_traces():
    unknown = ((2, 3, UNKNOWN, 5), (2, 1, 4, 5), (UNKNOWN, 2))
    assert repr(LAYER.infer(unknown, 1)) == "((2, 3, ?, 5),)"
    traces(LAYER, values(1, 2, 3, 4), values(1, 1, 3, 4), torch.tensor([[3.0, 4.0]]))
    with raises("E102", "got .2,3,4,5. and .2,2,4,5."):
        LAYER.infer(((2, 3, 4, 5), (2, 2, 4, 5), (2, 2)), 1)
    with raises("E102", "a height and a width for each image, got .2,3."):
        LAYER.infer(((2, 3, 4, 5), (2, 1, 4, 5), (2, 3)), 1)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("`num_iter` is 0", {"num_iter": 0}),
        ("`spatial_sigma` is 0: it must be positive", {"spatial_sigma": 0}),
        ("`range_sigma` is -1", {"range_sigma": -1}),
        ("`min_weight` is -1", {"min_weight": -1}),
    ],
)
def test_invalid_fields(text, fields):
    with raises("E103", text):
        layer_from("DomainTransform", **fields)
