"""DetectNetTransformation, compared with the steps of the original in NumPy and OpenCV."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError, Source
from netc.ir.dims import UNKNOWN
from netc.layers.detection.detectnet_transformation import DetectNetTransformation
from netc.weights import write_blob
from tests.layers.contract import raises
from tests.layers.harness import layer_of, run

LAYER = DetectNetTransformation(
    stride=8, scale_cvg=0.4, gridbox_type="GRIDBOX_MIN", min_cvg_len=12, image_size_x=64, image_size_y=48,
    object_class=((1, 0), (3, 2)), mean_value=(100.0, 110.0, 120.0),
)  # fmt: skip
RANDOM = replace(
    LAYER, shift_x=10, shift_y=6, scale_prob=0.6, scale_min=0.8, scale_max=1.6, flip_prob=0.5, rotation_prob=0.5,
    max_rotate_degree=25.0, hue_rotation_prob=0.7, hue_rotation=40.0, desaturation_prob=0.7, desaturation_max=0.8,
)  # fmt: skip
WHOLE = {
    **{
        f"detectnet_groundtruth_param.image_size_{axis}": {"detectnet_groundtruth_param": {f"image_size_{axis}": 32}}
        for axis in "xy"
    },
    "detectnet_groundtruth_param.object_class": {"detectnet_groundtruth_param": {"object_class": [{"src": 2}]}},
    "detectnet_augmentation_param.scale_min": {"detectnet_augmentation_param": {"scale_min": 0.5}},
}


def images(seed=0, count=2, size=(50, 70)):
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (count, 5, 6, 3)).astype(np.float32)
    return np.stack([cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in small]).transpose(
        0, 3, 1, 2
    )


def boxes(seed=0, count=2, most=20):
    random = np.random.default_rng(seed)
    label = np.zeros((count, 1, most + 1, 16), np.float32)
    label[:, 0, 0, 0], label[:, 0, 0, 1] = random.integers(12, most, count), 16
    rows = label[:, 0, 1:]
    rows[..., :2] = random.integers(-10, 50, (count, most, 2))
    rows[..., 2:4] = random.integers(4, 40, (count, most, 2))
    rows[..., 5] = random.integers(0, 4, (count, most))
    return label


def maps_of(layer, rows):
    """The maps of boxes (left, top, width, height, class)."""
    h, w = layer.image_size_y // layer.stride, layer.image_size_x // layer.stride
    found = np.zeros((11, h, w))
    for left, top, width, height, number in rows:
        x0, y0, x1, y1 = left, top, left + width, top + height
        if layer.crop_bboxes:
            x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, layer.image_size_x), min(y1, layer.image_size_y)
        if x1 <= x0 or y1 <= y0 or number not in (1, 3):
            continue
        sizes = [extent * layer.scale_cvg for extent in (x1 - x0, y1 - y0)]
        if layer.gridbox_type == "GRIDBOX_MIN":
            sizes = [min(e, max(layer.min_cvg_len, s)) for e, s in zip((x1 - x0, y1 - y0), sizes)]
        else:
            sizes = [min(layer.max_cvg_len, s) for s in sizes]
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        part = cx - sizes[0] / 2, cy - sizes[1] / 2, cx + sizes[0] / 2, cy + sizes[1] / 2
        for gy, gx in np.ndindex(h, w):
            px, py = gx * layer.stride, gy * layer.stride
            across = min(part[2], px + layer.stride) - max(part[0], px)
            down = min(part[3], py + layer.stride) - max(part[1], py)
            if across > 0 and down > 0 and across * down / layer.stride**2 > 1.2e-7:
                norm = layer.stride**2 / (sizes[0] * sizes[1])
                values = (1, x0 - px, y0 - py, x1 - px, y1 - py, 1 / (x1 - x0), 1 / (y1 - y0))
                found[:, gy, gx] = 0
                found[:7, gy, gx] = values
                found[7, gy, gx] = norm if layer.obj_norm else max(1, norm)
                found[8 + (0 if number == 1 else 2), gy, gx] = 1
    return found


def rows_of(label):
    return [(*row[:4], row[5]) for row in label[0, 1 : 1 + int(label[0, 0, 0])].astype(np.float64)]


def scaled(image, rows, width, height):
    across, down = width / image.shape[1], height / image.shape[0]
    moved = [(x * across, y * down, w * across, h * down, c) for x, y, w, h, c in rows]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), moved


def augmented(layer, image, rows, dice):
    """The image (h, w, 3) and the boxes, by the steps of the original."""
    image = image / np.float32(255)
    turn = dice[1] * 2 * layer.hue_rotation - layer.hue_rotation
    if dice[0] <= layer.hue_rotation_prob:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0] + turn) % 360
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    saturation = 1 - dice[3] * layer.desaturation_max
    if dice[2] <= layer.desaturation_prob and saturation < 1 - 1 / 255:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[..., 1] *= saturation
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    image = image - np.array(layer.mean_value, np.float32) / 255
    if dice[4] <= layer.scale_prob:
        scale = layer.scale_min + (layer.scale_max - layer.scale_min) * dice[5]
        image, rows = scaled(image, rows, *(math.floor(e * scale + 0.5) for e in image.shape[1::-1]))
    if dice[6] <= layer.rotation_prob:
        image, rows = turned(image, rows, (dice[7] - 0.5) * 2 * layer.max_rotate_degree)
    if dice[8] <= layer.flip_prob:
        rows = [(image.shape[1] - x - 1 - w, y, w, h, c) for x, y, w, h, c in rows]
        image = image[:, ::-1]
    return cropped(layer, image, rows, dice[9:])


def turned(image, rows, degrees):
    height, width = image.shape[:2]
    size = ((width / 2, height / 2), (width, height))
    corners, before = cv2.boxPoints((*size, degrees)), cv2.boxPoints((*size, 0.0))
    low = np.floor(corners.min(0))
    extents = (np.ceil(corners.max(0)) - low + 1).astype(int)
    matrix = cv2.getAffineTransform(before[:3], (corners - low)[:3].astype(np.float32))
    inverse = cv2.invertAffineTransform(matrix)
    found = np.full((extents[1], extents[0], 3), -0.5)
    for y, x in np.ndindex(*found.shape[:2]):
        u, v = inverse @ (x, y, 1)
        i, j = math.floor(u), math.floor(v)
        if 0 <= i < width - 1 and 0 <= j < height - 1:
            a, b = u - i, v - j
            top = image[j, i] * (1 - a) + image[j, i + 1] * a
            found[y, x] = top * (1 - b) + (image[j + 1, i] * (1 - a) + image[j + 1, i + 1] * a) * b
    moved = []
    for x, y, w, h, c in rows:
        u, v = matrix @ (x + w / 2, y + h / 2, 1)
        moved.append((u - w / 2, v - h / 2, w, h, c))
    return found, moved


def cropped(layer, image, rows, dice):
    sizes = ((layer.image_size_x, layer.shift_x, dice[1]), (layer.image_size_y, layer.shift_y, dice[2]))
    offset = []
    for extent, (size, shift, die) in zip(image.shape[1::-1], sizes):
        drawn = die * (extent - size + shift)
        nearest = int(math.copysign(math.floor(abs(drawn) + 0.5), drawn)) - shift // 2
        offset.append(nearest if dice[0] <= layer.crop_prob else int((extent - size) / 2))
    found = np.full((layer.image_size_y, layer.image_size_x, 3), -0.5)
    for y, x in np.ndindex(*found.shape[:2]):
        u, v = x + offset[0], y + offset[1]
        if 0 <= u < image.shape[1] and 0 <= v < image.shape[0]:
            found[y, x] = image[v, u]
    return found, [(x - offset[0], y - offset[1], *rest) for x, y, *rest in rows]


def close_maps(found, wanted):
    """Where the coverage of a box ends at a position's side, rounding decides about the position."""
    same = np.isclose(found, wanted, rtol=1e-3, atol=1e-3).all(1)
    assert same.mean() > 0.98
    assert wanted[:, 0].mean() > 0.1


