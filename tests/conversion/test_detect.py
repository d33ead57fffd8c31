"""netc detect: the rows of SSD and the regions of R-CNN become objects in pixels; images with boxes drawn."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from netc.cli import main
from netc.conversion.detect import ImageDetections, detect, label_names
from netc.conversion.detections import Detection, RegionSettings, of_rows
from netc.conversion.drawing import draw_detections, drawn
from netc.conversion.preprocess import PreprocessOptions
from netc.diagnostics import NetcError
from netc.ir.augmentation import Resize

ROWS = np.array(
    [
        [0, 2, 0.25, 0.1, 0.2, 0.5, 0.6],
        [0, 1, 0.75, -0.5, 0.5, 0.25, 1.5],
        [0, 1, 0.0, 0, 0, 1, 1],
        [0, -1, -1, -1, -1, -1, -1],
    ],
    np.float32,
)
SSD = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 30 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 28 } }
layer { name: "rows" type: "Reshape" bottom: "fc" top: "found" reshape_param { shape { dim: 1 dim: 1 dim: 4 dim: 7 } } }
layer { name: "copy" type: "Power" bottom: "fc" top: "other" }
"""
RCNN = """
layer { name: "in" type: "Input" top: "data" top: "im_info"
  input_param { shape { dim: 1 dim: 3 dim: 20 dim: 30 } shape { dim: 1 dim: 3 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc_rois" type: "InnerProduct" bottom: "im_info" top: "fc_rois" inner_product_param { num_output: 20 } }
layer { name: "rois" type: "Reshape" bottom: "fc_rois" top: "rois" reshape_param { shape { dim: 4 dim: 5 } } }
layer { name: "fc_scores" type: "InnerProduct" bottom: "pool" top: "fc_scores" inner_product_param { num_output: 12 } }
layer { name: "scores" type: "Reshape" bottom: "fc_scores" top: "cls_prob" reshape_param { shape { dim: 4 dim: 3 } } }
layer { name: "fc_codes" type: "InnerProduct" bottom: "pool" top: "fc_codes" inner_product_param { num_output: WIDTH } }
layer { name: "codes" type: "Reshape" bottom: "fc_codes" top: "bbox_pred" reshape_param { shape { dim: 4 dim: -1 } } }
"""
REGIONS = np.array([[10, 20, 29, 39], [11, 20, 29, 39], [0, 0, 9, 9], [50, 10, 59, 29]], np.float32)
SCORES = np.array([[0.1, 0.8, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7], [0.4, 0.0, 0.6]], np.float32)
CODES = np.zeros((4, 3, 4), np.float32)
CODES[2, 2] = (1, 0, 0, np.log(2))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)
    cv2.imwrite("a.png", image)
    return image


@pytest.fixture
def ssd(folder):
    """The third score is 0.001 of the mean blue value of the input."""
    Path("net.prototxt").write_text(SSD)
    weight = np.zeros((28, 3), np.float32)
    weight[16, 0] = 0.001
    np.savez("w.npz", **{"fc.weight": weight, "fc.bias": ROWS.ravel()})


@pytest.fixture(params=[12, 8], ids=["a code per class", "one code"])
def rcnn(folder, request):
    """Regions that are the same in the image at every scale."""
    Path("net.prototxt").write_text(RCNN.replace("WIDTH", str(4 * request.param)))
    codes = CODES if request.param == 12 else np.stack([CODES[:, 0], CODES[:, 2]], 1)
    arrays = {}
    for name, bias in (("fc_scores", SCORES), ("fc_codes", codes)):
        arrays |= {f"{name}.weight": np.zeros((bias.size, 3), np.float32), f"{name}.bias": bias.ravel()}
    by_scale = np.zeros((20, 3), np.float32)
    by_scale.reshape(4, 5, 3)[:, 1:, 2] = REGIONS
    arrays |= {"fc_rois.weight": by_scale, "fc_rois.bias": np.zeros(20, np.float32)}
    np.savez("w.npz", **arrays)


def test_rows_become_boxes_in_pixels(ssd, folder):
    ((path, size, objects),) = detect(["a.png"], "net.prototxt", "w.npz", threshold=0.05)
    assert (path, size) == ("a.png", (40, 80))
    blue = cv2.resize(folder, (30, 20))[:, :, 0].mean()
    assert [one.label for one in objects] == [1, 2, 1]
    assert [one.score for one in objects] == pytest.approx([0.75, 0.25, 0.001 * blue], rel=1e-4)
    assert objects[0].box == pytest.approx((0, 20, 20, 40))
    assert objects[1].box == pytest.approx((8, 8, 40, 24))
    assert [one.name for one in objects] == ["", "", ""]
    options = PreprocessOptions(mean=(100.0, 0.0, 0.0))
    (found,) = detect(["a.png"], "net.prototxt", "w.npz", threshold=0.0, preprocessing=options)
    assert found.objects[2].score == pytest.approx(0.001 * (blue - 100), rel=1e-3)


def test_padding_is_taken_off_the_boxes(ssd):
    fit = Resize("FIT_LARGE_SIZE_AND_PAD", 20, 20)
    rows = np.array([[0, 1, 0.5, 0.25, 0.25, 0.5, 0.75]], np.float32)
    np.testing.assert_allclose(of_rows(rows, (40, 80), fit).boxes, [[20, 0, 40, 40]])
    Path("train.prototxt").write_text(
        'layer { name: "d" type: "AnnotatedData" top: "data" top: "label" data_param { source: "x" batch_size: 1 }'
        "  transform_param { resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 20 width: 30 } } }"
    )
    (found,) = detect(["a.png"], "net.prototxt", "w.npz", threshold=0.2)
    # 40x80 fits into 20x30 as 15x30, with padding of 2.5 rows.
    assert found.objects[1].box == pytest.approx((8, (4 - 2.5) / 15 * 40, 40, (12 - 2.5) / 15 * 40), rel=1e-5)


