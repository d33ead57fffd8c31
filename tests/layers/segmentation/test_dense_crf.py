"""DenseCRF and its lattice, compared with a transcription point by point, and with a Gaussian filter by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from netc.functions.permutohedral import PermutohedralLattice
from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.dense_crf import DenseCRF
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_from, run

LAYER = DenseCRF(3, (3.0,), (2.0,), (10.0,), (5.0,), (3.0,))
FILTERS = {"pos_xy_std": [3.0], "pos_w": [2.0], "bi_xy_std": [10.0], "bi_rgb_std": [5.0], "bi_w": [3.0]}
WHOLE = {
    **{f"dense_crf_param.{name}": {"dense_crf_param": FILTERS} for name in FILTERS},
}
CASES = [
    Case(LAYER, ((1, 3, 4, 5), (1, 2), (1, 3, 4, 5)), ((2, 3, 5, 3), (2, 2), (2, 3, 5, 3)), integers=(1,), below=5,
         source=Source(places_lost=True)),
    Case(DenseCRF(3, (3.0,), (2.0,)), ((2, 3, 4, 5), (2, 1, 1, 2)), ((1, 3, 5, 3), (1, 1, 1, 2)), integers=(1,),
         below=5, source=Source(places_lost=True)),
]  # fmt: skip


def simplex(point):
    """The vertices of the simplex around a point, by the coordinates of the first d axes, and its weights."""
    d = len(point)
    scaled = [x * math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i, x in enumerate(point)]
    elevated = [sum(scaled)] + [sum(scaled[j:]) - j * scaled[j - 1] for j in range(1, d + 1)]
    origin = [round(e / (d + 1)) * (d + 1) for e in elevated]
    order = sorted(range(d + 1), key=lambda i: (-(elevated[i] - origin[i]), i))
    rank = [order.index(i) for i in range(d + 1)]
    excess = sum(origin) // (d + 1)
    for i in range(d + 1):
        rank[i] += excess
        if not 0 <= rank[i] <= d:
            step = d + 1 if rank[i] < 0 else -(d + 1)
            rank[i], origin[i] = rank[i] + step, origin[i] + step
    weights = [0.0] * (d + 2)
    for i in range(d + 1):
        share = (elevated[i] - origin[i]) / (d + 1)
        weights[d - rank[i]] += share
        weights[d + 1 - rank[i]] -= share
    weights[0] += 1 + weights[d + 1]
    keys = [tuple(origin[i] + (r if rank[i] <= d - r else r - d - 1) for i in range(d)) for r in range(d + 1)]
    return keys, weights[: d + 1]


def lattice_filter(points, values, reverse=False):
    """The filter of (points, d) for (points, channels)."""
    d = points.shape[1]
    filled = [*points, *[np.zeros(d)] * (-len(points) % 4)]
    simplices = [simplex(list(map(float, point))) for point in filled]
    held = {key: np.zeros(values.shape[1]) for keys, _ in simplices for key in keys}
    for (keys, weights), value in zip(simplices, values):
        for key, weight in zip(keys, weights):
            held[key] = held[key] + weight * value
    for axis in reversed(range(d + 1)) if reverse else range(d + 1):
        step = tuple(d if i == axis else -1 for i in range(d))
        shifted = {key: [tuple(k + sign * s for k, s in zip(key, step)) for sign in (1, -1)] for key in held}
        held = {key: held[key] + sum(held.get(other, 0) for other in shifted[key]) / 2 for key in held}
    scale = 1 / (1 + 2.0**-d)
    return np.array(
        [sum(w * held[key] for key, w in zip(keys, weights)) * scale for keys, weights in simplices[: len(values)]]
    )


@pytest.mark.parametrize(("points", "dimensions"), [(12, 2), (13, 5), (6, 1), (31, 3)])
def test_lattice(points, dimensions):
    features, given = values(points, dimensions) * 2, values(4, points, seed=4)
    lattice = PermutohedralLattice(features)
    expected = lattice_filter(features.float().double().numpy(), given.t().numpy())
    np.testing.assert_allclose(lattice.filter(given).t(), expected, rtol=1e-4, atol=1e-5)
    assert torch.autograd.gradcheck(lattice.filter, (given.requires_grad_(),))


def test_the_lattice_is_close_to_a_gaussian_filter():
    rows, columns = np.meshgrid(np.arange(12), np.arange(14), indexing="ij")
    features = torch.tensor(np.stack([columns.ravel(), rows.ravel()], 1) / 3)
    given = values(2, 168).abs()
    distance = ((features[:, None] - features[None]) ** 2).sum(2)
    kernel = torch.exp(-distance / 2)
    expected = (given @ kernel) / kernel.sum(0)
    lattice = PermutohedralLattice(features)
    found = lattice.filter(given) / lattice.filter(torch.ones(1, 168, dtype=torch.float64))
    assert (found - expected).abs().max() < 0.05


def inferred(layer, scores, image):
    """The probabilities of one image, with filters as the transcription computes them."""
    c, h, w = scores.shape
    places = np.array([(x, y) for y, x in itertools.product(range(h), range(w))], np.float64)
    kernels = [(places / std, weight) for std, weight in zip(layer.pos_xy_std, layer.pos_w)]
    if image is not None:
        colors = image.reshape(3, -1).T
        for std, rgb, weight in zip(layer.bi_xy_std, layer.bi_rgb_std, layer.bi_w):
            kernels.append((np.concatenate([places / std, colors / rgb], 1), weight))
    unary = scores.reshape(c, -1).T
    soft = lambda a: np.exp(a - a.max(1, keepdims=True)) / np.exp(a - a.max(1, keepdims=True)).sum(1, keepdims=True)
    norms = [lattice_filter(points, np.ones((h * w, 1))) for points, _ in kernels]
    current = soft(unary)
    for _ in range(layer.max_iter):
        current = soft(
            unary + sum(k * lattice_filter(points, current) / norm for (points, k), norm in zip(kernels, norms))
        )
    return current.T.reshape(c, h, w)


@pytest.mark.parametrize("with_image", [True, False])
def test_mean_field_inference(with_image):
    fields = {
        "max_iter": 2,
        "pos_xy_std": [3.0],
        "pos_w": [2.0],
        "bi_xy_std": [8.0],
        "bi_rgb_std": [5.0],
        "bi_w": [4.0],
    }
    layer = round_trip("DenseCRF", **fields)
    scores, image = values(2, 3, 5, 6).numpy(), 20 * values(2, 3, 5, 6, seed=9).numpy()
    sizes = np.array([[5.0, 6.0], [4.0, 3.0]]).reshape(2, 1, 1, 2)
    bottoms = (scores, sizes, image) if with_image else (scores, sizes)
    (top,) = run(layer, *bottoms)
    for n, (h, w) in enumerate(((5, 6), (4, 3))):
        expected = np.zeros((3, 5, 6))
        expected[:, :h, :w] = inferred(layer, scores[n, :, :h, :w], image[0, :, :h, :w] if with_image else None)
        np.testing.assert_allclose(top[n], expected, rtol=1e-3, atol=1e-5)


def test_logarithms_and_negligible_classes():
    scores = np.zeros((1, 2, 1, 2))
    scores[0, 0] = 30
    (top,) = run(DenseCRF(1, output_probability=False), scores, np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(top[0, :, 0, 0], [0, math.log(1.17549435082229e-38)])
    (whole,) = run(DenseCRF(1), scores, np.array([[0.0, 2.0]]))
    assert not whole.any()


@pytest.mark.parametrize(
    ("code", "text", "fields"),
    [
        ("E101", "`pos_xy_std` and `pos_w` have different numbers of values", {"pos_w": [1.0]}),
        ("E101", "`bi_rgb_std` and `bi_w`", {"bi_w": [1.0], "bi_xy_std": [1.0]}),
        ("E103", "`pos_xy_std` is 0: it must be positive", {"pos_w": [1.0], "pos_xy_std": [0.0]}),
    ],
)
def test_invalid_fields(code, text, fields):
    with raises(code, text):
        layer_from("DenseCRF", **fields)


def test_mismatches():
    unknown = ((2, 3, UNKNOWN, 5), (2, 1, 1, UNKNOWN), (2, 3, 4, 5))
    assert repr(LAYER.infer(unknown, 1)) == "((2, 3, ?, 5),)"
    for code, text, bottoms in (
        ("E102", "expected scores with 4 axes", ((3, 4, 5), (1, 2), (1, 3, 4, 5))),
        ("E102", "a height and a width for each image", ((1, 3, 4, 5), (1, 3), (1, 3, 4, 5))),
        ("E102", "expected color images of the scores' size", ((1, 3, 4, 5), (1, 2), (1, 1, 4, 5))),
    ):
        with raises(code, text):
            LAYER.infer(bottoms, 1)
    with raises("E101", "no effect without `bi_w`"):
        DenseCRF().infer(((1, 3, 4, 5), (1, 2), (1, 3, 4, 5)), 1)
