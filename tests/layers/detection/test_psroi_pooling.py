"""PSROIPooling, compared with its arithmetic in loops (`psroi_pooling_layer.cu`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers.detection.psroi_pooling import PsRoiPooling
from tests.exporters.test_layers import net
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.detection.regions import REGIONS, exports_to, features, tops_and_gradient
from tests.layers.detection.test_roi_pooling import away

CASES = [
    Case(
        PsRoiPooling(2.0, 2, 2),
        ((2, 8, 4, 5), (4, 5)),
        ((3, 8, 5, 3), (2, 5)),
        integers=(1,),
        below=2,
        source=Source(places_lost=True),
    )
]


def bins(layer: PsRoiPooling, x: np.ndarray, regions: np.ndarray):
    """The elements of each bin: index of the top to (image, channel, rows, columns)."""
    g, scale = layer.group_size, layer.spatial_scale
    for at in np.ndindex(len(regions), layer.output_dim, g, g):
        r, d, i, j = at
        n, *corners = regions[r]
        columns, rows = (
            span(away(corners[k]) * scale, (away(corners[k + 2]) + 1) * scale, index, g, x.shape[3 - k])
            for k, index in ((0, j), (1, i))
        )
        yield at, (int(n), (d * g + i) * g + j, rows, columns)


def span(start: float, end: float, index: int, bins: int, extent: int) -> slice:
    size = max(end - start, 0.1) / bins
    low, high = math.floor(index * size + start), math.ceil((index + 1) * size + start)
    low, high = min(max(low, 0), extent), min(max(high, 0), extent)
    return slice(low, max(low, high))


@pytest.mark.parametrize("layer", [PsRoiPooling(0.125, 2, 3), PsRoiPooling(0.125, 3, 7)], ids=str)
def test_tops_and_gradient(layer):
    x = values(2, layer.output_dim * layer.group_size**2, 8, 12).numpy()
    top, sent, gradient = tops_and_gradient(layer, x, REGIONS)
    wanted = np.zeros_like(x)
    for at, place in bins(layer, x, REGIONS):
        elements = x[place]
        expected = elements.mean() if elements.size else 0
        assert top[at] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        if elements.size:
            wanted[place] += sent[at] / elements.size
    np.testing.assert_allclose(gradient, wanted, rtol=1e-9, atol=1e-12)


def test_float32_is_summed_in_float64():
    layer, x = PsRoiPooling(1.0, 1, 1), torch.full((1, 1, 200, 300), 16777.217)
    top = layer.forward((x, torch.tensor([[0.0, 0, 0, 299, 199], [0, 298, 199, 299, 199]])), (), Mode(False, 1))
    assert top.dtype == torch.float32
    assert (top == x[0, 0, 0, 0]).all()


def test_files_and_shapes():
    assert round_trip("PSROIPooling", spatial_scale=0.0625, output_dim=21, group_size=7) == PsRoiPooling(0.0625, 21, 7)
    layer = PsRoiPooling(0.0625, 21, 7)
    assert layer.infer(((1, 1029, UNKNOWN, UNKNOWN), (UNKNOWN, 5)), 1) == ((UNKNOWN, 21, 7, 7),)
    with raises("E102", "expected 1029 channels, `output_dim` 21 times `group_size` 7 squared, got 1000"):
        layer.infer(((1, 1000, 8, 8), (1, 5)), 1)
    for missing in (PsRoiPooling(), PsRoiPooling(1.0, 2), PsRoiPooling(1.0, 0, 3)):
        with raises("E103", "is required and must be positive"):
            missing.infer(((1, 18, 8, 8), (1, 5)), 1)


def test_regions_that_are_not_finite():
    regions = torch.tensor([[0, math.nan, math.nan, math.nan, math.nan], [0, -math.inf, -math.inf, math.inf, math.inf]])
    top = PsRoiPooling(1.0, 1, 1).forward((torch.ones(1, 1, 4, 4), regions), (), Mode(False, 1))
    assert torch.isfinite(top).all()
    assert top[0].item() == 0


def test_shapes_are_static():
    features, regions = torch.empty(1, 18, 38, 63, device="meta"), torch.empty(300, 5, device="meta")
    assert PsRoiPooling(1 / 16, 2, 3).forward((features, regions), (), Mode(True, 1)).shape == (300, 2, 3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "python"])
def test_exports(tmp_path, form):
    text = "psroi_pooling_param { output_dim: 2 group_size: 3 spatial_scale: 0.125 }"
    feeds = [{"a": features(n, 18, 8, 12), "b": REGIONS[:r].astype(np.float32)} for n, r in ((2, 5), (3, 4))]
    exports_to(form, tmp_path, net((2, 18, 8, 12), (5, 5), type="PSROIPooling", text=text), feeds)
