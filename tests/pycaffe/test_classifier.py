"""Classifier and Detector, compared with the same steps by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.diagnostics import NetcError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3
  weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }
layer { name: "prob" type: "Softmax" bottom: "flat" top: "prob" }
"""
RANDOM = np.random.default_rng(3)
MEAN = np.array([0.4, 0.5, 0.6]) * 255
SETTINGS = {"raw_scale": 255, "channel_swap": (2, 1, 0), "mean": MEAN, "input_scale": 0.02}


@pytest.fixture
def files(tmp_path):
    net, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_random_seed(4)
    caffe.Net(net, caffe.TEST).save(weights)
    return net, weights


def scores(net, items):
    """The scores of preprocessed items, three at a time."""
    found = []
    for start in range(0, len(items), 3):
        part = items[start : start + 3]
        net.blobs["data"].data[: len(part)] = part
        found.append(net.forward()["prob"][: len(part)].copy())
    return np.concatenate(found)


def preprocessed(image):
    return ((image.transpose(2, 0, 1)[::-1] * 255 - MEAN[:, None, None]) * 0.02).astype(np.float32)


@pytest.mark.parametrize("dims", [(12, 15), None])
def test_scores_are_the_mean_over_ten_crops(files, dims):
    classifier = caffe.Classifier(*files, image_dims=dims, **SETTINGS)
    images = [RANDOM.random((20, 17, 3)).astype(np.float32), RANDOM.random((12, 15, 3)).astype(np.float32)]
    sized = [cv2.resize(image, (dims or (9, 9))[::-1], interpolation=cv2.INTER_LINEAR) for image in images]
    crops = caffe.io.oversample(sized, (9, 9))
    net = caffe.Net(*files, caffe.TEST)
    expected = scores(net, [preprocessed(crop) for crop in crops]).reshape(2, 10, 5).mean(1)
    np.testing.assert_allclose(classifier.predict(images), expected, rtol=1e-5, atol=1e-6)


def test_scores_of_the_center(files):
    classifier = caffe.Classifier(*files, image_dims=(12, 15), **SETTINGS)
    image = RANDOM.random((12, 15, 3)).astype(np.float32)
    expected = scores(caffe.Net(*files, caffe.TEST), [preprocessed(image[1:10, 3:12])])
    np.testing.assert_allclose(classifier.predict([image], oversample=False), expected, rtol=1e-5, atol=1e-6)
    assert list(classifier.crop_dims) == [9, 9]


def test_windows_of_images(files, tmp_path):
    pixels = RANDOM.integers(0, 256, (30, 25, 3), np.uint8)
    path = str(tmp_path / "image.png")
    cv2.imwrite(path, pixels)
    detector = caffe.Detector(*files, **SETTINGS)
    windows = [(2, 3, 11, 12), (5, 1, 14, 10), (0, 0, 9, 9), (21, 16, 30, 25)]
    found = detector.detect_windows([(path, windows)])
    image = pixels[:, :, ::-1].astype(np.float32) / 255
    items = [preprocessed(image[top:bottom, left:right]) for top, left, bottom, right in windows]
    np.testing.assert_allclose(
        [one["prediction"] for one in found], scores(caffe.Net(*files, caffe.TEST), items), rtol=1e-4
    )
    assert [tuple(one["window"]) for one in found] == windows
    assert {one["filename"] for one in found} == {path}
    assert detector.detect_windows([(path, [])]) == []


def test_the_context_of_a_window(files):
    """A window of 5 x 5 in an input of 9 x 9 with two pixels of context: the input shows the window's surroundings."""
    detector = caffe.Detector(*files, context_pad=2, **SETTINGS)
    image = RANDOM.random((30, 25, 3)).astype(np.float32)
    np.testing.assert_array_equal(detector.crop(image, (10, 8, 14, 12)).shape, (9, 9, 3))
    # extents are 2.5 on each side of (12.5, 10.5), times 9 / 5: rows 8 to 17, columns 6 to 15, a scale of 9 / 10
    rows, columns = image[8:17, 6:15].shape[:2]
    assert (rows, columns) == (9, 9)
    np.testing.assert_allclose(detector.crop(image, (10, 8, 14, 12)), image[8:17, 6:15], atol=1e-6)


def test_outside_the_image_is_the_mean(files):
    detector = caffe.Detector(*files, context_pad=2, **SETTINGS)
    crop = detector.crop(np.ones((30, 25, 3), np.float32), (0, 0, 4, 4))
    np.testing.assert_allclose(crop[0, 0], MEAN[::-1] / 255, rtol=1e-6)
    np.testing.assert_array_equal(crop[-1, -1], 1)


def test_selective_search_is_an_error(files):
    with pytest.raises(NetcError, match="selective search is a MATLAB program"):
        caffe.Detector(*files).detect_selective_search(["image.png"])
