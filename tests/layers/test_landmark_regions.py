import math

import numpy as np
import pytest
import torch

from netc.layers.landmark_regions import Hotspot, SubRegion
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, run, shapes_of

REQUIRED = {
    "SubRegion": "region_height: 2 region_width: 2 data_height: 4 data_width: 4",
    "Hotspot": "data_height: 4 data_width: 4 output_height: 4 output_width: 4",
}
AROUND = ((2, 3, 5, 6), (2, 4), (2, 4)), ((1, 3, 7, 4), (1, 6, 1, 1), (1, 6))
FACTS = Source(places_lost=True)
CASES = [
    Case(SubRegion(3, 2, 4, 5), *AROUND, tops=3, held=(1, 2), source=FACTS),
    Case(SubRegion(2, 3, 4, 5, as_dim=0), *AROUND, tops=3, held=(1, 2), source=FACTS),
    Case(Hotspot(4, 5, 6, 7, gaussian_std=1.5), ((2, 4),), ((1, 6, 1, 1),), source=FACTS),
    Case(Hotspot(4, 5), ((2, 4), (1, 2, 3, 4)), ((1, 6), (2, 1, 5, 3)), source=FACTS),
]


def regions(x, points, truth, layer):
    """The tops by the loops of the layer's code."""
    (n, c, h, w), count = x.shape, points.shape[1] // 2
    top = np.zeros((n, count, c, layer.region_height, layer.region_width))
    offsets, centers = np.zeros_like(points), np.zeros_like(points)
    for i, p in np.ndindex(n, count):
        start = []
        for k, (extent, size, data) in enumerate(
            ((w, layer.region_width, layer.data_width), (h, layer.region_height, layer.data_height))
        ):
            first = math.floor((points[i, 2 * p + k] / data + 0.5) * extent - size // 2)
            centers[i, 2 * p + k] = (first + size / 2 + 0.5) / extent * data
            offsets[i, 2 * p + k] = truth[i, 2 * p + k] + data // 2 - centers[i, 2 * p + k]
            start.append(first)
        for a, b in np.ndindex(layer.region_height, layer.region_width):
            row, column = start[1] + a, start[0] + b
            if 0 <= row < h and 0 <= column < w:
                top[i, p, :, a, b] = x[i, :, row, column]
    if layer.as_dim:
        return top.reshape(n, count * c, *top.shape[3:]), offsets, centers
    return top.transpose(1, 0, 2, 3, 4).reshape(count * n, c, *top.shape[3:]), offsets, centers


@pytest.mark.parametrize("as_dim", [0, 1])
@pytest.mark.parametrize("size", [(3, 4), (2, 1), (9, 8)])
def test_regions(as_dim, size):
    x, points, truth = values(2, 3, 6, 7).requires_grad_(), values(2, 8, seed=5) * 40, values(2, 8, seed=6)
    layer = SubRegion(*size, 51, 60, as_dim)
    tops = module_of(layer, shapes_of((x, points, truth)), 3)(x, points, truth)
    for top, expected in zip(tops, regions(x.detach().numpy(), points.numpy(), truth.numpy(), layer)):
        np.testing.assert_allclose(top.detach(), expected, atol=1e-12)
    assert (tops[0] == 0).any()
    dy = values(*tops[0].shape, seed=9)
    tops[0].backward(dy)
    found = regions(
        np.arange(1.0, 43).repeat(6).reshape(42, 6).T.reshape(2, 3, 6, 7), points.numpy(), truth.numpy(), layer
    )
    summed = np.zeros((6, 43))
    shaped = found[0].reshape(2, 4, 3, *size) if as_dim else found[0].reshape(4, 2, 3, *size).transpose(1, 0, 2, 3, 4)
    gradients = (
        dy.numpy().reshape(2, 4, 3, *size) if as_dim else dy.numpy().reshape(4, 2, 3, *size).transpose(1, 0, 2, 3, 4)
    )
    for (i, _, c, *_), place, value in zip(np.ndindex(shaped.shape), shaped.flat, gradients.flat):
        summed[i * 3 + c, int(place)] += value
    np.testing.assert_allclose(x.grad.reshape(6, 42), summed[:, 1:], atol=1e-12)


def test_points_far_outside_and_nan():
    points = torch.tensor([[math.nan, math.inf, -math.inf, 1e30]])
    (top,) = run(SubRegion(2, 2, 4, 4), torch.ones(1, 1, 3, 3), points, points)
    assert not top.any()


@pytest.mark.parametrize("removed", [False, True])
def test_hotspots(removed):
    points = values(2, 6) * 20 + (0 if removed else 25)
    (top,) = run(Hotspot(48, 60, 7, 9, 1.3, removed), points.numpy())
    for i, p, h, w in np.ndindex(2, 3, 7, 9):
        x = (points[i, 2 * p].item() / 60 + 0.5 * removed) * 9
        y = (points[i, 2 * p + 1].item() / 48 + 0.5 * removed) * 7
        density = math.exp(-0.5 * ((x - w) ** 2 + (y - h) ** 2) / 1.3**2) / (2 * math.pi * 1.3**2)
        assert top[i, p, h, w] == pytest.approx(density if density > 1e-4 else 0, rel=1e-6)
    assert (top == 0).any()
    assert (top > 0).any()


def test_files_and_shapes():
    sizes = {"region_height": 2, "region_width": 3, "data_height": 4, "data_width": 5}
    assert round_trip("SubRegion", **sizes, as_dim=0) == SubRegion(2, 3, 4, 5, 0)
    assert round_trip("Hotspot", data_height=4, data_width=5, gaussian_std=2.0) == Hotspot(4, 5, gaussian_std=2)
    assert Hotspot(4, 5).infer(((2, 6), (1, 1, 3, 4)), 1) == ((2, 3, 3, 4),)
    layer = SubRegion(2, 3, 4, 5)
    with raises("E102", r"expected pairs of coordinates \(n, 2 points\), got \[2,3\]"):
        layer.infer(((2, 3, 4, 5), (2, 3), (2, 3)), 1)
    with raises("E102", r"points \[1,4\] and \[1,4\] for images"):
        layer.infer(((2, 3, 4, 5), (1, 4), (1, 4)), 1)
    with raises("E102", "4 axes"):
        layer.infer(((2, 3), (2, 4), (2, 4)), 1)
    with raises("E101", "expected 1 or 3 tops"):
        layer.infer(((2, 3, 4, 5), (2, 4), (2, 4)), 2)
    with raises("E101", "`output_height` and `output_width` are needed"):
        Hotspot(4, 5).infer(((2, 4),), 1)
    with raises("E102", "second bottom with 4 axes"):
        Hotspot(4, 5).infer(((2, 4), (2, 4)), 1)


SIZES = {"region_height": 2, "region_width": 2, "data_height": 4, "data_width": 4}


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [
        ("E103", "`region_width` is 0", "SubRegion", {"sub_region_param": {**SIZES, "region_width": 0}}),
        ("E103", "`data_height` is 0", "SubRegion", {"sub_region_param": {**SIZES, "data_height": 0}}),
        (
            "E104",
            "`region_height` must be at most",
            "SubRegion",
            {"sub_region_param": {**SIZES, "region_height": 99999}},
        ),
        ("E103", "`data_height` is 0", "Hotspot", {"hotspot_param": {"data_height": 0, "data_width": 1}}),
        (
            "E104",
            "`output_width` must be at most",
            "Hotspot",
            {"hotspot_param": {"data_height": 1, "data_width": 1, "output_width": 99999}},
        ),
        (
            "E103",
            "`gaussian_std` is 0",
            "Hotspot",
            {"hotspot_param": {"data_height": 1, "data_width": 1, "gaussian_std": 0.0}},
        ),
    ],
)
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, message)
