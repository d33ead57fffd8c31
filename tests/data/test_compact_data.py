"""CompactData: records that are a label and an encoded image."""

import contextlib
import struct

import cv2
import numpy as np
import pytest

from netc.data.factory import open_source
from netc.ir.transform import Transform
from netc.layers.compact_data import CompactData
from tests.data.databases import fault, random_images, write

LABELS = [3, -1, 1 << 20, -(1 << 31)]


def compact(image, label):
    """A record as the fork's converter writes it."""
    ok, encoded = cv2.imencode(".png", image.transpose(1, 2, 0))
    assert ok
    return struct.pack("<i", label) + encoded.tobytes()


def opened(path, color=False, phase="TEST", **settings):
    transform = Transform(crop_size=5, force_color=color, **settings)
    layer = CompactData(source=str(path), batch_size=4, backend="LMDB", transform=transform)
    return contextlib.closing(open_source(layer, phase))


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_labels(tmp_path, color, channels):
    images = random_images(4, (channels, 7, 9))
    path = write(tmp_path / "db", [compact(image, label) for image, label in zip(images, LABELS)])
    with opened(path, color) as source:
        found, labels = source.next_batch().tops
    expected = []
    for image in images:
        plane = image.transpose(1, 2, 0)
        if color and channels == 1:
            plane = np.repeat(plane, 3, 2)
        elif not color and channels == 3:
            plane = cv2.cvtColor(plane, cv2.COLOR_BGR2GRAY)[..., None]
        expected.append(plane[1:6, 2:7].transpose(2, 0, 1))
    rounding = 1 if channels == 3 and not color else 0  # libpng's conversion to gray
    np.testing.assert_allclose(found.astype(int), np.stack(expected).astype(int), rtol=0, atol=rounding)
    assert [int(label) for label in labels] == LABELS


def test_training_crops_at_random_places(tmp_path):
    images = random_images(1, (1, 7, 9))
    path = write(tmp_path / "db", [compact(images[0], 1)])
    with opened(path, phase="TRAIN", mirror=True) as source:
        found = {source.next_batch().tops[0][0].tobytes() for _ in range(12)}
    places = [images[0, :, i : i + 5, j : j + 5] for i in range(3) for j in range(5)]
    allowed = {each.tobytes() for crop in places for each in (crop, crop[..., ::-1])}
    assert len(found) > 3
    assert found <= allowed


@pytest.mark.parametrize(
    ("record", "code", "text"),
    [
        (b"", "E503", "0 bytes are not a label and an image"),
        (struct.pack("<i", 7), "E503", "4 bytes are not a label and an image"),
        (struct.pack("<i", 7) + b"no image", "E504", "decode"),
    ],
)
def test_damaged_records(tmp_path, record, code, text):
    good = compact(random_images(1)[0], 1)
    path = write(tmp_path / "db", [good, record])
    with fault(code, "record `00000001`", text), opened(path) as source:
        source.next_batch()


def test_an_image_smaller_than_the_crop(tmp_path):
    path = write(tmp_path / "db", [compact(random_images(1, (1, 4, 9))[0], 1)])
    with fault("E505"), opened(path) as source:
        source.next_batch()
