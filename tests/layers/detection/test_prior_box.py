"""PriorBox and PriorBoxClustered, compared with a transcription of their loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import Source
from netc.ir.dims import UNKNOWN
from netc.layers.detection.prior_box import PriorBox, PriorBoxClustered, TextPriorBox
from tests.layers.case import Case
from tests.layers.case import Source as Facts
from tests.layers.contract import raises, resizes, round_trip, values
from tests.layers.harness import module_of, run

PAIR = ((2, 3, 4, 5), (2, 3, 32, 40)), ((1, 2, 3, 2), (1, 3, 30, 24))
CASES = [
    Case(PriorBox(min_size=(9.5,), max_size=(20.0,), aspect_ratio=(2.0,)), *PAIR, source=Facts()),
    Case(PriorBox(min_size=(9.5,), img_size=40), *(pair[:1] for pair in PAIR), source=Facts()),
    Case(TextPriorBox(min_size=(9.5,), aspect_ratio=(7.0,), flip=False), *PAIR, source=Facts()),
    Case(PriorBox(fixed_size=(9.5, 4.0), density=(2.0, 1.0), aspect_ratio=(2.0,)), *PAIR, source=Facts()),
    Case(PriorBoxClustered(width=(9.4, 3.0), height=(5.0, 7.5), clip=True), *PAIR, source=Facts()),
]
REQUIRED = {"PriorBox": "min_size: 9", "PriorBoxClustered": "width: 9 height: 5"}
IMAGE, STEP = {"img_h": 40, "img_w": 50}, {"step_h": 4.0, "step_w": 5.0}
WHOLE = {
    **{f"PriorBox prior_box_param.{name}": {"prior_box_param": {"min_size": [9.0], **IMAGE}} for name in IMAGE},
    **{f"PriorBox prior_box_param.{name}": {"prior_box_param": {"min_size": [9.0], **STEP}} for name in STEP},
    **{
        f"PriorBox prior_box_param.{name}": {
            "prior_box_param": {"min_size": [9.0], "fixed_size": [8.0], "density": [2.0], "fixed_ratio": [2.0]}
        }
        for name in ("fixed_size", "fixed_ratio", "density")
    },
    "PriorBox prior_box_param.max_size": {"prior_box_param": {"min_size": [9.0], "max_size": [20.0]}},
    **{
        f"PriorBoxClustered prior_box_param.{name}": {"prior_box_param": {"width": [9.0], "height": [5.0], **pair}}
        for pair in (IMAGE, STEP)
        for name in pair
    },
}
single = np.float32


def expected(layer, size, image, sizes):
    """The boxes of a cell in the order of the file, cell by cell."""
    (height, width), (image_h, image_w) = size, image
    step_w, step_h = single(image_w / width), single(image_h / height)
    if layer.step is not None:
        step_w = step_h = single(layer.step)
    if layer.step_h is not None:
        step_w, step_h = single(layer.step_w), single(layer.step_h)
    rows = []
    for h in range(height):
        for w in range(width):
            x, y = single((w + layer.offset) * step_w), single((h + layer.offset) * step_h)
            for box_w, box_h in sizes:
                half_w, half_h = single(box_w) / 2.0, single(box_h) / 2.0
                rows += [(x - half_w) / image_w, (y - half_h) / image_h, (x + half_w) / image_w, (y + half_h) / image_h]
    return np.clip(rows, 0, 1) if layer.clip else np.array(rows)


@pytest.mark.parametrize(
    ("layer", "sizes"),
    [
        (PriorBox(min_size=(30.0,)), [(30, 30)]),
        (PriorBox(min_size=(35.84,), max_size=(76.8,)), [(35, 35), (math.sqrt(35 * 76),) * 2]),
        (
            PriorBox(min_size=(10.0, 20.0), aspect_ratio=(1.0, 2.0, 0.5, 2.0)),
            [(s * r, s / r) for s in (10, 20) for r in (1, math.sqrt(2), math.sqrt(0.5))],
        ),
        (PriorBox(min_size=(8.0,), aspect_ratio=(4.0,), flip=False, clip=True), [(8, 8), (16, 4)]),
        (PriorBox(min_size=(8.0,), step=7.0, offset=0.25), [(8, 8)]),
        (PriorBox(min_size=(8.0,), step_h=7.0, step_w=3.5), [(8, 8)]),
        (PriorBoxClustered(width=(9.4, 3.0), height=(5.0, 7.5)), [(9.4, 5.0), (3.0, 7.5)]),
    ],
)
def test_boxes_and_variances(layer, sizes):
    (found,) = run(layer, np.zeros((2, 3, 4, 5), np.float32), np.zeros((2, 3, 32, 45), np.float32))
    np.testing.assert_allclose(found[0, 0], expected(layer, (4, 5), (32, 45), sizes), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(found[0, 1], np.full(found.shape[2], 0.1, np.float32))


def test_variances_and_the_size_of_the_image_in_the_file():
    layer = PriorBox(min_size=(9.0,), variance=(0.1, 0.2, 0.3, 0.4), img_h=20, img_w=30)
    (found,) = run(layer, np.zeros((1, 1, 2, 3), np.float32))
    np.testing.assert_allclose(found[0, 0], expected(layer, (2, 3), (20, 30), [(9, 9)]), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[0, 1], [0.1, 0.2, 0.3, 0.4] * 6, rtol=1e-6)


def test_boxes_of_text_are_repeated_half_a_cell_below():
    layer = TextPriorBox(min_size=(9.0,), max_size=(20.0,), aspect_ratio=(7.0,), flip=False, clip=False)
    (found,) = run(layer, np.zeros((1, 3, 4, 5), np.float32), np.zeros((1, 3, 32, 45), np.float32))
    root = math.sqrt(7)
    once = expected(layer, (4, 5), (32, 45), [(9, 9), (math.sqrt(180),) * 2, (9 * root, 9 / root)]).reshape(-1, 4)
    below = once + np.array([0, 4 / 32, 0, 4 / 32])
    np.testing.assert_allclose(found[0, 0], np.stack((once, below), 1).ravel(), rtol=1e-6, atol=1e-7)
    text = 'layer { name: "a" type: "Input" top: "a" input_param { shape { dim: [1, 2, 3, 3] } } }'
    text += 'layer { name: "p" type: "PriorBox" bottom: "a" bottom: "a" top: "p" prior_box_param { min_size: 2 %s } }'
    for fields, kind in (("flip: false aspect_ratio: 10", TextPriorBox), ("flip: false aspect_ratio: 2", PriorBox)):
        net = netc.load(Source("net", text % fields))
        assert type(net.graph.nodes[-1].layer) is kind
        assert net.graph.nodes[-1].layer.clip == (kind is TextPriorBox)


def test_the_numbers_of_bottoms_do_not_matter():
    layer = PriorBox(min_size=(9.0,), img_size=40)
    x = values(1, 2, 3, 3)
    np.testing.assert_array_equal(run(layer, x, values(1, 3, 9, 9))[0], run(layer, -x)[0])


def test_unknown_extents():
    layer = PriorBox(min_size=(9.0,))
    assert layer.infer(((UNKNOWN, 3, 4, 5), (UNKNOWN, 3, UNKNOWN, 7)), 1) == ((1, 2, 80),)
    assert layer.infer(((2, 3, UNKNOWN, 5), (2, 3, 8, 7)), 1) == ((1, 2, UNKNOWN),)


def test_on_a_device_without_data():
    module = module_of(PriorBox(min_size=(9.0,)), ((1, 2, 3, 4), (1, 3, 24, 32)))
    top = module(torch.empty(1, 2, 3, 4, device="meta"), torch.empty(1, 3, 24, 32, device="meta"))
    assert top.shape == (1, 2, 48)
    assert top.device.type == "meta"


def test_file_and_sizes():
    round_trip("PriorBox", min_size=[9, 20], max_size=[20, 31], aspect_ratio=[2], flip=False, variance=[0.1], step=8)
    round_trip("PriorBoxClustered", width=[9.5, 3], height=[4, 5], img_h=30, img_w=40, offset=0.25)
    shapes = ((2, 3, 4, 5), (1, 3, 32, 40)), ((1, 2, 3, 2), (1, 3, 30, 24))
    resizes(PriorBox(min_size=(9.0,)), *(tuple(values(*shape) for shape in pair) for pair in shapes))


@pytest.mark.parametrize(
    ("code", "text", "parameters"),
    [
        ("E101", "`min_size` is missing", {}),
        ("E101", "2 values of `max_size`, but 1 of `min_size`", {"min_size": (9.0,), "max_size": (12.0, 15.0)}),
        ("E103", "`max_size` must be greater", {"min_size": (9.0,), "max_size": (9.0,)}),
        ("E103", "`min_size` must be positive", {"min_size": (0.0,)}),
        ("E103", "`aspect_ratio` must be positive", {"min_size": (9.0,), "aspect_ratio": (-2.0,)}),
        ("E101", "`variance` has 3 values", {"min_size": (9.0,), "variance": (0.1, 0.1, 0.1)}),
        ("E103", "`variance` must be positive", {"min_size": (9.0,), "variance": (0.0,)}),
        ("E101", "`img_size` and `img_h` are both set", {"min_size": (9.0,), "img_size": 8, "img_h": 9, "img_w": 9}),
        ("E101", "`step_h` is set, but `step_w` is not", {"min_size": (9.0,), "step_h": 8.0}),
        ("E103", "`step` is 0: it must be positive", {"min_size": (9.0,), "step": 0.0}),
    ],
)
def test_errors(code, text, parameters):
    with raises(code, text):
        PriorBox(**parameters)


def test_errors_of_shapes():
    with raises("E101", "the image's size is missing"):
        PriorBox(min_size=(9.0,)).infer(((1, 2, 3, 4),), 1)
    with raises("E102", "2 to 4 axes"):
        PriorBox(min_size=(9.0,), img_size=9).infer(((1, 2, 3, 4, 5),), 1)
    with raises("E101", "1 value of `height`, but 2 of `width`"):
        PriorBoxClustered(width=(1.0, 2.0), height=(1.0,))
    with raises("E101", "`width` is missing"):
        PriorBoxClustered()


def densified(layer: PriorBox, size, image) -> np.ndarray:
    """The densified boxes of each cell by the original's loops, (cells, boxes, 4)."""
    (height, width), (image_h, image_w) = size, image
    ratios = [1.0]
    for ratio in layer.aspect_ratio:
        ratios += [ratio, 1 / ratio] if layer.flip else [ratio]
    cells = []
    for h in range(height):
        for w in range(width):
            x, y = (w + layer.offset) * image_w / width, (h + layer.offset) * image_h / height
            rows = []
            for fixed, density in zip(layer.fixed_size, map(int, layer.density)):
                whole, shift = int(fixed), int(fixed / density)
                for ratio in layer.fixed_ratio or ratios:
                    side = whole if ratio == 1 and not layer.fixed_ratio else fixed
                    half_w, half_h = side * 0.5 * math.sqrt(ratio), side * 0.5 / math.sqrt(ratio)
                    for r in range(density):
                        for c in range(density):
                            at_x = x - whole // 2 + shift / 2 + c * shift
                            at_y = y - whole // 2 + shift / 2 + r * shift
                            low = max((at_x - half_w) / image_w, 0), max((at_y - half_h) / image_h, 0)
                            rows.append([*low, min((at_x + half_w) / image_w, 1), min((at_y + half_h) / image_h, 1)])
            cells.append(rows)
    return np.array(cells)


