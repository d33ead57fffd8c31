"""Random warping of Chenglong Chen's Caffe, compared with its arithmetic in NumPy, pixel by pixel."""

from __future__ import annotations

import contextlib
import math
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.random_warp import CORNERS, MODES, DrawnWarp, drawn, flipped, matrix, placed, smoothed, warped
from netc.ir.augmentation import RandomWarp
from netc.ir.transform import Transform
from netc.layers.compact_data import CompactData
from tests.data.databases import write
from tests.layers.contract import raises, round_trip
from tests.layers.harness import layer_of

MOVED = CORNERS + np.array([[0.05, -0.1], [0.1, 0.02], [-0.08, 0.1], [0.03, -0.04]], np.float32)
RANDOM = np.random.default_rng(5)
IMAGE = RANDOM.integers(0, 256, (11, 14, 3), np.uint8)


def test_flips():
    height, width = IMAGE.shape[:2]
    for flip, rows, columns in ((-1, True, True), (0, True, False), (1, False, True), (2, False, False)):
        found = flipped(IMAGE, flip)
        for y, x in np.ndindex(height, width):
            from_ = height - 1 - y if rows else y, width - 1 - x if columns else x
            np.testing.assert_array_equal(found[y, x], IMAGE[from_])


@pytest.mark.parametrize("factors", [(0.75, 1.5), (1.3, 0.8), (0.6, 0.6), (1.5, 1.4), (1.0, 1.0)])
@pytest.mark.parametrize("offset", [(0, 0), (7, 40_000_003)])
def test_a_part_or_padding(factors, offset):
    numbers = DrawnWarp(2, factors, offset, (0.0, 0.0), 0.0, CORNERS, 0)
    found = placed(IMAGE, numbers, 255.0)
    wanted = int(11 * (1 / factors[0])), int(14 * (1 / factors[1]))
    assert found.shape == (*wanted, 3)
    starts = [at % abs(own - new) if own != new else 0 for own, new, at in zip((11, 14), wanted, offset)]
    for y, x in np.ndindex(wanted):
        row, column = (
            at + start if own > new else at - start for at, start, own, new in zip((y, x), starts, (11, 14), wanted)
        )
        inside = 0 <= row < 11 and 0 <= column < 14
        np.testing.assert_array_equal(found[y, x], IMAGE[row, column] if inside else [255] * 3)


def original_matrix(size, side, shear, degrees, corners) -> np.ndarray:
    """The product of the original's two matrices, the second from its four pairs of points."""
    height, width = size
    by_column, by_row = shear
    sx, sy = side / (width + int(abs(height * by_row))), side / (height + int(abs(width * by_column)))
    angle = -degrees * math.pi / 180
    c, s, center = math.cos(angle), math.sin(angle), side * 0.5
    first = np.array(
        [
            [sx * c + sy * by_column * s, sx * by_row * c + sy * s, (1 - c) * center - s * center],
            [-sx * s + sy * by_column * c, -sx * by_row * s + sy * c, s * center + (1 - c) * center],
            [0, 0, 1],
        ]
    )
    rows, wanted = [], []
    for (x, y), (u, v) in zip(corners.astype(float) * side, CORNERS.astype(float) * side):
        rows += [[x, y, 1, 0, 0, 0, -x * u, -y * u], [0, 0, 0, x, y, 1, -x * v, -y * v]]
        wanted += [u, v]
    second = np.append(np.linalg.solve(np.array(rows), wanted), 1).reshape(3, 3)
    return second @ first


@pytest.mark.parametrize("corners", [CORNERS, MOVED])
@pytest.mark.parametrize(("shear", "degrees"), [((0.0, 0.0), 0.0), ((0.125, -0.1), 37.0), ((-0.12, 0.3), 301.0)])
def test_warping(shear, degrees, corners):
    numbers = DrawnWarp(2, (1.0, 1.0), (0, 0), shear, degrees, corners, cv2.INTER_LINEAR)
    wanted = original_matrix((11, 14), 16, shear, degrees, corners)
    found = matrix((11, 14), 16, numbers)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    pixels = warped(IMAGE, numbers, RandomWarp(warp_fillval=90.0), 16)
    inverse = np.linalg.inv(wanted)
    for v, u in np.ndindex(16, 16):
        x, y, w = inverse @ (u, v, 1)
        x, y = x / w, y / w
        expected = np.zeros(3)
        for row, column in ((math.floor(y) + i, math.floor(x) + j) for i in (0, 1) for j in (0, 1)):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            inside = 0 <= row < 11 and 0 <= column < 14
            expected += weight * (IMAGE[row, column] if inside else np.full(3, 90.0))
        np.testing.assert_allclose(pixels[v, u], expected, atol=13)  # OpenCV rounds positions to 1/32 of a pixel


def test_filters():
    padded = np.pad(IMAGE.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.stack([padded[i : i + 11, j : j + 14] for i in range(3) for j in range(3)])
    weights = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25]).ravel()
    wanted = (
        windows.sum(0).clip(0, 255),
        windows.mean(0),
        np.tensordot(weights, windows, 1),
        np.median(windows, 0),
    )
    for kind, expected in enumerate(wanted):
        np.testing.assert_allclose(smoothed(IMAGE, kind), expected, atol=0.51)


