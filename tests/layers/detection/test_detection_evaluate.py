"""DetectionEvaluate, compared with a transcription of SSD's loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError
from netc.ir.augmentation import Resize
from netc.ir.dims import UNKNOWN
from netc.layers.detection._image_boxes import in_pixels
from netc.layers.detection.detection_evaluate import DetectionEvaluate
from tests.layers.case import Case
from tests.layers.case import Source as Facts
from tests.layers.contract import raises
from tests.layers.detection.test_detection_output import overlap
from tests.layers.harness import layer_of, module_of, run

CASES = [
    Case(
        DetectionEvaluate(3, -1),
        ((1, 1, 4, 7), (1, 1, 3, 8)),
        ((1, 1, 2, 7), (1, 1, 5, 8)),
        source=Facts(role="score", extents_of_data=True, places_lost=True),
    )
]
REQUIRED = {"DetectionEvaluate": "num_classes: 3"}
WHOLE = {
    "detection_evaluate_param.resize_param": {
        "detection_evaluate_param": {"num_classes": 3, "resize_param": {"height": 30, "width": 40}}
    },
}


def inputs(seed=0, found=30, objects=9, images=3, classes=4):
    random = np.random.default_rng(seed)
    corner = random.random((objects, 2)) * 0.7
    boxes = np.concatenate((corner, corner + 0.1 + random.random((objects, 2)) * 0.2), 1)
    heads = np.stack((random.integers(0, images, objects), random.integers(1, classes, objects)), 1)
    heads = heads[np.argsort(heads[:, 0], kind="stable")]
    truth = np.concatenate((heads, np.zeros((objects, 1)), boxes, random.integers(0, 2, (objects, 1))), 1)
    chosen = random.integers(0, objects, found)
    near = boxes[chosen] + random.normal(size=(found, 4)) * 0.02
    own = np.where(random.random((found, 1)) < 0.8, heads[chosen], random.integers(1, classes, (found, 2)))
    detected = np.concatenate((own, random.random((found, 1)), near), 1)
    return detected[None, None], truth[None, None]


def expected(layer, detected, truth):
    rows = []
    objects = [row for row in truth[0, 0] if row[0] != -1]
    for c in range(layer.num_classes):
        if c != layer.background_label_id:
            counted = [row for row in objects if row[1] == c and (layer.evaluate_difficult_gt or not row[7])]
            rows.append([-1, c, len(counted), -1, -1])
    for i, c in sorted({(row[0], row[1]) for row in detected[0, 0] if row[0] != -1 and row[1] != -1}):
        own = [row for row in objects if (row[0], row[1]) == (i, c)]
        found = [row for row in detected[0, 0] if (row[0], row[1]) == (i, c)]
        taken: set[int] = set()
        for row in sorted(found, key=lambda row: -row[2]) if own else found:
            overlaps = [overlap(row[3:7], truth[3:7]) for truth in own]
            true, false = 0, 1
            if overlaps and max(overlaps) >= layer.overlap_threshold:
                best = overlaps.index(max(overlaps))
                if not layer.evaluate_difficult_gt and own[best][7]:
                    false = 0
                elif best not in taken:
                    taken.add(best)
                    true, false = 1, 0
            rows.append([i, c, row[2], true, false])
    return rows


@pytest.mark.parametrize("difficult", [True, False])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_are_those_of_the_loops(seed, threshold, difficult):
    layer, given = DetectionEvaluate(4, 0, threshold, difficult), inputs(seed)
    (found,) = run(layer, *given)
    np.testing.assert_allclose(found[0, 0], expected(layer, *given))


def test_nothing_detected_and_no_objects():
    detected, truth = inputs()
    nothing = np.array([[[[i, *[-1] * 6] for i in range(2)]]], float)
    counts = [int((truth[0, 0, :, 1] == c).sum()) for c in (1, 2, 3)]
    (found,) = run(DetectionEvaluate(4), nothing, truth)
    assert found[0, 0].tolist() == [[-1, c, n, -1, -1] for c, n in zip((1, 2, 3), counts)]
    truth[:] = -1
    (found,) = run(DetectionEvaluate(4), detected, truth)
    assert found[0, 0, :3, 2].tolist() == [0, 0, 0]
    assert found[0, 0, 3:, 4].tolist() == [1] * 30


def test_objects_after_a_row_of_image_minus_1_are_not_read():
    detected, truth = inputs()
    truth[0, 0, 4, 0] = -1
    (found,) = run(DetectionEvaluate(4), detected, truth)
    assert sum(found[0, 0, :3, 2]) == 4


def test_sizes_of_images_are_those_of_images_with_detections(tmp_path):
    path = tmp_path / "sizes.txt"
    path.write_text("a 100 200\nb 50 80\nc 60 40\n")
    layer = DetectionEvaluate(4, name_size_file=str(path))
    detected, truth = inputs()
    module = module_of(layer, (detected.shape, truth.shape)).double()
    first, second = (module(torch.tensor(detected), torch.tensor(truth)) for _ in range(2))
    assert torch.equal(first, second)  # three images in each pass, and three sizes
    assert first.shape == (1, 1, 33, 5)


def test_the_file_is_found_next_to_the_net(tmp_path):
    (tmp_path / "sizes.txt").write_text("a 100 200\nb 50 80\nc 60 40\n")
    detected, truth = inputs()
    (tmp_path / "net.prototxt").write_text(
        f"""input: "found" input_shape {{ {" ".join(f"dim: {n}" for n in detected.shape)} }}
        input: "truth" input_shape {{ {" ".join(f"dim: {n}" for n in truth.shape)} }}
        layer {{ name: "e" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "e"
            detection_evaluate_param {{ num_classes: 4 name_size_file: "data/sizes.txt" }} }}"""
    )
    net = netc.load(tmp_path / "net.prototxt")
    found = net(found=torch.tensor(detected).float(), truth=torch.tensor(truth).float())["e"]
    wanted = DetectionEvaluate(4, name_size_file=str(tmp_path / "sizes.txt"))
    np.testing.assert_array_equal(found.numpy(), run(wanted, np.float32(detected), np.float32(truth))[0])


def test_files_that_cannot_be_read(tmp_path):
    detected, truth = inputs()
    with raises("E501", "cannot read"):
        run(DetectionEvaluate(4, name_size_file=str(tmp_path / "no.txt")), detected, truth)
    (tmp_path / "bad.txt").write_text("a b c")
    with raises("E506", "a name, a height and a width"):
        run(DetectionEvaluate(4, name_size_file=str(tmp_path / "bad.txt")), detected, truth)


def test_the_background_among_the_labels():
    detected, truth = inputs()
    truth[0, 0, 0, 1] = 0
    with raises("E301", "label of an object is the background"):
        run(DetectionEvaluate(4), detected, truth)
    with pytest.raises(NetcError, match="label of a detection"):
        run(DetectionEvaluate(4, 2), detected, truth)


@pytest.mark.parametrize(
    ("resize", "box", "pixels"),
    [
        (None, [-0.1, 0.25, 0.5, 2.0], [0, 25, 100, 100]),
        (Resize("FIT_LARGE_SIZE_AND_PAD", 300, 300), [0.25, 0.25, 0.5, 0.5], [50, 0, 100, 50]),
        (Resize("FIT_LARGE_SIZE_AND_PAD", 300, 300), [0.0, 0.0, 0.5, 0.2], [0, 0, 100, 20]),
        (Resize("FIT_SMALL_SIZE", 300, 300), [0.25, 0.25, 0.5, 0.5], [50, 25, 100, 50]),
        (
            Resize("FIT_SMALL_SIZE", 300, 300, height_scale=300, width_scale=400),
            [0.25, 0.25, 0.5, 0.5],
            [100, 75, 200, 100],
        ),
    ],
)
def test_boxes_in_pixels(resize, box, pixels):
    import torch

    found = in_pixels(torch.tensor([box], dtype=torch.float64), 100, 200, resize)
    np.testing.assert_allclose(found[0].numpy(), pixels, atol=1e-9)


def test_shapes_and_file():
    layer = DetectionEvaluate(4)
    assert layer.infer(((1, 1, UNKNOWN, 7), (1, 1, UNKNOWN, 8)), 1) == ((1, 1, UNKNOWN, 5),)
    with raises("E102", "detections"):
        layer.infer(((1, 1, 3, 8), (1, 1, 3, 8)), 1)
    resize = {"resize_mode": "WARP", "height": 300, "width": 300}
    message = {"num_classes": 4, "overlap_threshold": 0.3, "name_size_file": "sizes.txt", "resize_param": resize}
    read = layer_of("DetectionEvaluate", {"detection_evaluate_param": message})
    assert layer_of("DetectionEvaluate", {"detection_evaluate_param": read.to_caffe()}) == read
    with raises("E101", "`num_classes` is missing"):
        layer_of("DetectionEvaluate", {})
    with raises("E103", "`overlap_threshold` is 0"):
        DetectionEvaluate(4, overlap_threshold=0.0)
