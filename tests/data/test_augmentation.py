"""Sizes, cuts and colors as forks have them: against OpenCV where nothing is random, by their bounds where it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.augmentation import Augmenter, distort, resize
from netc.ir.augmentation import Distortion, RandomAspectRatio, RandomResize, RandomStretch, Resize
from netc.ir.transform import Transform
from tests.data.databases import data_layer, database, fault, random_images
from tests.data.real_images import photographs

RANDOM = np.random.default_rng(0)


def photo(height=90, width=140) -> np.ndarray:
    return np.ascontiguousarray(photographs()["flower"][:height, :width])


def changed(image: np.ndarray, number: int = 0, seed: int = 1, **transform) -> np.ndarray:
    """Height, width, channels in and out."""
    return Augmenter(Transform(**transform))(image.transpose(2, 0, 1), seed, number).transpose(1, 2, 0)


def test_a_plain_transform_changes_nothing():
    assert not Augmenter(Transform(crop_size=5, mirror=True, mean_value=(1.0,))).active


@pytest.mark.parametrize(
    ("mode", "size", "fitted"),
    [
        ("WARP", (60, 50), (60, 50)),
        ("FIT_SMALL_SIZE", (60, 50), (60, 93)),
        ("FIT_SMALL_SIZE", (30, 70), (45, 70)),
        ("FIT_LARGE_SIZE_AND_PAD", (60, 50), (32, 50)),
        ("FIT_LARGE_SIZE_AND_PAD", (30, 70), (30, 46)),
    ],
)
def test_resizing(mode, size, fitted):
    image, wanted = photo(), Resize(mode, *size, pad_value=(9.0, 8.0, 7.0))
    found = resize(image, wanted, RANDOM)
    assert found.shape[:2] == (wanted.size((90, 140)) if mode == "FIT_SMALL_SIZE" else size)
    expected = cv2.resize(image, fitted[::-1])
    top, left = (size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2
    if mode != "FIT_LARGE_SIZE_AND_PAD":
        top = left = 0
    np.testing.assert_array_equal(found[top : top + fitted[0], left : left + fitted[1]], expected)
    if mode == "FIT_LARGE_SIZE_AND_PAD":
        padding = np.ones(found.shape[:2], bool)
        padding[top : top + fitted[0], left : left + fitted[1]] = False
        assert (found[padding] == (9, 8, 7)).all()


@pytest.mark.parametrize(("mode", "border"), [("MIRRORED", "REFLECT_101"), ("REPEAT_NEAREST", "REPLICATE")])
def test_padding_with_the_image_itself(mode, border):
    image = photo(20, 40)
    found = resize(image, Resize("FIT_LARGE_SIZE_AND_PAD", 30, 40, pad_mode=mode), RANDOM)
    np.testing.assert_array_equal(found, cv2.copyMakeBorder(image, 5, 5, 0, 0, getattr(cv2, f"BORDER_{border}")))


def test_interpolation_is_one_of_the_listed_modes():
    image = photo()
    kinds = {
        name: cv2.resize(image, (30, 20), interpolation=getattr(cv2, f"INTER_{name}")) for name in ("AREA", "NEAREST")
    }
    wanted = Resize(height=20, width=30, interp_mode=("AREA", "NEAREST"))
    drawn = [changed(image, number, resize_param=wanted) for number in range(20)]
    which = ["AREA" if np.array_equal(d, kinds["AREA"]) else "NEAREST" for d in drawn]
    assert all(np.array_equal(d, kinds[name]) for d, name in zip(drawn, which))
    assert set(which) == {"AREA", "NEAREST"}


def test_padding_requires_one_value_per_channel():
    with pytest.raises(ValueError, match="2 values of `pad_value` for 3 channels"):
        resize(photo(), Resize("FIT_LARGE_SIZE_AND_PAD", 30, 30, pad_value=(1.0, 2.0)), RANDOM)


def test_a_random_shorter_side():
    wanted = RandomResize(min_size=20, max_size=30)
    shapes = {changed(photo(), n, random_resize_param=wanted).shape for n in range(60)}
    assert {min(shape[:2]) for shape in shapes} == set(range(20, 31))
    assert all(width == int(height * 140 / 90) for height, width, _ in shapes)


def test_a_random_part_fills_the_crop():
    ramp = np.zeros((80, 120, 3), np.uint8)
    ramp[:, :, 0], ramp[:, :, 1] = np.arange(80)[:, None] * 3, np.arange(120) * 2
    wanted = RandomAspectRatio(min_area_ratio=0.2, max_area_ratio=0.5, aspect_ratio_change=0.8)
    parts = [changed(ramp, n, random_aspect_ratio_param=wanted, crop_size=40) for n in range(40)]
    assert {part.shape for part in parts} == {(40, 40, 3)}
    spans = [(np.ptp(part[:, 0, 0]) / 3 + 1, np.ptp(part[0, :, 1]) / 2 + 1) for part in parts]
    areas = [h * w / (80 * 120) for h, w in spans]
    assert 0.15 < min(areas) < 0.3 < max(areas) < 0.55
    ratios = [h / w for h, w in spans]
    assert min(ratios) < 0.8 < 1.25 < max(ratios)
    whole = changed(ramp, random_aspect_ratio_param=RandomAspectRatio(max_attempt=0), crop_size=40)
    np.testing.assert_array_equal(whole, cv2.resize(ramp, (60, 40)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"contrast_prob": 1.0, "contrast_lower": 1.5, "contrast_upper": 1.5}, lambda x: np.rint(x * 1.5)),
        ({"contrast_prob": 1.0, "contrast_lower": 0.3, "contrast_upper": 0.3}, lambda x: np.rint(x * np.float32(0.3))),
    ],
)
def test_contrast(settings, expected):
    image = photo()
    wanted = np.clip(expected(image.astype(np.float32)), 0, 255)
    np.testing.assert_array_equal(distort(image, Distortion(**settings), RANDOM), wanted)


def test_brightness_stays_within_its_bounds():
    image = np.full((4, 5, 3), 100, np.uint8)
    wanted = Distortion(brightness_prob=1.0, brightness_delta=20.0)
    values = {int(changed(image, n, distort_param=wanted)[0, 0, 0]) for n in range(300)}
    assert (min(values), max(values)) == (80, 120)
    halves = Distortion(brightness_prob=0.5, brightness_delta=20.0)
    untouched = sum(changed(image, n, distort_param=halves)[0, 0, 0] == 100 for n in range(400))
    assert 150 < untouched < 260


def test_hue_and_saturation_keep_the_brightness():
    image = photo()
    wanted = Distortion(hue_prob=1.0, hue_delta=30.0, saturation_prob=1.0, saturation_lower=0.5, saturation_upper=1.5)
    found = changed(image, distort_param=wanted)
    before, after = (cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_BGR2HSV) for x in (image, found))
    assert abs(before[:, :, 2].astype(int) - after[:, :, 2]).max() <= 1
    assert abs(before[:, :, 0].astype(int) - after[:, :, 0]).max() > 2
    gray = changed(image, distort_param=Distortion(saturation_prob=1.0))
    assert (np.ptp(gray.astype(int), axis=2) == 0).all()


def test_channels_are_permuted():
    image = photo()
    orders = set()
    for number in range(40):
        found = changed(image, number, distort_param=Distortion(random_order_prob=1.0))
        orders.add(tuple(next(c for c in range(3) if np.array_equal(found[:, :, i], image[:, :, c])) for i in range(3)))
    assert len(orders) == 6


def test_color_distortion_requires_three_channels_of_bytes(tmp_path):
    settings = {"distort_param": Distortion(hue_prob=1.0, hue_delta=5.0)}
    source = open_source(data_layer(database(tmp_path / "db", random_images(4, (1, 7, 9))), **settings), "TRAIN")
    with fault("E505", "record `00000000`", "three channels of bytes"):
        source.next_batch()
    source.close()


def test_a_stretch():
    wanted = RandomStretch(20, 30, 1.0, 1.5, 0.9, 1.1)
    shapes = {changed(photo(), n, stretch=wanted, crop_size=19).shape[:2] for n in range(80)}
    assert all(19 <= h <= 33 and 20 <= w <= 45 for h, w in shapes)
    assert len(shapes) > 40
    large = RandomStretch(200, 200)
    assert changed(photo(), stretch=large).shape == (90, 140, 3)
    grown = changed(photo(), stretch=RandomStretch(200, 200, allow_upscale=True))
    np.testing.assert_array_equal(grown, cv2.resize(photo(), (311, 200), interpolation=cv2.INTER_CUBIC))


def test_random_choices_depend_on_seed_and_record(tmp_path):
    transform = {
        "crop_size": 20,
        "random_resize_param": RandomResize(min_size=24, max_size=40),
        "distort_param": Distortion(brightness_prob=0.5, brightness_delta=30.0, hue_prob=0.5, hue_delta=9.0),
        "mirror": True,
    }
    layer = data_layer(database(tmp_path / "db", random_images(10, (3, 30, 44))), 24, **transform)

    def batches(seed, threads, start=0):
        source = open_source(layer, "TRAIN", seed=seed, threads=threads)
        source.configure(np.empty, normalize_on_host=True)
        source.seek(start)
        found = np.concatenate([source.next_batch().tops[0].copy() for _ in range(2)])
        source.close()
        return found

    one = batches(3, 1)
    np.testing.assert_array_equal(one, batches(3, 3))
    np.testing.assert_array_equal(one[7:], batches(3, 2, start=7)[:41])
    assert (one != batches(4, 1)).any()
    assert (one[:10] != one[10:20]).any()


def test_resized_records_make_batches(tmp_path):
    path = database(tmp_path / "db", random_images(4, (3, 30, 44)))
    source = open_source(data_layer(path, 4, resize_param=Resize(height=12, width=10), crop_h=9, crop_w=8), "TEST")
    assert source.next_batch().tops[0].shape == (4, 3, 9, 8)
    source.close()
