"""Preprocessing from files and options, the sidecar, and classification."""

import json

import cv2
import numpy as np
import pytest

from netc.conversion.classify import classify
from netc.conversion.convert import convert
from netc.conversion.models import net_of
from netc.conversion.preprocess import PreprocessOptions, find_preprocess
from netc.diagnostics import Diagnostic, NetcError
from netc.weights import write_blob
from tests.conversion.nets import write

TRAIN = """
layer { name: "data" type: "ImageData" top: "data" top: "label" image_data_param {
    source: "list.txt" batch_size: 4 new_height: 30 new_width: 26 }
  transform_param { mirror: true crop_size: 19 scale: 0.5 mean_value: 10 mean_value: 20 mean_value: 30 } }
"""


def test_preprocessing_is_found_next_to_the_net(mixed, tmp_path):
    prototxt, weights, model = mixed
    write(tmp_path, TRAIN, "train_val.prototxt")
    found = find_preprocess(model, prototxt)
    assert (found.resize, found.crop, found.order, found.scale) == ((30, 26), (23, 19), "bgr", 0.5)
    assert found.mean.ravel().tolist() == [10, 20, 30]
    done = convert(prototxt, weights, to="onnx", output=tmp_path / "out")
    sidecar = json.loads(done.files[-1].read_text())
    assert sidecar["mean"] == [10, 20, 30]
    assert sidecar["crop"] == [23, 19]
    options = find_preprocess(model, prototxt, PreprocessOptions(mean=(1.0,), scale=2.0, order="rgb", resize=(40, 41)))
    assert (options.resize, options.order, options.scale, options.mean.shape) == ((40, 41), "rgb", 2.0, (1, 1, 1))


def test_a_mean_image_sets_the_size_before_the_crop(mixed, tmp_path):
    prototxt, _, model = mixed
    image = np.random.default_rng(0).random((3, 33, 31), np.float32)
    write_blob(tmp_path / "mean.binaryproto", image[None])
    found = find_preprocess(model, prototxt, PreprocessOptions(mean=str(tmp_path / "mean.binaryproto")))
    assert found.resize == (33, 31)
    np.testing.assert_array_equal(found.stage.mean, image[:, 5:28, 6:25])


def test_a_missing_mean_is_an_error_only_if_it_was_requested(mixed, tmp_path):
    prototxt, weights, _ = mixed
    train = TRAIN.replace("mean_value: 10 mean_value: 20 mean_value: 30", 'mean_file: "gone.binaryproto"')
    write(tmp_path, train, "train_val.prototxt")
    done = convert(prototxt, weights, to="onnx", output=tmp_path / "out")
    assert [warning.code for warning in done.warnings] == ["W801"]
    with pytest.raises(NetcError, match="gone"):
        convert(prototxt, weights, to="onnx", output=tmp_path / "out", input_stage=True)


def test_images_are_classified_as_in_plain_torch(mixed, tmp_path):
    prototxt, weights, model = mixed
    pixels = np.random.default_rng(2).integers(0, 256, (40, 36, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    (tmp_path / "labels.txt").write_text("one\ntwo\nthree\nfour\nfive\n")
    options = PreprocessOptions(mean=(1.0, 2.0, 3.0), scale=0.01, resize=(25, 21))
    (found,) = classify(
        [tmp_path / "a.png"], prototxt, weights, labels=tmp_path / "labels.txt", top=2, preprocessing=options
    )
    resized = cv2.resize(pixels, (21, 25)).transpose(2, 0, 1)[:, 1:24, 1:20].astype(np.float32)
    fed = (resized - np.array([1, 2, 3], np.float32)[:, None, None]) * np.float32(0.01)
    expected = net_of(model).run(data=fed[None])["prob"][0]
    order = np.argsort(-expected)[:2]
    assert [guess.index for guess in found] == order.tolist()
    assert [guess.name for guess in found] == [["one", "two", "three", "four", "five"][i] for i in order]
    assert found[0].score == pytest.approx(expected[order[0]], rel=1e-5)


def test_a_file_that_is_not_an_image_is_an_error(mixed, tmp_path):
    prototxt, weights, _ = mixed
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(NetcError) as caught:
        classify([tmp_path / "a.png"], prototxt, weights)
    assert caught.value.diagnostics[0].code == "E505"


@pytest.mark.parametrize(
    ("rest", "raw"),
    [
        ("", True),
        ('layer { name: "p" type: "Softmax" bottom: "fc" top: "p" }', False),
        (
            'layer { name: "p" type: "Softmax" bottom: "fc" top: "p" } '
            'layer { name: "f" type: "Flatten" bottom: "p" top: "f" }',
            False,
        ),
        ('layer { name: "p" type: "Power" bottom: "fc" top: "p" power_param { scale: 2 } }', True),
    ],
)
def test_scores_that_are_not_probabilities_are_reported(tmp_path, rest, raw):
    text = """
    layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }
    """
    (tmp_path / "net.prototxt").write_text(text + rest)
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((4, 4, 3), np.uint8))
    found: list[Diagnostic] = []
    classify([tmp_path / "x.png"], tmp_path / "net.prototxt", warn=found.append)
    assert [one.code for one in found] == ["W807"] * raw
