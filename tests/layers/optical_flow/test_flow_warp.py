"""FlowWarp, Warp and Grid, compared with transcriptions of the forks' loops, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.layers.optical_flow.flow_warp import FlowWarp, Grid, Warp
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import module_of, run

SHAPES = ((2, 3, 4, 5), (2, 2, 4, 5)), ((1, 2, 6, 3), (1, 2, 6, 3))
CASES = [
    Case(FlowWarp(), *SHAPES, source=Source(places_lost=True)),
    Case(Warp(), *SHAPES, source=Source(places_lost=True)),
    Case(Grid(), ((2, 3, 4, 5),), ((1, 2, 6, 3),), source=Source()),
]


def flow_warped(image, flow, gradient, fill=0.0):
    """The top and the gradients of both bottoms."""
    n, _, h, w = image.shape
    top, of_image, of_flow = np.full(image.shape, fill), np.zeros(image.shape), np.zeros(flow.shape)
    for i, y, x in np.ndindex(n, h, w):
        px, py = x + flow[i, 0, y, x], y + flow[i, 1, y, x]
        if not (0 <= px < w and 0 <= py < h):
            continue
        left, above = int(px), int(py)
        right, below = min(left + 1, w - 1), min(above + 1, h - 1)
        a, b, g = px - left, py - above, gradient[i, :, y, x]
        tl, tr, bl, br = (image[i, :, r, k] for r in (above, below) for k in (left, right))
        top[i, :, y, x] = (1 - a) * (1 - b) * tl + a * (1 - b) * tr + (1 - a) * b * bl + a * b * br
        for r, down in ((above, 1 - b), (below, b)):
            for k, across in ((left, 1 - a), (right, a)):
                of_image[i, :, r, k] += across * down * g
        from_below, from_right = below - py, right - px
        of_flow[i, 0, y, x] = (g * (from_below * (tr - tl) + (1 - from_below) * (br - bl))).sum()
        of_flow[i, 1, y, x] = (g * (from_right * (bl - tl) + (1 - from_right) * (br - tr))).sum()
    return top, of_image, of_flow


def warped(image, place, gradient):
    n, _, h, w = image.shape
    top, of_image, of_place = np.zeros(image.shape), np.zeros(image.shape), np.zeros(place.shape)
    for i, y, x in np.ndindex(n, h, w):
        px, py = place[i, 0, y, x], place[i, 1, y, x]
        left, above = int(np.floor(px)), int(np.floor(py))
        g = gradient[i, :, y, x]
        for r, down, slope_y in ((above, above + 1 - py, -1), (above + 1, py - above, 1)):
            for k, across, slope_x in ((left, left + 1 - px, -1), (left + 1, px - left, 1)):
                if not (0 <= r < h and 0 <= k < w):
                    continue
                top[i, :, y, x] += across * down * image[i, :, r, k]
                of_image[i, :, r, k] += across * down * g
                of_place[i, 0, y, x] += (slope_x * down * image[i, :, r, k] * g).sum()
                of_place[i, 1, y, x] += (slope_y * across * image[i, :, r, k] * g).sum()
    return top, of_image, of_place


def both_ways(layer, image, field, top_gradient):
    module = module_of(layer, (tuple(image.shape), tuple(field.shape))).double()
    image, field = image.clone().requires_grad_(), field.clone().requires_grad_()
    top = module(image, field)
    return (top.detach().numpy(), *(g.numpy() for g in torch.autograd.grad(top, (image, field), top_gradient)))


@pytest.mark.parametrize("scale", [0.0, 1.5, 6.0])
def test_flow_warp(scale):
    image, flow, gradient = values(2, 3, 6, 7), values(2, 2, 6, 7, seed=4) * scale, values(2, 3, 6, 7, seed=5)
    flow[0, 0, 0, :3] = torch.tensor([0.25, 5.5, -3.0])
    flow[0, 1, 5, 3] = 0.75  # between the last row and the height
    for one, other in zip(
        both_ways(FlowWarp(), image, flow, gradient), flow_warped(image.numpy(), flow.numpy(), gradient.numpy())
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_fill_value():
    layer = round_trip("FlowWarp", fill_value="NOT_A_NUMBER")
    image, flow = values(2, 3, 6, 7), values(2, 2, 6, 7, seed=4) * 4
    flow[1, 0, 2, 2] = float("nan")
    expected = flow_warped(image.numpy(), flow.numpy(), image.numpy(), np.nan)[0]
    np.testing.assert_allclose(run(layer, image, flow)[0], expected, rtol=1e-10)
    assert np.isnan(expected[1, :, 2, 2]).all()


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_warp(scale):
    image, place, gradient = values(2, 3, 6, 7), values(2, 2, 6, 7, seed=4) * scale + 2, values(2, 3, 6, 7, seed=5)
    place[0, :, 0, 0] = torch.tensor([1e9, -1e9])
    place[0, :, 0, 1] = torch.tensor([6.0, 5.0])
    for one, other in zip(
        both_ways(Warp(), image, place, gradient), warped(image.numpy(), place.numpy(), gradient.numpy())
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_coordinates_that_are_no_numbers_are_outside():
    place = torch.full((1, 2, 2, 3), float("nan"))
    place[0, :, 0, 0] = float("inf")
    assert not run(Warp(), torch.ones(1, 2, 2, 3), place)[0].any()


def test_grid():
    (found,) = run(Grid(), np.zeros((2, 3, 2, 4)))
    np.testing.assert_array_equal(found[1, 0], [[0, 1, 2, 3]] * 2)
    np.testing.assert_array_equal(found[0, 1], [[0] * 4, [1] * 4])


def test_a_grid_keeps_an_image_in_place():
    image = values(2, 3, 4, 5)
    (grid,) = run(Grid(), image)
    np.testing.assert_array_equal(run(Warp(), image, grid)[0], image.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("layer", [FlowWarp(), Warp()])
def test_tracing(layer):
    traces(layer, values(2, 3, 4, 5), values(2, 2, 4, 5))


def test_errors():
    with raises("E102", "expected 2 channels in the second bottom"):
        FlowWarp().infer(((1, 3, 4, 5), (1, 3, 4, 5)), 1)
    with raises("E102", "different heights or widths"):
        Warp().infer(((1, 3, 4, 5), (1, 2, 4, 6)), 1)
    with raises("E102", "different numbers of items"):
        Warp().infer(((1, 3, 4, 5), (2, 2, 4, 5)), 1)


def test_contract():
    first = values(2, 3, 4, 5), values(2, 2, 4, 5)
    second = values(1, 2, 6, 3), values(1, 2, 6, 3)
    for layer in (FlowWarp(), Warp()):
        resizes(layer, first, second)
    meta = [torch.empty(shape, device="meta") for shape in ((2, 3, 4, 5), (2, 2, 4, 5))]
    assert Warp().forward(meta, (), None).shape == FlowWarp().forward(meta, (), None).shape == (2, 3, 4, 5)
