"""SSD's noise and expansion: against OpenCV where nothing is random, by their bounds where it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.ir.augmentation import Expansion, RandomStretch, Resize
from netc.ir.noise import Noise, SaltPepper
from netc.ir.transform import Transform
from tests.data.databases import data_layer, database, fault, random_images
from tests.data.test_augmentation import changed, photo


def gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None]


def luma_changed(image: np.ndarray, change) -> np.ndarray:
    y, cr, cb = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb))
    return cv2.cvtColor(cv2.merge([change(y), cr, cb]), cv2.COLOR_YCrCb2BGR)


def eroded(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=255)
    around = [padded[y : y + image.shape[0], x : x + image.shape[1]] for y, x in CROSS]
    return np.minimum.reduce(around)


CROSS = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
EXPECTED = {
    "decolorize": lambda p: np.repeat(gray(p), 3, axis=2),
    "gauss_blur": lambda p: cv2.sepFilter2D(p, -1, cv2.getGaussianKernel(7, 1.5), cv2.getGaussianKernel(7, 1.5)),
    "hist_eq": lambda p: luma_changed(p, cv2.equalizeHist),
    "clahe": lambda p: luma_changed(p, cv2.createCLAHE(4.0, (8, 8)).apply),
    "erode": eroded,
    "posterize": lambda p: np.array([32, 96, 160, 224], np.uint8)[p // 64],
    "inverse": lambda p: 255 - p,
    "convert_to_hsv": lambda p: cv2.cvtColor(p, cv2.COLOR_BGR2HSV),
}


@pytest.mark.parametrize("step", EXPECTED)
def test_steps(step):
    image = photo()
    found = changed(image, noise_param=Noise(**{step: True}))
    assert abs(found.astype(int) - EXPECTED[step](image)).max() <= (step == "gauss_blur")
    assert (found != image).any()


@pytest.mark.parametrize("step", ["gauss_blur", "hist_eq", "clahe", "erode", "posterize", "inverse"])
def test_steps_on_gray(step):
    image = gray(photo())
    found = changed(image, noise_param=Noise(**{step: True}))
    assert found.shape == image.shape
    assert (found != image).any()


def test_recompression():
    image = photo()
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    np.testing.assert_array_equal(changed(image, noise_param=Noise(jpeg=30.0)), cv2.imdecode(packed, 1))
    assert changed(gray(image), noise_param=Noise(jpeg=30.0)).shape == (90, 140, 1)


def test_steps_follow_each_other_after_the_resize():
    image = photo()
    wanted = {"noise_param": Noise(inverse=True, posterize=True), "resize_param": Resize(height=30, width=50)}
    small = cv2.resize(image, (50, 30))
    np.testing.assert_array_equal(changed(image, **wanted), 255 - EXPECTED["posterize"](small))


@pytest.mark.parametrize("value", [(9.0,), (9.0, 8.0, 7.0)])
def test_salt_and_pepper(value):
    image = np.full((50, 40, 3), 200, np.uint8)
    noise = Noise(saltpepper=True, saltpepper_param=SaltPepper(0.1, value))
    found = changed(image, noise_param=noise)
    hit = (found != image).any(2)
    assert 150 < hit.sum() <= 200
    np.testing.assert_array_equal(found[hit], np.broadcast_to(value, (hit.sum(), 3)))
    assert (image == 200).all()
    np.testing.assert_array_equal(found, changed(image, noise_param=noise))
    assert (found != changed(image, 1, noise_param=noise)).any()
    assert (found != changed(image, 0, 2, noise_param=noise)).any()


def test_images_that_noise_cannot_change(tmp_path):
    for number, (noise, shape) in enumerate(
        (
            (Noise(decolorize=True), (1, 5, 6)),
            (Noise(saltpepper=True, saltpepper_param=SaltPepper(0.5, (1.0, 2.0))), (3, 5, 6)),
            (Noise(inverse=True), (2, 5, 6)),
        )
    ):
        path = database(tmp_path / str(number), random_images(2, shape))
        source = open_source(data_layer(path, 2, noise_param=noise), "TEST")
        with fault("E505", "record `00000000`"):
            source.next_batch()
        source.close()


@pytest.mark.parametrize(("mean", "fill"), [((), (0, 0, 0)), ((7.0,), (7, 7, 7)), ((1.4, 2.6, 250.0), (1, 3, 250))])
def test_the_image_is_placed_inside_a_larger_one(mean, fill):
    image = photo(40, 60)
    sizes, places = set(), set()
    for number in range(60):
        found = changed(image, number, expand_param=Expansion(max_expand_ratio=2.5), mean_value=mean)
        h, w = found.shape[:2]
        assert 40 <= h < 100
        assert abs(w - h * 1.5) < 2
        match = cv2.matchTemplate(found, image, cv2.TM_SQDIFF)
        y, x = np.unravel_index(match.argmin(), match.shape)
        np.testing.assert_array_equal(found[y : y + 40, x : x + 60], image)
        rest = np.ones((h, w), bool)
        rest[y : y + 40, x : x + 60] = False
        np.testing.assert_array_equal(found[rest], np.broadcast_to(fill, (rest.sum(), 3)))
        sizes.add((h, w))
        places.add((y, x))
    assert len(sizes) > 20
    assert len(places) > 40


def test_some_images_are_unchanged():
    grown = [changed(photo(), n, expand_param=Expansion(0.5, 4.0)).shape != photo().shape for n in range(200)]
    assert 70 < sum(grown) < 130
    assert changed(photo(), expand_param=Expansion(max_expand_ratio=1.005)).shape == photo().shape


def test_shapes_of_expanded_images():
    assert repr(Transform(expand_param=Expansion(max_expand_ratio=2.0)).shape((3, 9, 8))) == "(3, ?, ?)"
    assert repr(Transform(expand_param=Expansion(prob=0.0, max_expand_ratio=2.0)).shape((3, 9, 8))) == "(3, 9, 8)"


def test_a_horizontal_stretch():
    wanted = RandomStretch(horizontal_stretch_lower=0.5, horizontal_stretch_upper=0.9)
    shapes = {changed(photo(), n, stretch=wanted).shape[:2] for n in range(60)}
    assert {h for h, _ in shapes} == {90}
    assert all(70 <= w <= 126 for _, w in shapes)
    assert len(shapes) > 20
