"""DeformablePSROIPooling, compared with its kernel in loops (`deformable_psroi_pooling_layer.cu`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.detection.deformable_psroi_pooling import DeformablePsRoiPooling
from tests.exporters.test_layers import net
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, traces, values
from tests.layers.detection.regions import REGIONS, exports_to, features
from tests.layers.detection.test_roi_pooling import away
from tests.layers.harness import module_of, run

PLAIN = DeformablePsRoiPooling(1.5, 2, 2, sample_per_part=2, no_trans=True)
CASES = [
    Case(
        DeformablePsRoiPooling(1.5, 2, 2, 3, 2, 0.1),
        ((2, 8, 4, 5), (4, 5), (4, 4, 3, 3)),
        ((3, 8, 5, 3), (2, 5), (2, 2, 3, 3)),
        integers=(1,),
        below=2,
        source=Source(places_lost=True),
    ),
    Case(PLAIN, ((2, 8, 4, 5), (4, 5)), ((3, 8, 5, 3), (2, 5)), integers=(1,), source=Source(places_lost=True)),
]


def pooled(layer: DeformablePsRoiPooling, x: np.ndarray, regions: np.ndarray, offsets: np.ndarray | None, sent=None):
    """The top, and the gradients of features and offsets."""
    g, s, part = layer.group_size, layer.sample_per_part, layer.part_size
    height, width = x.shape[2:]
    classes = 1 if offsets is None else offsets.shape[1] // 2
    top = np.zeros((len(regions), layer.output_dim, g, g))
    of_x, of_offsets = np.zeros_like(x), None if offsets is None else np.zeros_like(offsets)
    for n, d, i, j in np.ndindex(*top.shape):
        image, corners = int(regions[n][0]), [away(corner) for corner in regions[n][1:]]
        left, above = (corner * layer.spatial_scale - 0.5 for corner in corners[:2])
        right, below = ((corner + 1) * layer.spatial_scale - 0.5 for corner in corners[2:])
        wide, high = max(right - left, 0.1), max(below - above, 0.1)
        channel, one = (d * g + i) * g + j, d // (layer.output_dim // classes)
        down, across = math.floor(i / g * part + 1e-9), math.floor(j / g * part + 1e-9)
        move = np.zeros(2) if offsets is None else offsets[n, 2 * one : 2 * one + 2, down, across] * layer.trans_std
        found = []
        for a, b in np.ndindex(s, s):
            w = j * wide / g + left + move[0] * wide + b * wide / g / s
            h = i * high / g + above + move[1] * high + a * high / g / s
            if -0.5 <= w <= width - 0.5 and -0.5 <= h <= height - 0.5:
                found.append((min(max(h, 0), height - 1), min(max(w, 0), width - 1)))
        for h, w in found:
            y0, y1, x0, x1 = math.floor(h), math.ceil(h), math.floor(w), math.ceil(w)
            dy, dx, plane = h - y0, w - x0, x[image, channel]
            parts = {(y0, x0): (1 - dy) * (1 - dx)}
            for at, weight in (((y0, x1), (1 - dy) * dx), ((y1, x0), dy * (1 - dx)), ((y1, x1), dy * dx)):
                parts[at] = parts.get(at, 0) + weight
            top[n, d, i, j] += sum(plane[at] * weight for at, weight in parts.items()) / len(found)
            if sent is None:
                continue
            slope = sent[n, d, i, j] / len(found)
            for at, weight in parts.items():
                of_x[image, channel][at] += slope * weight
            if of_offsets is not None:
                u00, u01, u10, u11 = plane[y0, x0], plane[y1, x0], plane[y0, x1], plane[y1, x1]
                along_x = u11 * dy + u10 * (1 - dy) - u01 * dy - u00 * (1 - dy)
                along_y = u11 * dx + u01 * (1 - dx) - u10 * dx - u00 * (1 - dx)
                of_offsets[n, 2 * one, down, across] += along_x * layer.trans_std * slope * wide
                of_offsets[n, 2 * one + 1, down, across] += along_y * layer.trans_std * slope * high
    return top, of_x, of_offsets


@pytest.mark.parametrize(
    ("layer", "classes"),
    [
        (DeformablePsRoiPooling(0.125, 2, 3, sample_per_part=4, no_trans=True), None),
        (DeformablePsRoiPooling(0.125, 4, 3, 3, 2, 0.3), 2),
        (DeformablePsRoiPooling(0.125, 2, 4, 3, 3, 0.5), 1),
        (DeformablePsRoiPooling(0.125, 1, 7, 7, 4, 0.1), 1),
    ],
    ids=str,
)
def test_tops_and_gradients(layer, classes):
    x = values(2, layer.output_dim * layer.group_size**2, 8, 12).numpy()
    bottoms = [torch.tensor(x, requires_grad=True), torch.tensor(np.asarray(REGIONS, np.float64))]
    offsets = None
    if classes:
        offsets = values(len(REGIONS), 2 * classes, layer.part_size, layer.part_size, seed=4).numpy()
        bottoms.append(torch.tensor(offsets, requires_grad=True))
    top = module_of(layer, tuple(tuple(bottom.shape) for bottom in bottoms)).double()(*bottoms)
    sent = values(*top.shape, seed=6)
    top.backward(sent)
    expected, of_x, of_offsets = pooled(layer, x, REGIONS, offsets, sent.numpy())
    assert np.count_nonzero(expected) > expected.size / 4
    np.testing.assert_allclose(top.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(bottoms[0].grad.numpy(), of_x, rtol=1e-9, atol=1e-12)
    if classes:
        np.testing.assert_allclose(bottoms[2].grad.numpy(), of_offsets, rtol=1e-9, atol=1e-12)


def test_a_third_bottom_without_offsets_is_not_read():
    x, offsets = values(2, 8, 4, 5).numpy(), np.full((1, 4, 3, 3), np.nan)
    regions = np.array([[1, 0, 0, 2, 2.0]])
    np.testing.assert_array_equal(run(PLAIN, x, regions, offsets)[0], run(PLAIN, x, regions)[0])
    assert PLAIN.no_gradient == (1, 2)


def test_files_and_shapes():
    given = {"spatial_scale": 0.0625, "output_dim": 8, "group_size": 7, "part_size": 5, "sample_per_part": 4}
    layer = round_trip("DeformablePSROIPooling", **given, trans_std=0.5)
    assert layer == DeformablePsRoiPooling(0.0625, 8, 7, 5, 4, 0.5)
    assert round_trip("DeformablePSROIPooling", no_trans=True).no_trans
    bottoms = ((1, 392, UNKNOWN, 9), (UNKNOWN, 5), (UNKNOWN, 4, 5, 5))
    assert layer.infer(bottoms, 1) == ((UNKNOWN, 8, 7, 7),)
    assert layer.cost(bottoms, ((2, 8, 7, 7),)) == Cost(operations=8 * 2 * 8 * 49 * 16)
    with raises("E102", "expected 392 channels, `output_dim` 8 times `group_size` 7 squared, got 390"):
        layer.infer(((1, 390, 8, 8), *bottoms[1:]), 1)
    with pytest.raises(NetcError, match="third bottom with offsets"):
        layer.infer(bottoms[:2], 1)
    with raises("E102", r"expected offsets .regions, 2 classes, 5, 5., got \[3,4,5,7\]"):
        layer.infer((bottoms[0], (3, 5), (3, 4, 5, 7)), 1)
    with raises(
        "E102", "6 channels of offsets are not two for each of a number of classes that divides `output_dim` 8"
    ):
        layer.infer((bottoms[0], (3, 5), (3, 6, 5, 5)), 1)
    for missing in ("spatial_scale", "output_dim", "group_size", "part_size", "sample_per_part", "trans_std"):
        left = {name: value for name, value in {**given, "trans_std": 0.5}.items() if name != missing}
        with raises("E103", f"`{missing}` is required and must be positive"):
            round_trip("DeformablePSROIPooling", **left).infer(bottoms, 1)


def test_traces():
    traces(PLAIN, values(2, 8, 4, 5), torch.tensor([[1, 0, 0, 2, 2.0]], dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "python"])
def test_exports(form, tmp_path):
    text = """deformable_psroi_pooling_param { spatial_scale: 0.125 output_dim: 2 group_size: 3 part_size: 2
      sample_per_part: 2 trans_std: 0.2 }"""
    definition = net((2, 18, 8, 12), (5, 5), (5, 2, 2, 2), type="DeformablePSROIPooling", text=text)
    feeds = [{"a": features(2, 18, 8, 12), "b": REGIONS.astype(np.float32), "c": features(5, 2, 2, 2)}]
    exports_to(form, tmp_path, definition, feeds)
