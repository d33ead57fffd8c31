"""Color and geometry of images, compared with OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from netc.functions.images import from_hsv, resized, rotated, to_hsv

IMAGE = np.random.default_rng(0).random((13, 17, 3), np.float32)
IMAGE[0, :4] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.2], [0.3, 0.7, 0.7]]


def planes(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def test_hue_saturation_and_value():
    hsv = cv2.cvtColor(IMAGE, cv2.COLOR_BGR2HSV)
    np.testing.assert_allclose(to_hsv(planes(IMAGE)), planes(hsv), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("degrees", [0, 25, 400])
def test_planes_of_a_rotated_hue(degrees):
    hsv = cv2.cvtColor(IMAGE, cv2.COLOR_BGR2HSV)
    hsv[..., 0] += degrees
    wanted = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    np.testing.assert_allclose(from_hsv(planes(hsv)), planes(wanted), atol=1e-4)
    hsv[..., 0] -= 720
    np.testing.assert_allclose(from_hsv(planes(hsv)), planes(wanted), atol=1e-3)


@pytest.mark.parametrize("size", [(26, 40), (9, 11), (13, 30)])
def test_bicubic_interpolation(size):
    wanted = cv2.resize(IMAGE, size[::-1], interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(resized(planes(IMAGE), *size), planes(wanted), atol=2e-5)


@pytest.mark.parametrize("degrees", [10.0, -33.0, 120.0])
def test_rotation(degrees):
    smooth = cv2.resize(IMAGE[:3, :4], (64, 48), interpolation=cv2.INTER_CUBIC)
    height, width = smooth.shape[:2]
    box = ((width / 2, height / 2), (width, height), degrees)
    corners, before = cv2.boxPoints(box), cv2.boxPoints((*box[:2], 0.0))
    low = np.floor(corners.min(0))
    size = np.ceil(corners.max(0)) - low + 1
    matrix = cv2.getAffineTransform(before[:3], (corners - low)[:3].astype(np.float32))
    wanted = np.full((int(size[1]), int(size[0]), 3), -0.5, np.float32)
    border = cv2.BORDER_TRANSPARENT
    cv2.warpAffine(smooth, matrix, wanted.shape[1::-1], wanted, cv2.INTER_LINEAR, border)
    found, own = rotated(planes(smooth), degrees, -0.5)
    np.testing.assert_allclose(own, matrix, atol=1e-4)
    assert found.shape == planes(wanted).shape
    inverse = cv2.invertAffineTransform(matrix)
    x, y = np.meshgrid(np.arange(found.shape[2]), np.arange(found.shape[1]))
    u, v = (row[0] * x + row[1] * y + row[2] for row in inverse)
    inside = (np.floor(u) >= 0) & (np.floor(u) < width - 1) & (np.floor(v) >= 0) & (np.floor(v) < height - 1)
    # OpenCV 5 also interpolates pixels that have fewer than four neighbors; OpenCV 2.4 does not.
    assert inside.sum() > 2000
    np.testing.assert_allclose(found.numpy()[:, inside], planes(wanted).numpy()[:, inside], atol=1e-3)
    assert (found.numpy()[:, ~inside] == -0.5).mean() > 0.999
