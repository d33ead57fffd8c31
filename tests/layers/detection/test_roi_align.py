"""ROIAlign of Cascade R-CNN, compared with its kernel in loops (`roi_align_layer.cu`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.layers.detection.roi_align import RoiAlign
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip
from tests.layers.detection.regions import REGIONS, features, tops_and_gradient
from tests.layers.harness import run

CASES = [
    Case(
        RoiAlign(2, 3, 2.0, 0.25),
        ((2, 3, 6, 5), (4, 5)),
        ((3, 2, 4, 7), (2, 5)),
        integers=(1,),
        below=2,
        source=Source(places_lost=True),
    )
]


def samples(layer: RoiAlign, region: np.ndarray, height: int, width: int):
    """For each sample of a region in the image, its place in the top, and the elements around it with their parts."""
    x1, y1, x2, y2 = region[1:]
    wide, high = (x2 - x1 + 1) * layer.pad_ratio, (y2 - y1 + 1) * layer.pad_ratio
    left, right = ((x * layer.spatial_scale - 0.5) for x in (x1 - wide, x2 + wide))
    top, bottom = ((y * layer.spatial_scale - 0.5) for y in (y1 - high, y2 + high))
    if right <= left or bottom <= top:
        return
    for i, j in np.ndindex(layer.pooled_h + 1, layer.pooled_w + 1):
        y = top + i * (bottom - top) / layer.pooled_h
        x = left + j * (right - left) / layer.pooled_w
        if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
            continue
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        low, start = math.floor(y), math.floor(x)
        down, across = y - low, x - start
        for row, vertical in ((low, 1 - down), (min(low + 1, height - 1), down)):
            for column, horizontal in ((start, 1 - across), (min(start + 1, width - 1), across)):
                yield (i, j), (row, column), vertical * horizontal


@pytest.mark.parametrize("layer", [RoiAlign(3, 4, 1 / 8), RoiAlign(2, 2, 0.25, 0.2), RoiAlign(1, 7, 1.0)], ids=str)
def test_samples_and_gradient(layer):
    x = features(2, 3, 8, 12)
    found, sent, gradient = tops_and_gradient(layer, x, REGIONS)
    top, wanted = np.zeros_like(found), np.zeros(x.shape)
    for r, region in enumerate(REGIONS):
        for (i, j), (row, column), part in samples(layer, region, 8, 12):
            image = int(region[0])
            top[r, :, i, j] += part * x[image, :, row, column]
            wanted[image, :, row, column] += part * sent[r, :, i, j]
    assert found.shape == (len(REGIONS), 3, layer.pooled_h + 1, layer.pooled_w + 1)
    np.testing.assert_allclose(found, top, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6)
    assert top.any()


def test_not_a_number_is_outside():
    x = features(1, 2, 5, 5)
    (found,) = run(RoiAlign(2, 2), x, np.array([[0, np.nan, 0, 3, 3], [0, 0, 0, np.inf, 3]], np.float32))
    assert not found[0].any()
    assert np.isfinite(found).all()


def test_an_image_that_does_not_exist_is_an_error():
    with raises("E301", "image of a region outside 0 to 1"):
        run(RoiAlign(2, 2), features(2, 2, 5, 5), np.array([[2, 0, 0, 3, 3]], np.float32))


def test_shapes_and_files():
    layer = round_trip(RoiAlign, pooled_h=7, pooled_w=6, spatial_scale=0.125, pad_ratio=0.25)
    assert layer == RoiAlign(7, 6, 0.125, 0.25)
    assert layer.infer(((2, 8, UNKNOWN, 9), (UNKNOWN, 5)), 1) == ((UNKNOWN, 8, 8, 7),)
    with raises("E103", "`pooled_w` is required"):
        RoiAlign(7).infer(((2, 8, 9, 9), (4, 5)), 1)
    with raises("E102", "expected regions of 5 numbers"):
        layer.infer(((2, 8, 9, 9), (4, 4)), 1)


NET = """
    layer {{ name: "d" type: "Input" top: "x" top: "r" input_param {{
      shape {{ dim: 1 dim: 8 dim: 9 dim: 9 }} shape {{ dim: 4 dim: 5 }} }} }}
    layer {{ name: "a" type: "ROIAlign" bottom: "x" bottom: "r" top: "y" {message} {{ pooled_h: 7 pooled_w: 7 }} }}"""


def test_layers_of_other_forks_are_not_taken_for_it(graph_from):
    assert graph_from(NET.format(message="roi_pooling_param")).nodes[-1].layer == RoiAlign(7, 7)
    with pytest.raises(NetcError, match="no meaning of layer type `ROIAlign` fits"):
        graph_from(NET.format(message="roi_align_param"))


def test_gradcheck():
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    regions = torch.tensor([[0, 0.3, 0.7, 4.1, 3.2], [0, -1.0, 1, 9, 3]], dtype=torch.float64)
    from netc.ir.layer import Mode

    layer = RoiAlign(3, 2, 0.9, 0.1)
    assert torch.autograd.gradcheck(lambda x: layer.forward((x, regions), (), Mode(False, 1)), x)
