"""ROIWarping of MNC, compared with its kernels in loops (`roi_warping_layer.cu`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.detection.roi_warping import RoiWarping
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip
from tests.layers.detection.regions import REGIONS, features
from tests.layers.harness import module_of, run

CASES = [
    Case(
        RoiWarping(2, 3, 4.0),
        ((2, 3, 6, 5), (4, 5)),
        ((3, 2, 4, 7), (2, 5)),
        integers=(1,),
        below=2,
        source=Source(places_lost=True, rounded=(1,), own_gradient="incomplete for small bins"),
    )
]


def away(x: float) -> int:
    return math.floor(abs(x) + 0.5) * (1 if x > 0 else -1)


class Sample:
    """One sample: where it is, and the elements around it."""

    def __init__(self, layer: RoiWarping, region, i: int, j: int, height: int, width: int) -> None:
        x1, y1, x2, y2 = (away(one * layer.spatial_scale) for one in region[1:])
        self.start, self.end = (y1, x1), (y2, x2)
        y = y1 + i * (max(y2 - y1, 0) / layer.pooled_h)
        x = x1 + j * (max(x2 - x1, 0) / layer.pooled_w)
        self.found = -0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5
        self.y, self.x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        self.low, self.left = int(self.y), int(self.x)
        self.at_end = self.low + 1 > height - 1 or self.left + 1 > width - 1
        self.high, self.right = min(self.low + 1, height - 1), min(self.left + 1, width - 1)

    def parts(self):
        """Rows, columns and weights of the four elements."""
        h, w = self.y - self.low, self.x - self.left
        yield self.low, self.left, (1 - h) * (1 - w)
        yield self.low, self.right, (1 - h) * w
        yield self.high, self.left, h * (1 - w)
        yield self.high, self.right, h * w


def warped(layer: RoiWarping, x: np.ndarray, regions: np.ndarray) -> np.ndarray:
    top = np.zeros((len(regions), x.shape[1], layer.pooled_h, layer.pooled_w))
    for r, i, j in np.ndindex(len(regions), layer.pooled_h, layer.pooled_w):
        one = Sample(layer, regions[r], i, j, *x.shape[2:])
        if one.found:
            top[r, :, i, j] = sum(x[int(regions[r][0]), :, h, w] * part for h, w, part in one.parts())
    return top


def seen(start: int, end: int, bins: int, element: int, index: int) -> bool:
    """Whether the gradient of an element looks at a sample."""
    size = max(end - start + 1, 1) / bins
    first, last = math.floor((element - start - 1) / size - 1), math.ceil((element - start + 1) / size)
    return start <= element <= end and first <= index < last


def gradients(layer: RoiWarping, x, regions, sent):
    of_x, of_regions = np.zeros(x.shape), np.zeros(regions.shape)
    for r, i, j in np.ndindex(len(regions), layer.pooled_h, layer.pooled_w):
        one = Sample(layer, regions[r], i, j, *x.shape[2:])
        if not one.found:
            continue
        n = int(regions[r][0])
        for h, w, part in one.parts():
            rows = seen(one.start[0], one.end[0], layer.pooled_h, h, i)
            if rows and seen(one.start[1], one.end[1], layer.pooled_w, w, j):
                of_x[n, :, h, w] += sent[r, :, i, j] * part
        if one.at_end:
            continue
        v1, v2, v3, v4 = (x[n, :, h, w] for h, w, _ in one.parts())
        h, w = one.y - one.low, one.x - one.left
        across = ((1 - h) * (v2 - v1) + h * (v4 - v3)) @ sent[r, :, i, j]
        down = ((1 - w) * (v3 - v1) + w * (v4 - v2)) @ sent[r, :, i, j]
        tall, wide = (
            max(end - start + 1, 1) / bins
            for start, end, bins in zip(one.start, one.end, (layer.pooled_h, layer.pooled_w))
        )
        map_h, map_w = (one.y - one.start[0]) / tall / layer.pooled_h, (one.x - one.start[1]) / wide / layer.pooled_w
        dw, dh = (map_w - 0.5) * across, (map_h - 0.5) * down
        each = 0, across / 2 - dw, down / 2 - dh, across / 2 + dw, down / 2 + dh
        of_regions[r] += np.array(each) * layer.spatial_scale
    return of_x, of_regions


@pytest.mark.parametrize("bins", [(2, 3), (7, 7), (1, 20)])
@pytest.mark.parametrize("scale", [1 / 8, 0.2])
def test_samples_and_gradients(bins, scale):
    layer = RoiWarping(*bins, scale)
    x = features(2, 3, 8, 12).astype(float)
    tensors = torch.tensor(x, requires_grad=True), torch.tensor(REGIONS.astype(float), requires_grad=True)
    top = module_of(layer, tuple(t.shape for t in tensors)).double()(*tensors)
    np.testing.assert_allclose(top.detach().numpy(), warped(layer, x, REGIONS), rtol=1e-9, atol=1e-12)
    sent = np.random.default_rng(3).normal(size=top.shape)
    top.backward(torch.tensor(sent))
    of_x, of_regions = gradients(layer, x, REGIONS, sent)
    assert np.abs(of_regions).max() > 0
    np.testing.assert_allclose(tensors[0].grad.numpy(), of_x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(tensors[1].grad.numpy(), of_regions, rtol=1e-9, atol=1e-12)


def test_regions_with_trailing_axes():
    layer, x = RoiWarping(2, 2, 1 / 8), features(2, 3, 8, 12)
    flat, more = run(layer, x, REGIONS), run(layer, x, REGIONS[:, :, None, None])
    np.testing.assert_array_equal(flat[0], more[0])
    tensors = torch.tensor(x), torch.tensor(REGIONS[:, :, None, None].astype(np.float32), requires_grad=True)
    module_of(layer, tuple(t.shape for t in tensors))(*tensors).sum().backward()
    assert tensors[1].grad.shape == (5, 5, 1, 1)


def test_files_shapes_and_errors():
    layer = RoiWarping(28, 14, 0.0625)
    assert round_trip("ROIWarping", pooled_h=28, pooled_w=14, spatial_scale=0.0625) == layer
    assert layer.infer(((1, 8, UNKNOWN, UNKNOWN), (UNKNOWN, 5)), 1) == ((UNKNOWN, 8, 28, 14),)
    with raises("E103", "`pooled_w` is required"):
        RoiWarping(2).infer(((1, 2, 3, 4), (2, 5)), 1)
    with raises("E102", "expected regions of 5 numbers"):
        RoiWarping(2, 2).infer(((1, 2, 3, 4), (2, 4)), 1)
    with raises("E301", "image of a region outside 0 to 0: 1"):
        run(RoiWarping(2, 2), np.zeros((1, 1, 3, 3)), REGIONS)