@pytest.mark.parametrize(
    "changes",
    [{}, {"gridbox_type": "GRIDBOX_MAX", "max_cvg_len": 9}, {"obj_norm": True}, {"crop_bboxes": False}],
    ids=str,
)
def test_testing(changes):
    layer, given, label = replace(LAYER, **changes), images(), boxes()
    found = run(layer, given, label, tops=2)
    for number in range(2):
        image = given[number].transpose(1, 2, 0) / 255 - np.array(layer.mean_value, np.float32) / 255
        wanted, rows = scaled(image, rows_of(label[number]), 64, 48)
        np.testing.assert_allclose(found[0][number], wanted.transpose(2, 0, 1) * 255, atol=0.05)
        close_maps(found[1][number : number + 1], maps_of(layer, rows)[None])


DICE = [
    (0.1, 0.9, 0.1, 0.6, 0.1, 0.8, 0.1, 0.9, 0.1, 0.1, 0.9, 0.2),
    (0.1, 0.1, 0.9, 0.6, 0.9, 0.8, 0.9, 0.9, 0.9, 0.1, 0.0, 0.9),
    (0.9, 0.1, 0.1, 0.9, 0.1, 0.0, 0.1, 0.1, 0.9, 0.1, 0.7, 1.0),
    (0.9, 0.1, 0.9, 0.9, 0.2, 1.0, 0.9, 0.1, 0.1, 0.9, 0.7, 0.6),
]