def test_random_numbers_are_those_of_the_settings():
    settings = RandomWarp(True, 0.8, 1.2, 45.0, 0.1, 0.05)
    random = np.random.default_rng(0)
    found = [drawn(settings, random) for _ in range(300)]
    assert {one.flip for one in found} == {-1, 0, 1, 2}
    assert {one.mode for one in found} == {*MODES}
    assert {one.angle for one in found} == {45.0 * turns for turns in range(1, 10)}
    for values, low, high in (
        ([one.factors for one in found], 0.8, 1.2),
        ([one.shear for one in found], -0.1, 0.1),
        ([one.corners - CORNERS for one in found], -0.05, 0.05),
    ):
        assert low <= np.min(values) < low + (high - low) / 20
        assert high - (high - low) / 20 < np.max(values) <= high + 1e-6


def database(path, images) -> str:
    """A database of labels and PNG files."""
    records = [
        struct.pack("<i", label) + cv2.imencode(".png", image)[1].tobytes() for label, image in enumerate(images)
    ]
    return str(write(path, records))


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_batches_of_images_of_any_size(tmp_path, phase):
    images = [RANDOM.integers(1, 256, (9 + i, 20 - 2 * i), np.uint8) for i in range(4)]
    warp = RandomWarp(True, smooth_filtering=True, contrast_adjustment=True, jpeg_compression=True)
    transform = Transform(crop_size=8, mirror=True, mean_value=(2.0,), scale=0.5, warp=warp)
    layer = CompactData(backend="LMDB", source=database(tmp_path / "db", images), batch_size=4, transform=transform)
    found = []
    for seed in (0, 0, 1):
        source = open_source(layer, phase, seed=seed)
        source.configure(np.empty, normalize_on_host=True)
        with contextlib.closing(source):
            found.append([source.next_batch().tops for _ in range(2)])
    for (data, labels), again, other in zip(*found):
        assert data.shape == (4, 1, 8, 8)
        assert labels.tolist() == [0, 1, 2, 3]
        assert -1 <= data.min() < data.max() <= 126.5
        np.testing.assert_array_equal(data, again[0])
        assert (data != other[0]).any()
    assert (found[0][0][0] != found[0][1][0]).any()


def test_nothing_random_is_a_resized_image(tmp_path):
    settings = RandomWarp(True, 1.0, 1.0, 360.0, 0.0, 0.0)
    layer = CompactData(
        backend="LMDB", source=database(tmp_path / "db", [np.full((9, 12), 77, np.uint8)]), batch_size=1
    )
    source = open_source(layer_with(layer, settings), "TEST")
    source.configure(np.empty, normalize_on_host=True)
    with contextlib.closing(source):
        (data, _) = source.next_batch().tops
    assert (data[0, 0, 1:6, 1:6] == 77).all()


def layer_with(layer: CompactData, settings: RandomWarp) -> CompactData:
    return replace(layer, transform=Transform(crop_size=6, warp=settings))


def test_fields_of_files():
    given = {"crop_size": 8, "multiscale": True, "angle_interval": 45.0, "warp_fillval": 0.0, "jpeg_compression": True}
    layer = round_trip("CompactData", data_param={"source": "db", "batch_size": 4}, transform_param=given)
    warp = RandomWarp(True, angle_interval=45.0, warp_fillval=0.0, jpeg_compression=True)
    assert layer.transform == Transform(crop_size=8, warp=warp)
    assert layer.batch(((1, 5, 6), ()), 2) == ((4, 1, 8, 8), (4,))
    assert layer.transform.random_fields(train=False) == ("multiscale",)


@pytest.mark.parametrize(
    ("code", "text", "given"),
    [
        ("E103", "`min_scaling_factor` must be positive, and at most", {"min_scaling_factor": 2.0}),
        ("E103", "`angle_interval` must be positive", {"angle_interval": 0.0}),
        ("E103", "`max_shearing_ratio` must be from 0 to 1", {"max_shearing_ratio": -0.5}),
        ("E101", "`multiscale` requires a `crop_size`", {"crop_size": 0}),
        ("E101", "exclude each other", {"fix_crop": True}),
        ("E101", "exclude each other", {"noise_param": {}}),
        ("E106", "`smooth_filtering` is supported only with", {"multiscale": False, "smooth_filtering": True}),
    ],
)
def test_bad_fields(code, text, given):
    message = {"crop_size": 8, "multiscale": True, **given}
    with raises(code, text):
        layer_of("CompactData", {"data_param": {"source": "d", "batch_size": 1}, "transform_param": message})


def test_only_compact_data_warps():
    transform = {"crop_size": 8, "multiscale": True}
    with raises("E106", "`multiscale` is specific to `CompactData` of Chenglong Chen's Caffe"):
        layer_of("Data", {"data_param": {"source": "d", "batch_size": 1}, "transform_param": transform})
