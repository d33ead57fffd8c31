"""The arithmetic of transforms, on the host and on the device, against a direct reading of the rule."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from netc.data import open_source
from netc.data.images import copy
from netc.data.pipeline.cropping import Cropping
from netc.data.pipeline.device_feed import DeviceFeed
from netc.data.pipeline.normalization import CropPlacement, Normalization
from netc.ir.transform import Transform
from netc.layers.data import ImageData
from netc.weights import write_blob
from tests.data.databases import fault

N, C, H, W = 5, 3, 11, 8
CROP = 6


def expected(images, offsets, mirror, mean, scale):
    """Pixel by pixel, as the rule says: subtract where the pixel came from, scale, put it where it belongs."""
    out = np.empty((N, C, CROP, CROP), np.float32)
    for n in range(N):
        for c in range(C):
            for h in range(CROP):
                for w in range(CROP):
                    y, x = offsets[n, 0] + h, offsets[n, 1] + w
                    away = 0 if mean is None else mean[c % len(mean), y % mean.shape[1], x % mean.shape[2]]
                    to = CROP - 1 - w if mirror[n] else w
                    out[n, c, h, to] = (np.float32(images[n, c, y, x]) - np.float32(away)) * np.float32(scale)
    return out


MEANS = {
    "none": None,
    "one": np.full((1, 1, 1), 104.5, np.float32),
    "each": np.array([104, 117, 123.7], np.float32).reshape(3, 1, 1),
    "image": np.random.default_rng(1).uniform(90, 130, (C, H, W)).astype(np.float32),
}


@pytest.fixture
def batch():
    rng = np.random.default_rng(2)
    offsets = np.stack([rng.integers(0, H - CROP + 1, N), rng.integers(0, W - CROP + 1, N)], 1)
    return rng.integers(0, 256, (N, C, H, W), dtype=np.uint8), offsets, np.array([True, False, True, True, False])


def crops(images, offsets):
    return np.stack([im[:, y : y + CROP, x : x + CROP] for im, (y, x) in zip(images, offsets)])


def copied(image, mirror):
    target = np.empty(image.shape, image.dtype)
    copy(target, image, bool(mirror))
    return target


@pytest.mark.parametrize("mean", MEANS, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_device_and_host_agree_with_the_rule(batch, mean, dtype):
    images, offsets, mirror = batch
    normalization = Normalization(0.017, MEANS[mean])
    want = expected(images, offsets, mirror, MEANS[mean], 0.017)
    cropped = crops(images, offsets).astype(dtype)
    got = normalization(torch.from_numpy(cropped), mirror, offsets)
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got.numpy(), want)
    host = np.empty_like(want)
    places = [CropPlacement(tuple(offset), bool(flip)) for offset, flip in zip(offsets.tolist(), mirror)]
    normalization.host(host, np.stack([copied(*pair) for pair in zip(cropped, mirror)]), places)
    np.testing.assert_array_equal(host, want)


@pytest.mark.parametrize("channels", [1, 2, C, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_any_strides_are_copied(channels, dtype):
    image = np.random.default_rng(3).integers(0, 256, (H, W, channels)).astype(dtype)
    for planes in (image.transpose(2, 0, 1), np.ascontiguousarray(image.transpose(2, 0, 1))):
        cropped = planes[:, 1 : 1 + CROP, 2 : 2 + CROP]
        np.testing.assert_array_equal(copied(cropped, False), cropped)
        np.testing.assert_array_equal(copied(cropped, True), cropped[:, :, ::-1])


def test_one_crop_for_all_with_a_mean_image(batch):
    images, _, _ = batch
    offsets = np.tile([[2, 1]], (N, 1))
    for mirror in (np.zeros(N, bool), np.ones(N, bool)):
        got = Normalization(2.0, MEANS["image"])(torch.from_numpy(crops(images, offsets)), mirror, offsets)
        np.testing.assert_array_equal(got.numpy(), expected(images, offsets, mirror, MEANS["image"], 2.0))


def test_padding_becomes_zero_after_the_mean(batch):
    images, offsets, _ = batch
    valid = np.tile([[1, 2, 5, 6]], (N, 1))
    cropped = crops(images, offsets)
    got = Normalization(1.0, MEANS["each"])(torch.from_numpy(cropped), None, offsets, valid).numpy()
    assert (got[:, :, 0] == 0).all()
    assert (got[:, :, :, :2] == 0).all()
    np.testing.assert_array_equal(got[:, :, 1:5, 2:], cropped[:, :, 1:5, 2:] - MEANS["each"])
    host = np.empty_like(got)
    Normalization(1.0, MEANS["each"]).host(host, cropped, [CropPlacement((0, 0), valid=(1, 2, 5, 6))] * N)
    np.testing.assert_array_equal(host, got)


def test_crops_cover_exactly_all_offsets():
    drawn = np.random.default_rng(0).integers(0, 2**63, (2000, 4)).astype(np.uint64)
    found = {Cropping(CROP, random=True).offset(H - CROP, W - CROP, row) for row in drawn.tolist()}
    assert found == {(y, x) for y in range(H - CROP + 1) for x in range(W - CROP + 1)}


def test_mirror_is_a_fair_coin_in_both_phases():
    drawn = np.random.default_rng(0).integers(0, 2**63, (2000, 4)).astype(np.uint64)
    assert 900 < Cropping(mirror=True).mirrored(drawn).sum() < 1100
    assert Cropping().mirrored(drawn) is None


def listed(folder, shape, mean, second=None):
    """A source of two images (c, h, w), equal by default, all 100, with a mean file of its own."""
    for i, size in enumerate((shape, second or shape)):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((*size[1:], 3), 100, np.uint8))
    (folder / "list.txt").write_text("0.png 0\n1.png 1\n")
    write_blob(folder / "mean", mean)
    layer = ImageData(
        source=str(folder / "list.txt"),
        root_folder=f"{folder}/",
        batch_size=2,
        is_color=shape[0] == 3,
        transform=Transform(mean_file=str(folder / "mean")),
    )
    return open_source(layer, "TRAIN")


@pytest.mark.parametrize(
    ("shape", "mean"), [((1, 8, 8), (2, 1, 1)), ((1, 8, 8), (1, 1, 1)), ((3, 8, 8), (3, 1, 1)), ((3, 1, 1), (1, 1, 1))]
)
def test_a_mean_file_is_an_image_of_any_size(tmp_path, shape, mean):
    found, wanted = ("x".join(map(str, s)) for s in (shape, mean))
    with fault("E505", "0.png", f"is {found}, but the mean image is {wanted}"):
        listed(tmp_path, shape, np.zeros((1, *mean), np.float32))


@pytest.mark.parametrize("complete", [False, True])
def test_each_image_has_the_size_of_the_mean_file(tmp_path, complete):
    source = listed(tmp_path, (3, 8, 9), np.zeros((1, 3, 8, 9), np.float32), second=(3, 9, 8))
    source.configure(np.empty, normalize_on_host=complete)
    with fault("E505", "1.png", "is 3x9x8, but the mean image is 3x8x9"):
        source.next_batch()
    source.close()


def test_a_mean_file_of_one_pixel_for_images_of_one(tmp_path):
    feed = DeviceFeed(listed(tmp_path, (3, 1, 1), np.float32([[[[1]], [[2]], [[3]]]])))
    assert feed.next()[0].flatten().tolist() == [99, 98, 97] * 2
    feed.source.close()


@pytest.mark.filterwarnings("error")
def test_a_mean_that_cannot_be_written_to(batch):
    images, offsets, mirror = batch
    mean = np.frombuffer(MEANS["image"].tobytes(), np.float32).reshape(C, H, W)
    got = Normalization(1.0, mean)(torch.from_numpy(crops(images, offsets)), mirror, offsets)
    np.testing.assert_array_equal(got.numpy(), expected(images, offsets, mirror, mean, 1.0))


@pytest.mark.gpu
def test_gpu_agrees_with_the_host(batch):
    images, offsets, mirror = batch
    for mean in MEANS.values():
        cropped = torch.from_numpy(crops(images, offsets))
        got = Normalization(0.5, mean)(cropped.cuda(), mirror, offsets)
        np.testing.assert_array_equal(got.cpu().numpy(), expected(images, offsets, mirror, mean, 0.5))
