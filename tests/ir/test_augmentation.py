"""Forks' fields of TransformationParameter: read, written, refused, and what they make of a shape."""

from __future__ import annotations

import pytest

from netc.ir.augmentation import Distortion, Expansion, RandomAspectRatio, RandomResize, RandomStretch, Resize
from netc.ir.noise import Noise, SaltPepper
from netc.ir.transform import Transform
from netc.layers.data import Data
from tests.layers.contract import raises
from tests.layers.test_data import made

GIVEN = {
    "mirror": True,
    "crop_size": 7,
    "resize_param": {"resize_mode": "FIT_SMALL_SIZE", "height": 11, "width": 12, "interp_mode": ("AREA", "CUBIC")},
    "distort_param": {"hue_prob": 0.5, "hue_delta": 18.0, "contrast_upper": 1.5},
    "random_resize_param": {"min_size": 9, "max_size": 13, "resize_param": {"interp_mode": ("NEAREST",)}},
    "expand_param": {"prob": 0.5, "max_expand_ratio": 4.0},
    "noise_param": {"erode": True, "saltpepper_param": {"fraction": 0.25, "value": (1.0, 2.0)}},
    "vertical_stretch_lower": 0.5,
    "horizontal_stretch_upper": 1.5,
    "allow_upscale": True,
}


def test_fields_of_forks():
    layer = made("Data", GIVEN)
    assert layer.transform == Transform(
        mirror=True,
        crop_size=7,
        resize_param=Resize("FIT_SMALL_SIZE", 11, 12, interp_mode=("AREA", "CUBIC")),
        distort_param=Distortion(hue_prob=0.5, hue_delta=18.0, contrast_upper=1.5),
        random_resize_param=RandomResize(Resize(interp_mode=("NEAREST",)), 9, 13),
        expand_param=Expansion(0.5, 4.0),
        noise_param=Noise(erode=True, saltpepper_param=SaltPepper(0.25, (1.0, 2.0))),
        stretch=RandomStretch(vertical_stretch_lower=0.5, horizontal_stretch_upper=1.5, allow_upscale=True),
    )
    assert layer.to_caffe()["transform_param"] == GIVEN
    assert hash(layer) == hash(made("Data", GIVEN))
    part = {"min_area_ratio": 0.25, "aspect_ratio_change": 0.75}
    layer = made("Data", {"random_aspect_ratio_param": part, "crop_size": 5})
    assert layer.transform.random_aspect_ratio_param == RandomAspectRatio(**part)
    assert layer.to_caffe()["transform_param"]["random_aspect_ratio_param"] == part


def test_shuffling_is_read():
    assert made("Data", shuffle=True) == Data(**{**vars(made("Data")), "shuffle": True})


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (Transform(resize_param=Resize("WARP", 11, 12)), "(3, 11, 12)"),
        (Transform(resize_param=Resize("FIT_LARGE_SIZE_AND_PAD", 11, 12)), "(3, 11, 12)"),
        (Transform(resize_param=Resize("FIT_SMALL_SIZE", 11, 12)), "(3, 11, 16)"),
        (Transform(resize_param=Resize("FIT_SMALL_SIZE", 11, 12), crop_size=9), "(3, 9, 9)"),
        (Transform(random_resize_param=RandomResize()), "(3, ?, ?)"),
        (Transform(random_resize_param=RandomResize(), crop_h=5, crop_w=4), "(3, 5, 4)"),
        (Transform(random_aspect_ratio_param=RandomAspectRatio(), crop_size=99), "(3, 99, 99)"),
        (Transform(stretch=RandomStretch(9, 10)), "(3, ?, ?)"),
    ],
)
def test_shapes(transform, shape):
    assert repr(transform.shape((3, 20, 30))) == shape


def test_a_crop_must_fit_the_resized_image():
    with raises("E102", "`crop_size` 13 is larger than a record of 11x14"):
        Transform(resize_param=Resize("WARP", 11, 14), crop_size=13).shape((3, 99, 99))
    with raises("E102", "the crop of 9x13 is larger than a record of 8x99"):
        Transform(crop_h=9, crop_w=13).shape((3, 8, 99))


@pytest.mark.parametrize(
    ("code", "text", "values"),
    [
        ("E103", "`height` is required and must be positive", {"resize_param": {"width": 3}}),
        ("E103", "`width` is required and must be positive", {"resize_param": {"height": 3}}),
        (
            "E103",
            "`contrast_upper` must be at least `contrast_lower`",
            {"distort_param": {"contrast_lower": 0.75, "contrast_upper": 0.5}},
        ),
        ("E103", "`hue_delta` must not", {"distort_param": {"hue_delta": -1.0}}),
        ("E103", "`max_size` 3 is below", {"random_resize_param": {"min_size": 5, "max_size": 3}}),
        (
            "E103",
            "`max_area_ratio` must be at least `min_area_ratio` 0.5",
            {"random_aspect_ratio_param": {"max_area_ratio": 0.25}, "crop_size": 3},
        ),
        ("E103", "`vertical_stretch_upper` is below", {"vertical_stretch_lower": 2.0}),
        ("E103", "`horizontal_stretch_upper` is below", {"horizontal_stretch_lower": 2.0}),
        ("E103", "`max_expand_ratio` must be at least 1, got 0.5", {"expand_param": {"max_expand_ratio": 0.5}}),
        ("E103", "`prob` must be from 0 to 1, got 2", {"expand_param": {"prob": 2.0}}),
        ("E103", "`prob` must be 0 or 1, got 0.5", {"noise_param": {"prob": 0.5}}),
        ("E103", "`jpeg` must be at most 100, got 101", {"noise_param": {"jpeg": 101.0}}),
        ("E103", "`convert_to_lab` is not supported", {"noise_param": {"convert_to_lab": True}}),
        ("E103", "`saltpepper` requires `value`", {"noise_param": {"saltpepper": True}}),
        ("E103", "`fraction` must be from 0 to 1, got 2", {"noise_param": {"saltpepper_param": {"fraction": 2.0}}}),
        ("E103", "`value` must be from 0 to 255", {"noise_param": {"saltpepper_param": {"value": [256.0]}}}),
        ("E101", "`mean_file` and `expand_param`", {"mean_file": "m", "expand_param": {}}),
        ("E101", "`random_aspect_ratio_param` requires a `crop_size`", {"random_aspect_ratio_param": {}}),
        ("E101", "`crop_h` requires `crop_w`", {"crop_h": 3}),
        ("E101", "`crop_size` and `crop_h`", {"crop_size": 3, "crop_h": 3, "crop_w": 3}),
    ],
)
def test_invalid_values(code, text, values):
    with raises(code, text):
        made("Data", values)


def test_every_image_is_resized_whatever_the_probability():
    resize = {"height": 30, "width": 40, "prob": 0.1}
    assert made("Data", {"resize_param": resize}).transform.shape((3, 60, 60)) == (3, 30, 40)
