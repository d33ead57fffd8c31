"""MaskLayer of MNC, compared with its arithmetic in NumPy and OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.functions import region_masks
from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers.mnc.mask import MaskProposals
from tests.layers.contract import raises
from tests.layers.harness import run
from tests.layers.mnc.reference import cut, near, overlap_of_masks, scene

LAYER = MaskProposals()
OBJECTS, MASKS, SIZES = scene()


def matches(count: int = 40):
    """Matches of regions near objects with each's nearest, every fifth background; and predictions."""
    random = np.random.default_rng(1)
    rows = random.integers(3, size=count)
    info = np.zeros((count, 12))
    for i, row in enumerate(rows):
        own, of = (np.around(box / 2) for box in (near(OBJECTS[row : row + 1], 1, i, 5.0)[0, 1:], OBJECTS[row, :4]))
        info[i] = row, *SIZES[row], OBJECTS[row, 4], *own, *of
    info[::5] = -1
    y, x = np.mgrid[:21, :21]
    shapes = [1.1 - np.hypot((y - 10) / high, (x - 10) / wide) for high, wide in random.uniform(8, 20, (count, 2))]
    return info, np.clip(np.array(shapes), 0, 1).reshape(count, 441)


@pytest.mark.parametrize("most", [1 << 24, 5000])
def test_labels_in_training(monkeypatch, most):
    monkeypatch.setattr(region_masks, "MOST_PIXELS", most)
    info, predicted = matches()
    maps, labels = run(LAYER, predicted, MASKS, info, tops=2, training=True)
    np.testing.assert_array_equal(maps, predicted.reshape(40, 1, 21, 21))
    expected = []
    for match, mask in zip(info, predicted.reshape(40, 21, 21)):
        row, box, of = int(match[0]), match[4:8].astype(int), match[8:].astype(int)
        good = row >= 0 and overlap_of_masks(box, of, mask, cut(MASKS, SIZES, row)) >= 0.5
        expected.append(match[3] if good else 0)
    np.testing.assert_array_equal(labels[:, 0], expected)
    assert {0, 1, 3, 4} == set(labels[info[:, 0] >= 0, 0])


def test_gradient_of_labelled_masks():
    info, predicted = matches()
    given = [torch.tensor(one, requires_grad=True) for one in (predicted, MASKS, info)]
    maps, labels = LAYER.forward(given, (), Mode(True, 2))
    sent = torch.randn(maps.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    maps.backward(sent)
    np.testing.assert_array_equal(given[0].grad, np.where(labels > 0, sent.reshape(40, 441), 0))
    assert all(one.grad is None for one in given[1:])
    assert not labels.requires_grad


def test_maps_in_test():
    _, predicted = matches()
    (maps,) = run(LAYER, predicted)
    np.testing.assert_array_equal(maps, predicted.reshape(40, 1, 21, 21))


def test_a_match_out_of_range_is_an_error():
    info, predicted = matches()
    info[1, 0] = 3
    with raises("E301", "object of a mask outside 0 to 2"):
        run(LAYER, predicted, MASKS, info, tops=2)
    info[1, 0], info[1, 6] = 0, 1e7
    with raises("E301", "corner of a box outside"):
        run(LAYER, predicted, MASKS, info, tops=2)


def test_no_objects():
    info, predicted = matches()
    _, labels = run(LAYER, predicted, MASKS[:0], np.full_like(info, -1), tops=2)
    assert not labels.any()


def test_shapes():
    assert LAYER.infer(((UNKNOWN, 441),), 1) == ((UNKNOWN, 1, 21, 21),)
    assert LAYER.infer(((9, 441), (4, 90, 80), (9, 12)), 2) == ((9, 1, 21, 21), (9, 1))
    with raises("E102", "expected masks of 21 x 21 values"):
        LAYER.infer(((9, 440),), 1)
    with raises("E102", "labels need three bottoms"):
        LAYER.infer(((9, 441),), 2)
    with raises("E102", "expected masks of objects"):
        LAYER.infer(((9, 441), (4, 90), (9, 12)), 2)
    with raises("E102", "expected 12 numbers of each mask's match"):
        LAYER.infer(((9, 441), (4, 90, 80), (9, 4)), 2)


def test_a_file(graph_from):
    layer = (
        graph_from("""
        layer { name: "d" type: "Input" top: "m" input_param { shape { dim: 9 dim: 441 } } }
        layer { name: "p" type: "Python" bottom: "m" top: "maps"
          python_param { module: "pylayer.mask_layer" layer: "MaskLayer" } }""")
        .nodes[-1]
        .layer
    )
    assert isinstance(layer, MaskProposals)
