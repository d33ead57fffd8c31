"""Crops of yjxiong's Caffe, mirrored optical flow, and the resizing of ImageData in forks."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.cropping import Cropping, fixed_places
from netc.data.pipeline.multi_scale import crop_sizes
from netc.diagnostics import NetcError
from netc.ir.image_size import ImageSize
from netc.ir.transform import Transform
from netc.layers.data import ImageData
from netc.schema import caffe
from tests.data.databases import data_layer, database, fault, random_images, record, write
from tests.layers.contract import raises
from tests.layers.harness import layer_from


def tops(layer, count=1, phase="TRAIN", seed=0, on_host=True):
    source = open_source(layer, phase, seed=seed)
    source.configure(np.empty, normalize_on_host=on_host)
    with contextlib.closing(source):
        return [source.next_batch().tops for _ in range(count)]


def test_fixed_places():
    """The thirteen of fillFixOffset, in quarters of what is cut off."""
    y, x = 30 // 4, 42 // 4
    expected = [(0, 0), (0, 4 * x), (4 * y, 0), (4 * y, 4 * x), (2 * y, 2 * x)]
    assert fixed_places(30, 42, more=False) == expected
    more = [(0, 2 * x), (4 * y, 2 * x), (2 * y, 0), (2 * y, 4 * x), (y, x), (y, 3 * x), (3 * y, x), (3 * y, 3 * x)]
    assert fixed_places(30, 42, more=True) == expected + more


def test_crops_at_fixed_places(tmp_path):
    images = random_images(6, (3, 21, 25))
    for places, more in ((5, False), (13, True)):
        layer = data_layer(database(tmp_path / f"{places}", images), 6, crop_size=9, fix_crop=True, more_fix_crop=more)
        found = set()
        for data, labels in tops(layer, 20):
            for crop, label in zip(data, labels.astype(int)):
                windows = fixed_places(12, 16, more)
                (place,) = [(y, x) for y, x in windows if np.array_equal(images[label, :, y : y + 9, x : x + 9], crop)]
                found.add(place)
        assert len(found) == places
        data, _ = tops(layer, phase="TEST")[0]
        np.testing.assert_array_equal(data, images[:, :, 6:15, 8:17])
    draws = np.random.default_rng(0).integers(0, 1 << 63, (4, 7), dtype=np.uint64)
    many = Cropping(9, random=True, places=13).offset(12, 16, draws)
    each = [Cropping(9, random=True, places=13).offset(12, 16, draws[:, i].tolist()) for i in range(7)]
    assert list(zip(*(part.tolist() for part in many))) == each


def test_sizes_of_crops():
    ratios = (1.0, 0.875, 0.75, 0.66)
    found = crop_sizes((256, 340), 224, ratios, 1)
    extents = [256, 224, 192, 168]
    assert found == [(a, b) for i, a in enumerate(extents) for j, b in enumerate(extents) if abs(i - j) <= 1]
    assert crop_sizes((226, 300), 224, (1.0, 0.5), 0) == [(224, 224), (113, 113)]
    assert len(crop_sizes((256, 256), 224, ratios, 3)) == 16


@pytest.mark.parametrize("on_host", [True, False])
def test_crops_of_several_sizes(tmp_path, on_host):
    images = random_images(3, (3, 24, 31))
    settings = {"crop_size": 12, "multi_scale": True, "scale_ratios": (1.0, 0.5), "max_distort": 1, "fix_crop": True}
    layer = data_layer(database(tmp_path / "db", images), 3, **settings)
    seen = set()
    for data, labels in tops(layer, 40, on_host=on_host):
        for crop, label in zip(data, labels.astype(int)):
            seen |= {
                (h, w, y, x)
                for h, w in ((24, 24), (24, 12), (12, 24), (12, 12))
                for y, x in fixed_places(24 - h, 31 - w, False)
                if np.array_equal(resized(images[label, :, y : y + h, x : x + w], 12), crop)
            }
    assert {place[:2] for place in seen} == {(24, 24), (24, 12), (12, 24), (12, 12)}
    assert len({place[2:] for place in seen if place[:2] == (12, 12)}) == 5
    data, _ = tops(layer, phase="TEST", on_host=on_host)[0]
    np.testing.assert_array_equal(data, images[:, :, 6:18, 9:21])
    assert layer.transform.random_fields(train=True) == ("crop_size", "multi_scale")
    assert layer.transform.shape((3, 24, 31)) == (3, 12, 12)


def resized(image, size, mode=cv2.INTER_LINEAR):
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    return cv2.resize(pixels, (size, size), interpolation=mode).transpose(2, 0, 1)


def test_the_mean_is_at_a_fixed_position(tmp_path):
    images = random_images(2, (3, 24, 31))
    mean = np.arange(3 * 24 * 31, dtype=np.float32).reshape(3, 24, 31) / 10
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(caffe.BlobProto(num=1, channels=3, height=24, width=31, data=mean.ravel()).SerializeToString())
    settings = {"crop_size": 12, "multi_scale": True}
    (plain, _), (centered, _) = (
        tops(data_layer(database(tmp_path / name, images), 2, **settings, **more))[0]
        for name, more in (("a", {}), ("b", {"mean_file": str(path)}))
    )
    np.testing.assert_allclose(centered, plain - mean[:, :12, :12], rtol=1e-6)


def test_parts_of_original_images(tmp_path):
    images = [random_images(1, (3, 20 + i, 30 - 3 * i), seed=i)[0] for i in range(4)]
    path = write(tmp_path / "db", [record(image, i) for i, image in enumerate(images)])
    layer = data_layer(path, 4, crop_size=25, original_image=True)
    first, second = (data for data, _ in tops(layer, 2))
    assert first.shape == (4, 3, 25, 25)
    assert (first != second).any()
    data, _ = tops(layer, phase="TEST")[0]
    for image, crop in zip(images, data):
        h, w = image.shape[1:]
        y, x = h // 14, w // 14
        part = image[:, y : y + h // 8 * 7, x : x + w // 8 * 7]
        np.testing.assert_array_equal(crop, resized(part, 25, cv2.INTER_CUBIC))
    assert layer.transform.shape((3, 20, 30)) == (3, 25, 25)


@pytest.mark.parametrize("on_host", [True, False])
def test_mirroring_inverts_optical_flow(tmp_path, on_host):
    images = random_images(8, (5, 6, 7))
    layer = data_layer(database(tmp_path / "db", images), 8, is_flow=True, mirror=True)
    source = open_source(layer, "TRAIN", seed=1)
    source.configure(np.empty, normalize_on_host=on_host)
    with contextlib.closing(source):
        batch = source.next_batch()
    data = batch.tops[0].copy()
    if not on_host:
        data[batch.mirror] = data[batch.mirror][..., ::-1]
    flipped = 0
    for image, found in zip(images, data):
        mirrored = image[..., ::-1].astype(int)
        mirrored[:2] = 255 - mirrored[:2]
        if np.array_equal(found, mirrored):
            flipped += 1
        else:
            np.testing.assert_array_equal(found, image)
    assert 0 < flipped < 8


@pytest.mark.parametrize(("field", "channels"), [("flow", [2]), ("is_flow", [0, 2])])
def test_optical_flow_in_images(tmp_path, field, channels):
    image = random_images(1, (3, 6, 7))[0]
    cv2.imwrite(str(tmp_path / "0.png"), image.transpose(1, 2, 0))
    (tmp_path / "list.txt").write_text("0.png 0\n")
    layer = ImageData(source=str(tmp_path / "list.txt"), transform=Transform(mirror=True, **{field: True}))
    inverted = image[..., ::-1].astype(int)
    inverted[channels] = 255 - inverted[channels]
    found = {data.tobytes() for data, _ in tops(layer, 8)}
    assert found == {a[None].astype(np.float32).tobytes() for a in (image, inverted)}


BAD = [
    ({"fix_crop": True}, "`fix_crop` requires a `crop_size`"),
    ({"multi_scale": True}, "`multi_scale` requires a `crop_size`"),
    ({"original_image": True, "crop_size": 5, "fix_crop": True}, "`original_image` and `fix_crop` exclude each other"),
    ({"original_image": True, "crop_size": 5, "mean_file": "m"}, "`original_image` and `mean_file` exclude"),
    ({"multi_scale": True, "crop_size": 5, "noise_param": {}}, "`multi_scale` and `noise_param` exclude each other"),
    ({"scale_ratios": [0.0]}, "`scale_ratios` must be greater than 0"),
    ({"max_distort": -1}, "`max_distort` must not be negative"),
]


@pytest.mark.parametrize(("transform", "text"), BAD)
def test_settings_that_do_not_fit(transform, text):
    with pytest.raises(NetcError) as caught:
        layer_from("ImageData", image_data_param={"source": "list"}, transform_param=transform)
    assert text in caught.value.diagnostics[0].message


def test_images_smaller_than_the_crop(tmp_path):
    layer = data_layer(database(tmp_path / "db", random_images(1, (3, 8, 9))), 1, crop_size=9, multi_scale=True)
    with fault("E505", "its 8x9 pixels are fewer than `crop_size` 9"):
        tops(layer)


def test_sizes_of_images():
    """The arithmetic of ReadImageToCVMat in the forks, in float32."""
    for h, w in np.random.default_rng(0).integers(1, 700, (300, 2)).tolist():
        f = np.float32
        scale = f(256) / f(min(h, w))
        both = [256, math.floor(f(scale * f(max(h, w))) + 0.5)]
        assert ImageSize(new_dim=256).of((h, w)) == (tuple(both[::-1]) if h >= w else tuple(both))
        assert ImageSize(short_side=256).of((h, w)) == ((h * 256 // w, 256) if h > w else (256, w * 256 // h))
        expected = (h, w)
        if h < 240 or w < 320:
            if 320 - w > 240 - h:
                expected = int(float(f(320) * (f(h) / f(w))) + 0.5), 320
            else:
                expected = 240, int(float(f(240) * (f(w) / f(h))) + 0.5)
        assert ImageSize(min_height=240, min_width=320).of((h, w)) == expected
    assert ImageSize(new_height=4, new_width=5, min_height=9).of((2, 2)) == (4, 5)


@pytest.mark.parametrize(
    ("settings", "size", "mode"),
    [
        ({"short_side": 9}, (9, 12), cv2.INTER_LINEAR),
        ({"new_dim": 9}, (9, 12), cv2.INTER_LINEAR),
        ({"new_dim": 9, "bicubic": True}, (9, 12), cv2.INTER_CUBIC),
        ({"min_height": 20, "min_width": 3}, (20, 27), cv2.INTER_LINEAR),
        ({"new_height": 7, "new_width": 8, "bicubic": True}, (7, 8), cv2.INTER_LINEAR),
    ],
)
def test_resized_as_in_the_forks(tmp_path, settings, size, mode):
    image = random_images(1, (3, 15, 20))[0].transpose(1, 2, 0)
    cv2.imwrite(str(tmp_path / "0.png"), image)
    Path(tmp_path / "list.txt").write_text("0.png 0\n")
    layer = layer_from("ImageData", image_data_param={"source": str(tmp_path / "list.txt"), **settings})
    ((data, _),) = tops(layer)
    np.testing.assert_array_equal(data[0], cv2.resize(image, size[::-1], interpolation=mode).transpose(2, 0, 1))
    assert layer.batch(((3, *size), ()), 2) == ((1, 3, *size), (1,))


def test_resizes_that_exclude_each_other():
    with raises("E101", "`new_height` and `new_dim` exclude each other"):
        layer_from("ImageData", image_data_param={"source": "l", "new_dim": 3, "new_height": 3, "new_width": 3})
    with raises("E104", "`short_side` must be at most 16384"):
        layer_from("ImageData", image_data_param={"source": "l", "short_side": 1 << 20})
