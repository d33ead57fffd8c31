"""ROIPooling, compared with its arithmetic in loops (`roi_pooling_layer.cpp`, `.cu`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.detection.roi_pooling import RoiPooling
from tests.exporters.test_layers import net
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.detection.regions import REGIONS, exports_to, features, tops_and_gradient
from tests.layers.harness import layer_from, module_of, run

CASES = [
    Case(
        RoiPooling(2, 3, 0.5),
        ((2, 3, 6, 5), (4, 5)),
        ((3, 2, 4, 7), (2, 5)),
        integers=(1,),
        below=2,
        source=Source(places_lost=True, rounded=(1,)),
    )
]


def away(x: float) -> int:
    return math.floor(abs(x) + 0.5) * (1 if x > 0 else -1)


def pooled(layer: RoiPooling, x: np.ndarray, regions: np.ndarray):
    """The top, and for each element the place (n, c, h, w) of its maximum, None if it has none."""
    top = np.zeros((len(regions), x.shape[1], layer.pooled_h, layer.pooled_w))
    places = {}
    for at in np.ndindex(top.shape):
        r, c, i, j = at
        n, x1, y1, x2, y2 = regions[r]
        pad_w, pad_h = (x2 - x1 + 1) * layer.pad_ratio, (y2 - y1 + 1) * layer.pad_ratio
        rows = interval(y1 - pad_h, y2 + pad_h, i, layer.pooled_h, layer.spatial_scale)
        columns = interval(x1 - pad_w, x2 + pad_w, j, layer.pooled_w, layer.spatial_scale)
        rows = [h for h in rows if 0 <= h < x.shape[2]]
        columns = [w % x.shape[3] for w in columns] if layer.ringpad else [w for w in columns if 0 <= w < x.shape[3]]
        bin_places = [(int(n), c, h, w) for h in rows for w in columns]
        if bin_places:
            places[at] = max(bin_places, key=lambda place: x[place])  # the first of equal ones
            top[at] = x[places[at]]
    return top, places


def interval(low: float, high: float, index: int, bins: int, scale: float) -> range:
    start, end = away(low * scale), away(high * scale)
    size = max(end - start + 1, 1) / bins
    return range(math.floor(index * size) + start, math.ceil((index + 1) * size) + start)


@pytest.mark.parametrize(
    "layer",
    [
        RoiPooling(3, 2, 0.125),
        RoiPooling(7, 7, 0.125),
        RoiPooling(1, 1, 0.125),
        RoiPooling(2, 3, 0.125, 0.3),
        RoiPooling(3, 4, 0.125, 0.0, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("ties", [False, True])
def test_tops_and_gradient(layer, ties):
    x = values(2, 3, 8, 12).numpy()
    x = np.maximum(np.round(x), 0) if ties else x
    expected, places = pooled(layer, x, REGIONS)
    top, sent, gradient = tops_and_gradient(layer, x, REGIONS)
    np.testing.assert_array_equal(top, expected)
    wanted = np.zeros_like(x)
    for at, place in places.items():
        wanted[place] += sent[at]
    np.testing.assert_allclose(gradient, wanted, rtol=1e-12, atol=1e-12)


def test_in_float32_without_gradient():
    x, layer = values(2, 3, 8, 12).float(), RoiPooling(3, 2, 0.125)
    (top,) = run(layer, x.numpy(), REGIONS.astype(np.float32))
    np.testing.assert_array_equal(top, pooled(layer, x.numpy(), REGIONS)[0])


def test_files_and_shapes():
    assert round_trip("ROIPooling", pooled_h=7, pooled_w=6, spatial_scale=0.0625) == RoiPooling(7, 6, 0.0625)
    assert layer_from("ROIPooling", pooled_size=[5]) == RoiPooling(5, 5)
    assert RoiPooling(7, 6).infer(((1, 4, UNKNOWN, UNKNOWN), (UNKNOWN, 5, 1, 1)), 1) == ((UNKNOWN, 4, 7, 6),)
    with raises("E103", "`pooled_size` has 3 values"):
        layer_from("ROIPooling", pooled_size=[2, 3, 4])
    with raises("E103", "`pooled_w` is required and must be positive"):
        RoiPooling(7).infer(((1, 4, 8, 8), (2, 5)), 1)
    with raises("E102", "expected regions of 5 numbers"):
        RoiPooling(7, 7).infer(((1, 4, 8, 8), (2, 4)), 1)
    with raises("E102", "expected features of 4 axes"):
        RoiPooling(7, 7).infer(((4, 8, 8), (2, 5)), 1)


def test_a_region_of_a_missing_image_is_an_error():
    module = module_of(RoiPooling(2, 2), ((2, 1, 4, 4), (1, 5)))
    for image in (2, -1, math.nan):
        with raises("E301", "image of a region outside 0 to 1"):
            module(torch.rand(2, 1, 4, 4), torch.tensor([[image, 0, 0, 3, 3]]))


def test_no_regions():
    top, _, gradient = tops_and_gradient(RoiPooling(2, 3), values(1, 2, 4, 5), np.zeros((0, 5)))
    assert top.shape == (0, 2, 2, 3)
    assert not gradient.any()


def test_nan_is_never_the_maximum():
    x = torch.tensor([[[[1.0, math.nan], [0.5, 2.0]]]])
    module = module_of(RoiPooling(1, 1), ((1, 1, 2, 2), (1, 5)))
    assert module(x, torch.tensor([[0.0, 0, 0, 1, 1]])).item() == 2


def test_tables_of_some_channels_at_a_time(monkeypatch):
    regions = np.array([[0, 0, 0, 6, 5], [1, 2, 1, 4, 4]])
    x = values(2, 5, 6, 7)
    wanted, _, wanted_gradient = tops_and_gradient(RoiPooling(2, 3), x, regions)
    monkeypatch.setattr("netc.functions.region_maximum.TABLE_BYTES", 2 * 6 * 7 * 9 * 8 * 2)
    top, _, gradient = tops_and_gradient(RoiPooling(2, 3), x, regions)
    np.testing.assert_array_equal(top, wanted)
    np.testing.assert_array_equal(gradient, wanted_gradient)


@pytest.mark.parametrize("ringpad", [False, True])
def test_regions_that_are_not_finite(ringpad):
    x = values(1, 1, 4, 4)
    regions = torch.tensor([[0, math.nan, math.nan, math.nan, math.nan], [0, -math.inf, 0, math.inf, 3]])
    top = RoiPooling(1, 1, ringpad=ringpad).forward((x, regions.to(x.dtype)), (), mode())
    assert torch.isfinite(top).all()
    assert top[0].item() == 0


def test_shapes_are_static():
    tops = RoiPooling(7, 7, 1 / 16).forward(
        (torch.empty(1, 8, 6, 5, device="meta"), torch.empty(300, 5, device="meta")), (), mode()
    )
    assert tops.shape == (300, 8, 7, 7)


def mode():
    from netc.ir.layer import Mode

    return Mode(training=True, tops=1)


@pytest.mark.parametrize("form", ["onnx", pytest.param("python", marks=pytest.mark.slow)])
def test_exports(tmp_path, form):
    text = "roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.125 }"
    feeds = [{"a": features(n, 3, 8, 12), "b": REGIONS[:r].astype(np.float32)} for n, r in ((2, 5), (3, 4))]
    exports_to(form, tmp_path, net((2, 3, 8, 12), (5, 5), type="ROIPooling", text=text), feeds)


def test_regions_of_four_axes_export(tmp_path):
    feed = {"a": features(2, 3, 8, 12), "b": REGIONS.astype(np.float32)[:, :, None, None]}
    text = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.125 }"
    exports_to("onnx", tmp_path, net((2, 3, 8, 12), (5, 5, 1, 1), type="ROIPooling", text=text), [feed])


@pytest.mark.slow
def test_a_ring_exports_by_the_general_path(tmp_path):
    feed = {"a": features(2, 3, 3, 4), "b": (REGIONS / 2).astype(np.float32)}
    text = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.125 ringpad: 1 pad_ratio: 0.2 }"
    exports_to("onnx", tmp_path, net((2, 3, 3, 4), (5, 5), type="ROIPooling", text=text), [feed])
