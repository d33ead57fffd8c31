"""BoxAnnotatorOHEM, compared with its loop (`box_annotator_ohem_layer.cu`)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers.detection.box_annotator_ohem import BoxAnnotatorOhem
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import run


def shapes(n: int, h: int, w: int, c: int = 4):
    return ((n, 5, h, w), (n, 1, h, w), (n, 1, h, w), (n, c, h, w))


CASES = [
    Case(
        BoxAnnotatorOhem(2, -3),
        shapes(5, 1, 1),
        shapes(2, 2, 3),
        tops=2,
        integers=(0, 2),
        source=Source(places_lost=True),
    )
]


def kept(count: int, image: np.ndarray, losses: np.ndarray) -> np.ndarray:
    left, result = {}, np.zeros(losses.size, bool)
    for index in np.argsort(-losses.ravel(), kind="stable"):
        of = int(image.ravel()[index])
        if left.setdefault(of, count):
            left[of] -= 1
            result[index] = True
    return result.reshape(losses.shape)


@pytest.mark.parametrize("size", [(12, 1, 1), (3, 2, 4)])
@pytest.mark.parametrize("count", [1, 3, 50])
@pytest.mark.parametrize("ties", [False, True])
def test_the_largest_losses_of_each_image_are_kept(size, count, ties):
    losses, labels, weights = (values(*shape, seed=i).numpy() for i, shape in enumerate(shapes(*size)[1:]))
    losses = np.round(losses) if ties else losses
    regions = values(size[0], 5, *size[1:]).numpy()
    regions[:, 0] = np.arange(regions[:, 0].size).reshape(regions[:, 0].shape) * 7 % 3
    expected = kept(count, regions[:, 0], losses)
    found = run(BoxAnnotatorOhem(count, -7), regions, losses, labels, weights, tops=2)
    np.testing.assert_array_equal(found[0], np.where(expected, labels, -7))
    np.testing.assert_array_equal(found[1], np.where(expected, weights, 0))


def test_files_and_shapes():
    assert round_trip("BoxAnnotatorOHEM", roi_per_img=128, ignore_label=-2) == BoxAnnotatorOhem(128, -2)
    layer = BoxAnnotatorOhem(128)
    found = layer.infer(((UNKNOWN, 5), (UNKNOWN,), (UNKNOWN, 1, 1, 1), (UNKNOWN, 8)), 2)
    assert found == ((UNKNOWN, 1, 1, 1), (UNKNOWN, 8, 1, 1))
    assert layer.dtypes(("float32", "float32", "int64", "float32"), 2) == ("int64", "float32")
    with raises("E103", "`roi_per_img` is required"):
        BoxAnnotatorOhem().infer(shapes(2, 1, 1), 2)
    with raises("E102", "expected regions of 5 numbers"):
        layer.infer(((2, 4), (2, 1), (2, 1), (2, 8)), 2)


def test_shapes_are_static():
    bottoms = [torch.empty(shape, device="meta") for shape in shapes(300, 1, 1, 8)]
    tops = BoxAnnotatorOhem(128).forward(bottoms, (), Mode(True, 2))
    assert [top.shape for top in tops] == [(300, 1, 1, 1), (300, 8, 1, 1)]