@pytest.mark.parametrize(
    "layer",
    [
        PriorBox(fixed_size=(33.5, 64.0), density=(4.0, 2.0)),
        PriorBox(fixed_size=(33.5, 17.0), density=(3.0, 1.0), fixed_ratio=(1.0, 2.0)),
        PriorBox(fixed_size=(21.0,), density=(2.0,), aspect_ratio=(2.0, 3.0)),
    ],
    ids=["squares", "fixed ratios", "aspect ratios"],
)
@pytest.mark.parametrize("min_size", [(), (9.5, 20.0)])
def test_densified_boxes(layer, min_size):
    own = replace(layer, min_size=min_size)
    bottoms = np.zeros((1, 3, 3, 4)), np.zeros((1, 3, 60, 96))
    (found,) = run(own, *bottoms)
    boxes = found[0, 0].reshape(12, -1, 4)
    wanted = densified(layer, (3, 4), (60, 96))
    np.testing.assert_allclose(boxes[:, : wanted.shape[1]], wanted, rtol=1e-6, atol=1e-7)
    assert (wanted == 0).any()
    if min_size:
        (plain,) = run(replace(own, fixed_size=(), density=(), fixed_ratio=()), *bottoms)
        np.testing.assert_array_equal(boxes[:, wanted.shape[1] :], plain[0, 0].reshape(12, -1, 4))
    else:
        assert boxes.shape == wanted.shape
    assert found.shape == own.infer(((1, 3, 3, 4), (1, 3, 60, 96)), 1)[0]


def test_densified_boxes_of_a_file():
    given = {"fixed_size": [32.0], "density": [4.0], "fixed_ratio": [1.0]}
    assert round_trip("PriorBox", **given) == PriorBox(fixed_size=(32.0,), density=(4.0,), fixed_ratio=(1.0,))
    with raises("E101", "1 value of `density`, but 2 of `fixed_size`"):
        PriorBox(fixed_size=(32.0, 64.0), density=(4.0,))
    with raises("E101", "`fixed_ratio` is set, but `fixed_size` is not"):
        PriorBox(min_size=(32.0,), fixed_ratio=(4.0,))
    with raises("E103", "`density` must be at least 1"):
        PriorBox(fixed_size=(32.0,), density=(0.5,))
