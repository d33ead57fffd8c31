"""MultiStageMeanfield, compared with its iterations by a dense filter matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.functions.permutohedral import PermutohedralLattice
from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.meanfield import MultiStageMeanfield
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import gradcheck, layer_from, run

LAYER = MultiStageMeanfield(8.0, 0.5, 3.0, 2)
FIELDS = {"theta_alpha": 8, "theta_beta": 0.5, "theta_gamma": 3, "num_iterations": 3}
REQUIRED = {"MultiStageMeanfield": "theta_alpha: 8 theta_beta: 1 theta_gamma: 3 num_iterations: 2"}
SHAPES = ((1, 2, 3, 4), (1, 2, 3, 4), (1, 3, 3, 4)), ((2, 2, 4, 2), (2, 2, 4, 2), (2, 3, 4, 2))
WHOLE = {
    f"multi_stage_meanfield_param.{name}": {"multi_stage_meanfield_param": {**FIELDS, name: "2 3"}}
    for name in ("spatial_filter_weights_str", "bilateral_filter_weights_str")
}
CASES = [Case(LAYER, *SHAPES, held=(2,), source=Source(places_lost=True))]


def filter_matrix(features):
    """The normalized filter as a matrix, from its lattice, which has a test of its own."""
    lattice = PermutohedralLattice(torch.tensor(features))
    matrix = lattice.filter(torch.eye(len(features), dtype=torch.float64)).numpy()
    return matrix / matrix.sum(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_iterations(channels):
    layer = round_trip("MultiStageMeanfield", **FIELDS)
    scores, start, image = (values(2, n, 4, 5, seed=n + i).numpy() for i, n in enumerate((3, 3, channels)))
    matrices = [values(1, 1, 3, 3, seed=i).numpy() for i in (6, 7, 8)]
    (top,) = run(layer, scores, start, image, weights=matrices)
    places = np.array([(x, y) for y in range(4) for x in range(5)], np.float64)
    spatial = filter_matrix(places / 3)
    for n in range(2):
        colors = image[n].reshape(channels, -1).T
        bilateral = filter_matrix(np.concatenate([places / 8, colors / 0.5], 1))
        current = start[n].reshape(3, -1)
        for _ in range(3):
            p = np.exp(current) / np.exp(current).sum(0)
            message = matrices[0][0, 0] @ p @ spatial + matrices[1][0, 0] @ p @ bilateral
            current = scores[n].reshape(3, -1) - matrices[2][0, 0] @ message
        np.testing.assert_allclose(top[n].reshape(3, -1), current, rtol=1e-5, atol=1e-5)


def test_gradients():
    image = values(1, 3, 3, 4)
    assert gradcheck(LAYER, (1, 2, 3, 4), (1, 2, 3, 4), (1, 3, 3, 4), fixed={2: image})


def test_initial_weights():
    bottoms = ((1, 3, 4, 5),) * 3
    layer = round_trip("MultiStageMeanfield", **FIELDS, spatial_filter_weight=2, bilateral_filter_weights_str="4 5 6")
    spatial, bilateral, compatibility = (weight.array[0, 0] for weight in layer.weights(bottoms))
    assert np.array_equal(spatial, 2 * np.eye(3))
    assert np.array_equal(bilateral, np.diag([4, 5, 6]))
    assert np.array_equal(compatibility, -np.eye(3))
    usual = layer_from("MultiStageMeanfield", **FIELDS).weights(bottoms)
    assert [weight.array[0, 0, 0, 0] for weight in usual] == [3, 5, -1]
    with raises("E102", "3 weights for 2 classes"):
        layer.weights(((1, 2, 4, 5),) * 3)


@pytest.mark.parametrize(
    ("code", "text", "fields"),
    [
        ("E101", "`theta_alpha` is missing", {}),
        ("E103", "`num_iterations` is 1: it must be greater than 1", {**FIELDS, "num_iterations": 1}),
        ("E103", "`theta_beta` is 0: it must be positive", {**FIELDS, "theta_beta": 0}),
        ("E103", "has a word that is not a number", {**FIELDS, "spatial_filter_weights_str": "3 x"}),
    ],
)
def test_invalid_fields(code, text, fields):
    with raises(code, text):
        layer_from("MultiStageMeanfield", **fields)


def test_mismatches():
    unknown = ((2, 3, UNKNOWN, 5), (2, 3, 4, 5), (UNKNOWN, 3, 4, 5))
    assert repr(LAYER.infer(unknown, 1)) == "((2, 3, ?, 5),)"
    with raises("E102", "scores and a start of the same 4 axes"):
        LAYER.infer(((1, 3, 4, 5), (1, 2, 4, 5), (1, 3, 4, 5)), 1)
    with raises("E102", "expected images of the scores' size"):
        LAYER.infer(((1, 3, 4, 5), (1, 3, 4, 5), (1, 3, 4, 6)), 1)