@pytest.mark.parametrize("dice", DICE)
@pytest.mark.parametrize("crop_prob", [1.0, 0.5])
def test_training(dice, crop_prob, monkeypatch):
    layer, given, label = replace(RANDOM, crop_prob=crop_prob), images(3), boxes(3)
    monkeypatch.setattr(torch, "rand", lambda count: torch.tensor(dice[:count], dtype=torch.float64))
    found = run(layer, given, label, tops=2, training=True)
    for number in range(2):
        wanted, rows = augmented(layer, given[number].transpose(1, 2, 0), rows_of(label[number]), dice)
        difference = np.abs(found[0][number] - wanted.transpose(2, 0, 1) * 255)
        assert np.quantile(difference, 0.98) < 0.1
        close_maps(found[1][number : number + 1], maps_of(layer, rows)[None])


def test_a_seed_repeats_what_is_drawn():
    def drawn(seed):
        torch.manual_seed(seed)
        return run(RANDOM, images(), boxes(), tops=2, training=True)[0]

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))


def test_no_boxes():
    label = boxes() * 0
    label[:, 0, 0, 1] = 16
    assert not run(LAYER, images(), label, tops=2)[1].any()
    assert run(LAYER, images(), label[:, :, :1], tops=2)[1].shape == (2, 11, 6, 8)


def test_a_mean_image(tmp_path):
    mean = np.random.default_rng(0).integers(90, 130, (1, 3, 4, 5)).astype(np.float32)
    write_blob(tmp_path / "mean.binaryproto", mean)
    text = f"""
    layer {{ name: "in" type: "Input" top: "x" top: "b" input_param {{ shape {{ dim: 2 dim: 3 dim: 48 dim: 64 }}
            shape {{ dim: 2 dim: 1 dim: 10 dim: 16 }} }} }}
    layer {{ name: "t" type: "DetectNetTransformation" bottom: "x" bottom: "b" top: "y" top: "l"
            transform_param {{ mean_file: "{tmp_path}/mean.binaryproto" }} detectnet_groundtruth_param {{ stride: 16
            image_size_x: 64 image_size_y: 48 object_class {{ src: 1 dst: 0 }} }} }}
    """
    given = images(size=(48, 64))
    net = netc.load(Source("net", text))
    found = net.run(x=given, b=boxes())
    whole = cv2.resize(mean[0].transpose(1, 2, 0), (64, 48), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)
    np.testing.assert_allclose(found["y"], given - whole, atol=0.01)
    many = boxes()
    many[:, 0, 0, 0] = 22
    with pytest.raises(NetcError, match="number of boxes"):
        net.run(x=given, b=many)


def test_parameters():
    whole = replace(RANDOM, obj_norm=True, crop_prob=0.25)
    assert layer_of("DetectNetTransformation", whole.to_caffe()) == whole
    assert whole.to_caffe()["detectnet_groundtruth_param"]["object_class"][1] == {"src": 3, "dst": 2}
    bottoms = (UNKNOWN, 3, 50, 70), (UNKNOWN, 1, UNKNOWN, 16)
    assert repr(LAYER.infer(bottoms, 2)) == "((?, 3, 48, 64), (?, 11, 6, 8))"
    for changes, code, message in [
        ({"stride": 0}, "E103", "`stride` must be positive"),
        ({"image_size_x": 60}, "E103", "`image_size_x` must be a positive multiple of the stride 8"),
        ({"image_size_x": 10**6, "image_size_y": 10**6}, "E104", "larger than the limit"),
        ({"scale_min": 2.0}, "E103", "`scale_min` must be positive"),
        ({"object_class": ((1, 10**6),)}, "E104", "maps of classes must be below"),
        ({"mean_value": (1.0, 2.0)}, "E103", "expected 1 or 3 values"),
        ({"mean_file": "a"}, "E101", "exclude each other"),
    ]:
        with raises(code, message):
            layer_of("DetectNetTransformation", replace(LAYER, **changes).to_caffe())
    for shapes, message in [
        (((2, 1, 9, 9), (2, 1, 4, 16)), "expected images"),
        (((2, 3, 9, 9), (3, 1, 4, 16)), "do not match"),
        (((2, 3, 9, 9), (2, 1, 3, 4)), "do not have 16 numbers"),
    ]:
        with raises("E102", message):
            LAYER.infer(shapes, 2)
