"""Interp, compared with a transcription of bilinear interpolation whose corners coincide."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.interp import Interp
from tests.layers.case import Case, Source
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_from, run

SOURCE = Source(places_lost=True)
REQUIRED = {"Interp": "zoom_factor: 2"}
WHOLE = {
    f"interp_param.{name}": {"interp_param": {"zoom_factor": 2, name: value}}
    for name, value in {"pad_beg": -1, "pad_end": -1, "interp_type": "nearest_neighbor"}.items()
}
CASES = [
    Case(Interp(zoom_factor=3, pad_beg=-1), ((1, 2, 5, 4),), ((2, 2, 6, 5),), source=SOURCE),
    Case(Interp(shrink_factor=2), ((1, 2, 6, 8),), ((2, 2, 4, 9),), source=SOURCE),
    Case(Interp(5, 9, interp_type="nearest_neighbor"), ((1, 2, 3, 4),), ((2, 2, 6, 5),), source=SOURCE),
    Case(Interp(), ((1, 2, 3, 4), (1, 3, 5, 6)), ((2, 2, 6, 5), (1, 1, 4, 4)), held=(1,), source=SOURCE),
]


def resized(x, height, width, nearest=False):
    """Each top element at its place between bottom elements."""
    top = np.zeros((*x.shape[:2], height, width))
    rows, columns = np.linspace(0, x.shape[2] - 1, height), np.linspace(0, x.shape[3] - 1, width)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if nearest:
                top[:, :, i, j] = x[:, :, int(row + 0.5), int(column + 0.5)]
                continue
            for h, share in ((int(row), 1 - row % 1), (int(row) + 1, row % 1)):
                for w, part in ((int(column), 1 - column % 1), (int(column) + 1, column % 1)):
                    if share * part:
                        top[:, :, i, j] += share * part * x[:, :, h, w]
    return top


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"zoom_factor": 3}, (13, 19)),
        ({"shrink_factor": 2}, (3, 4)),
        ({"zoom_factor": 2, "shrink_factor": 3}, (3, 5)),
        ({"height": 4, "width": 11}, (4, 11)),
        ({"height": 4, "width": 11, "zoom_factor": 2}, (9, 13)),
        ({"height": 4, "width": 11, "zoom_factor": 2, "shrink_factor": 2}, (4, 11)),
        ({"height": 1, "width": 1}, (1, 1)),
    ],
)
def test_sizes_and_values(fields, size):
    x = values(2, 3, 5, 7).numpy()
    layer = round_trip("Interp", **fields)
    (top,) = run(layer, x)
    assert top.shape[2:] == size
    expected = resized(x, *size)
    if size == (1, 1):
        expected = x[:, :, :1, :1]
    np.testing.assert_allclose(top, expected, rtol=1e-9, atol=1e-12)


def test_crops_before_it_resizes():
    x = values(1, 2, 6, 7).numpy()
    layer = round_trip("Interp", height=5, width=8, pad_beg=-2, pad_end=-1)
    np.testing.assert_allclose(run(layer, x)[0], resized(x[:, :, 2:-1, 2:-1], 5, 8), rtol=1e-9, atol=1e-12)
    same = round_trip("Interp", zoom_factor=1, pad_end=-2)
    assert np.array_equal(run(same, x)[0], x[:, :, :-2, :-2])
    infinite = np.full((1, 1, 2, 2), np.inf)
    assert np.array_equal(run(Interp(2, 2), infinite)[0], infinite)


def test_the_second_bottom_sets_the_size():
    x, like = values(2, 3, 4, 5).numpy(), values(2, 1, 7, 3).numpy()
    np.testing.assert_allclose(run(Interp(), x, like)[0], resized(x, 7, 3), rtol=1e-9, atol=1e-12)


def test_nearest():
    x = values(1, 2, 4, 5).numpy()
    layer = round_trip("Interp", height=6, width=7, interp_type="nearest_neighbor")
    assert np.array_equal(run(layer, x)[0], resized(x, 6, 7, nearest=True))
    assert gradient(layer, x).sum() == 2 * 6 * 7


def test_sizes_and_traces():
    resizes(Interp(zoom_factor=2), (values(1, 2, 3, 4),), (values(2, 2, 5, 3),))
    traces(Interp(7, 5), values(1, 2, 3, 4))
    with torch.device("meta"):
        top = Interp(zoom_factor=8).forward((torch.zeros(2, 3, 5, 6),), (), None)
    assert tuple(top.shape) == (2, 3, 33, 41)


def test_unknown_extents():
    assert repr(Interp(shrink_factor=2).infer(((1, 3, UNKNOWN, 7),), 1)) == "((1, 3, ?, 4),)"
    assert repr(Interp().infer(((1, 3, 5, 7), (1, 3, UNKNOWN, 9)), 1)) == "((1, 3, ?, 9),)"
    assert Interp(zoom_factor=4, pad_beg=-1).coordinate_map(2) == ((4.0, -4.0),) * 2
    assert Interp(7, 7).coordinate_map(2) is None


@pytest.mark.parametrize(
    ("code", "text", "fields"),
    [
        ("E103", "`zoom_factor` is 0: it must be 1 or more", {"zoom_factor": 0}),
        ("E103", "`pad_end` is 1: it must be 0 or less", {"zoom_factor": 1, "pad_end": 1}),
        ("E103", "unknown `interp_type` `cubic`", {"interp_type": "cubic"}),
        ("E103", "`align_corners: false` is not supported", {"align_corners": False}),
    ],
)
def test_invalid_fields(code, text, fields):
    with raises(code, text):
        layer_from("Interp", **fields)


@pytest.mark.parametrize(
    ("code", "text", "layer", "bottoms"),
    [
        ("E101", "the size of the top is missing", Interp(height=3), ((1, 2, 3, 4),)),
        ("E102", "expected 4 axes, got 3", Interp(3, 3), ((2, 3, 4),)),
        ("E102", "crop all of 3 elements", Interp(3, 3, pad_beg=-2, pad_end=-1), ((1, 2, 3, 4),)),
        ("E102", "expected 4 axes of the second bottom, got 2", Interp(), ((1, 2, 3, 4), (3, 4))),
    ],
)
def test_mismatches(code, text, layer, bottoms):
    with raises(code, text):
        layer.infer(bottoms, 1)
