"""BoxData: boxes in the floats of a Datum; in training they move with a random part of their image."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.sources.datum import write_datum
from netc.ir.transform import Transform
from netc.layers.yolo.box_data import BoxData
from tests.data.databases import fault, write


def record(image: np.ndarray, *boxes) -> bytes:
    packed = cv2.imencode(".png", image)[1].tobytes()
    return write_datum((3, *image.shape[:2]), packed, floats=np.array(boxes, np.float32), encoded=True)


def white(number: int) -> bytes:
    """A white rectangle on black, whose box has the class 7."""
    random = np.random.default_rng(number)
    image = np.zeros((100, 120, 3), np.uint8)
    x, y, w, h = (int(random.integers(*limits)) for limits in ((20, 60), (20, 50), (10, 40), (10, 30)))
    image[y : y + h, x : x + w] = 255
    return record(image, (7, 0, (x + w / 2) / 120, (y + h / 2) / 100, w / 120, h / 100))


def batches(path, phase, count, **settings):
    layer = BoxData(4, Transform(**settings), str(path), "LMDB")
    with contextlib.closing(open_source(layer, phase, seed=2)) as source:
        source.configure(np.empty, normalize_on_host=True)
        return [source.next_batch().tops for _ in range(count)]


def test_boxes_as_stored_in_tests(tmp_path):
    image = np.full((6, 8, 3), 9, np.uint8)
    boxes = [(3, 1, 0.5, 0.25, 0.125, 0.5), (0, 0, 0.75, 0.5, 0.25, 0.25)]
    path = write(tmp_path / "db", [record(image, *boxes)] * 4)
    ((data, label),) = batches(path, "TEST", 1, mean_value=(4.0,))
    assert (data == 5).all()
    assert label.shape == (4, 150)
    assert label[0, :10].tolist() == [3, 0.5, 0.25, 0.125, 0.5, 0, 0.75, 0.5, 0.25, 0.25]
    assert not label[:, 10:].any()


def test_boxes_move_with_parts_in_training(tmp_path):
    path = write(tmp_path / "db", [white(number) for number in range(8)])
    scales = []
    for data, label in batches(path, "TRAIN", 10, scale=1 / 255):
        assert data.shape == (4, 3, 100, 120)
        for image, (kind, x, y, w, h, *rest) in zip(data, label):
            rows, columns = np.nonzero(image[0] > 0.5)
            assert kind == 7
            assert not any(rest)
            low, high = (x - w / 2, y - h / 2), (x + w / 2, y + h / 2)
            found = columns.min() / 120, rows.min() / 100, (columns.max() + 1) / 120, (rows.max() + 1) / 100
            np.testing.assert_allclose(found, np.clip((*low, *high), 0, 1), atol=0.03)
            scales.append(w)
    assert len({round(float(scale), 4) for scale in scales}) > 20


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (write_datum((3, 1, 1), b"abc", encoded=False), "its image is not encoded"),
        (record(np.zeros((2, 2, 3), np.uint8), (1, 2, 3)), "3 floats are not boxes of 6 numbers each"),
        (record(np.zeros((2, 2, 3), np.uint8)), "0 floats are not boxes"),
        (record(np.zeros((2, 2, 3), np.uint8), *[(1, 0, 0.5, 0.5, 1, 1)] * 31), "it has 31 boxes, at most 30"),
    ],
)
def test_records_without_boxes(tmp_path, value, words):
    with fault("E503", words):
        open_source(BoxData(1, source=str(write(tmp_path / "db", [value])), backend="LMDB"), "TEST")
