"""GenerateAugmentationParameters: modes, sizes, the schedule, and transformations that fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow._coefficients import RandomNumber
from netc.layers.optical_flow.augmentation_parameters import GenerateAugmentationParameters
from tests.layers.case import Case, Source
from tests.layers.contract import raises
from tests.layers.harness import layer_of, module_of, run
from tests.layers.optical_flow.augmentations import ONES, ORDER, array, items_of, matrix

CASES = [
    Case(
        GenerateAugmentationParameters(brightness=RandomNumber(spread=0.5)),
        ((2, 42, 1, 1), (2, 3, 5, 6), (2, 3, 4, 4)),
        ((3, 42, 1, 1), (3, 2, 7, 6), (3, 2, 5, 4)),
        source=Source(places_lost=True, own_gradient="none: the layer has no backward pass"),
    ),
]
SHAPES = ((3, 42, 1, 1), (3, 3, 20, 24), (3, 3, 4, 5))
GIVEN = array({"zoom_x": 2.0, "zoom_y": 1.5, "gamma": 1.25, "dx": 0.1, "noise": 0.5}, {"mirror": 1.0}, {})


def layer_with(schedule=None, **parameters):
    return layer_of(
        "GenerateAugmentationParameters",
        {"augmentation_param": parameters, "coeff_schedule_param": schedule or {}},
    )


def generated(layer, *bottoms, training=True):
    torch.manual_seed(3)
    return items_of(run(layer, *bottoms, training=training)[0].astype(np.float64), tidy=False)


NUMBERS = {
    "translate_x": {"mean": 0.2},
    "zoom": {"mean": 2.0},
    "gamma": {"mean": 2.0},
    "brightness": {"mean": 0.3},
    "sat_mult": {"mean": 3.0},
    "noise": {"mean": 0.25},
}
DRAWN = {"dx": 0.2, "zoom_x": 2.0, "zoom_y": 2.0, "gamma": 2.0, "brightness": 0.3, "noise": 0.25}
DRAWN |= {"mult_withmean1": 3.0, "mult_withmean2": 3.0}


def expected(mode):
    """What FlowNet2 computes of GIVEN and numbers without spread."""
    found = []
    for before in items_of(GIVEN, tidy=False):
        item = {name: float(name in ONES) for name in ORDER} if mode == "regenerate" else dict(before)
        if mode == "replace":
            item |= {name: float(name in ONES) for name in ORDER[:6]}
        for name, value in DRAWN.items():
            is_added = mode == "add" or name in ORDER[:6]
            item[name] = value if not is_added else item[name] * value if name in ONES else item[name] + value
        found.append(item)
    return found


@pytest.mark.parametrize("mode", ["add", "replace", "regenerate"])
def test_modes(mode):
    bottoms = (GIVEN, np.zeros(SHAPES[1]), np.zeros(SHAPES[2]))
    found = generated(layer_with(mode=mode, **NUMBERS), *bottoms)
    for item, right in zip(found, expected(mode)):
        for name in ORDER:
            assert item[name] == pytest.approx(right[name], abs=1e-9), name


@pytest.mark.parametrize("mode", ["add", "replace", "regenerate"])
def test_outside_training_the_coefficients_are_passed_on(mode):
    bottoms = (GIVEN, np.zeros(SHAPES[1]), np.zeros(SHAPES[2]))
    (top,) = run(layer_with(mode=mode, **NUMBERS), *bottoms)
    np.testing.assert_array_equal(top, 0 * GIVEN if mode == "regenerate" else GIVEN)
    assert generated(layer_with(mode=mode, augment_during_test=True, **NUMBERS), *bottoms, training=False)[1]["dx"]


def test_an_image_as_the_only_bottom():
    layer = layer_with(crop_width=5, crop_height=4, **NUMBERS)
    found = generated(layer, np.zeros((2, 3, 20, 24)))
    for item in found:
        for name in ORDER:
            assert item[name] == pytest.approx(DRAWN.get(name, float(name in ONES)), abs=1e-9), name


def test_coefficients_as_the_only_bottom():
    layer = layer_with(crop_width=5, crop_height=4, bottomwidth=24, bottomheight=20, **NUMBERS)
    three = generated(layer_with(**NUMBERS), GIVEN, np.zeros(SHAPES[1]), np.zeros(SHAPES[2]))
    assert generated(layer, GIVEN) == three


def test_a_transformation_that_never_fits_is_left_out():
    bottoms = (GIVEN, np.zeros(SHAPES[1]), np.zeros(SHAPES[2]))
    for mode in ("add", "replace", "regenerate"):
        found = generated(layer_with(mode=mode, translate={"mean": 9.0}, rotate={"spread": 1.0}), *bottoms)
        before = items_of(GIVEN, tidy=False)
        for item, given in zip(found, before):
            expected = given if mode == "add" else dict.fromkeys(ORDER[:4], 0.0) | dict.fromkeys(ORDER[4:6], 1.0)
            assert {name: item[name] for name in ORDER[:6]} == pytest.approx(
                {name: expected[name] for name in ORDER[:6]}
            )


def test_sums_of_transformations_lie_within_the_image():
    generator = np.random.default_rng(1)
    before = array(*({"dx": float(dx), "angle": float(angle)} for dx, angle in generator.normal(0, 0.4, (300, 2))))
    layer = layer_with(translate={"rand_type": "gaussian", "spread": 0.6}, zoom={"spread": 0.3, "exp": True})
    found = generated(layer, before, np.zeros((300, 3, 12, 14)), np.zeros((300, 3, 4, 5)))
    changed = 0
    for item, given in zip(found, items_of(before, tidy=False)):
        if item["zoom_x"] == 1:
            assert item == pytest.approx(given)
            continue
        changed += 1
        assert item["angle"] == pytest.approx(given["angle"])
        for x in (0, 4):
            for y in (0, 3):
                across, down, _ = matrix(item, 5, 4, 14, 12) @ (x, y, 1)
                assert -1e-4 <= across < 13 + 1e-4
                assert -1e-4 <= down < 11 + 1e-4
    assert changed > 250


def test_spreads_grow_from_pass_to_pass():
    layer = layer_with(
        {"half_life": 1.0, "initial_coeff": 0.0, "final_coeff": 1.0},
        crop_width=5,
        crop_height=4,
        brightness={"rand_type": "gaussian", "spread": 1.0},
    )
    assert layer.to_caffe()["coeff_schedule_param"] == {"initial_coeff": 0.0}
    image = torch.zeros(4000, 1, 8, 9)
    module = module_of(layer, (tuple(image.shape),)).train()
    for number in (1, 2, 3):
        factor = 2 / (1 + math.exp(-1.0986 * number)) - 1
        assert abs(module(image)[:, ORDER.index("brightness")].std().item() - factor) < 0.03
    assert module.state["passes.train"].item() == 3
    assert not layer_with(brightness={"spread": 1.0}).state_entries(SHAPES)


def test_shapes():
    layer = GenerateAugmentationParameters(crop_width=5, crop_height=4)
    assert layer.infer(((UNKNOWN, 3, 8, 9),), 1) == ((UNKNOWN, 42, 1, 1),)
    assert GenerateAugmentationParameters().infer(SHAPES, 1) == ((3, 42, 1, 1),)
    for bottoms, code, text in (
        (SHAPES[:2], "E102", "expects 1 bottom, or 3"),
        (((3, 41, 1, 1), *SHAPES[1:]), "E102", "expects coefficients of augmentation .3,42,1,1."),
        ((*SHAPES[:2], (3, 4)), "E102", "bottom 2 with 4 axes"),
        (SHAPES[:1], "E101", "needs `bottomwidth` and `bottomheight`"),
    ):
        with raises(code, text):
            layer.infer(bottoms, 1)
    with raises("E101", "needs `crop_width` and `crop_height`"):
        GenerateAugmentationParameters().infer(((2, 3, 8, 9),), 1)
    with raises("E103", "`mode` is `multiply`: expected `add`, `replace` or `regenerate`"):
        layer_with(mode="multiply")