def test_a_training_net_has_the_prefix_of_its_deployed_net(ssd):
    Path("net.prototxt").rename("small_deploy.prototxt")
    Path("small_train_test.prototxt").write_text(
        'layer { name: "d" type: "AnnotatedData" top: "data" top: "label" data_param { source: "x" batch_size: 1 }'
        "  transform_param { mean_value: 1000 } }"
    )
    (found,) = detect(["a.png"], "small_deploy.prototxt", "w.npz", threshold=-1)
    assert found.objects[2].score < -0.8


def test_regions_are_moved_and_suppressed(rcnn):
    settings = RegionSettings(short_side=60, long_side=100)
    (found,) = detect(["a.png"], "net.prototxt", "w.npz", regions=settings)
    assert [(one.label, one.score) for one in found.objects] == [
        (1, pytest.approx(0.8)),
        (2, pytest.approx(0.7)),
        (2, pytest.approx(0.6)),
    ]
    # A code of 1 moves a region by its width; log(2) doubles its height around the center. Boxes grow by a pixel.
    np.testing.assert_allclose(found.objects[0].box, (10, 20, 30, 39), atol=1e-3)  # cut off at the last row
    np.testing.assert_allclose(found.objects[1].box, (10, 0, 20, 15), atol=1e-3)
    np.testing.assert_allclose(found.objects[2].box, (50, 10, 60, 30), atol=1e-3)
    with_deviations = RegionSettings(60, 100, deviations=(0.5, 1.0, 1.0, 1.0))
    (found,) = detect(["a.png"], "net.prototxt", "w.npz", regions=with_deviations)
    np.testing.assert_allclose(found.objects[1].box, (5, 0, 15, 15), atol=1e-3)


def test_the_scale_of_regions():
    assert RegionSettings().scale((375, 500)) == pytest.approx(1.6)
    assert RegionSettings().scale((200, 500)) == pytest.approx(2.0)


def test_names(ssd):
    Path("map.prototxt").write_text('item { name: "b" label: 0 } item { name: "x" label: 2 display_name: "cat" }')
    assert label_names("map.prototxt") == ["b", "1", "cat"]
    (found,) = detect(["a.png"], "net.prototxt", "w.npz", threshold=0.2, labels="map.prototxt")
    assert [one.name for one in found.objects] == ["1", "cat"]
    Path("names.txt").write_text("background\ndog\n")
    with pytest.raises(NetcError, match="label 2 has no name: the file names 2 labels"):
        detect(["a.png"], "net.prototxt", "w.npz", threshold=0.2, labels="names.txt")


def test_a_net_without_detections(ssd):
    Path("net.prototxt").write_text(SSD.replace("dim: 4 dim: 7", "dim: 7 dim: 4"))
    with pytest.raises(NetcError, match="the net has no output of detected objects") as caught:
        detect(["a.png"], "net.prototxt", "w.npz")
    assert caught.value.diagnostics[0].notes[0] == "outputs: `found`[1,1,7,4], `other`[1,28]"
    Path("net.prototxt").write_text(SSD)
    with pytest.raises(NetcError, match=r"cannot read `none\.png`"):
        detect(["none.png"], "net.prototxt", "w.npz")


def test_drawing(ssd, folder):
    one = Detection(1, "cat", 0.5, (10.0, 15.0, 30.0, 35.0))
    image = drawn(folder, [one])
    changed = (image != folder).any(2)
    assert changed[15, 10:31].all()
    assert changed[15:36, 30].all()
    assert not changed[20:30, 15:25].any()
    assert not changed[36:].any()
    Path("other").mkdir()
    cv2.imwrite("other/a.png", folder)
    found = [ImageDetections(path, (40, 80), [one]) for path in ("a.png", "other/a.png")]
    assert draw_detections(found, "drawn") == [Path("drawn/a.png"), Path("drawn/a_2.png")]
    np.testing.assert_array_equal(cv2.imread("drawn/a_2.png"), image)
    with pytest.raises(NetcError, match="cannot be created"):
        draw_detections(found, "a.png/x")


def run(capsys, *arguments):
    status = main(["detect", *arguments])
    return status, capsys.readouterr().out


def test_the_verb_prints_a_table_and_json(ssd, capsys):
    command = ("a.png", "--model", "net.prototxt", "--weights", "w.npz", "--threshold", "0.2")
    status, out = run(capsys, *command, "--draw", "drawn")
    assert status == 0
    assert out == (
        "a.png: 2 objects\n"
        "  0.7500  1      0.0    20.0    20.0    40.0\n"
        "  0.2500  2      8.0     8.0    40.0    24.0\n"
        "drawn: 1 image\n"
    )
    _, out = run(capsys, *command, "--format", "json")
    (image,) = json.loads(out)
    assert (image["height"], image["width"]) == (40, 80)
    assert image["objects"][0] == {"label": 1, "name": "", "score": 0.75, "box": [0.0, 20.0, 20.0, 40.0]}
    assert run(capsys, *command, "--box-deviations", "1,2")[0] == 2
