"""SSD's layers as .py and ONNX: the net's results at the net's own batch and another."""

from __future__ import annotations

import numpy as np
import pytest

from netc.exporters.onnx import onnx_model
from tests.conversion.nets import trained, write
from tests.exporters.test_layers import IMAGE, expected, loaded, net, results, same
from tests.exporters.test_onnx import run

NETS = {
    "permute": net(IMAGE, type="Permute", text="permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "norm of images": net(IMAGE, type="Normalize", text="norm_param { channel_shared: false eps: 0.1 }"),
    "norm of places": net(IMAGE, type="Normalize", text="norm_param { across_spatial: false }"),
    "priors": net(
        IMAGE, (2, 3, 72, 56), type="PriorBox", text="prior_box_param { min_size: 9 max_size: 20 aspect_ratio: 2 }"
    ),
    "clustered priors": net(
        IMAGE, (2, 3, 72, 56), type="PriorBoxClustered", text="prior_box_param { width: 9 height: 20 clip: true }"
    ),
}
BOXES = 40
DETECTIONS = {
    "corners": "code_type: CORNER",
    "centers": "code_type: CENTER_SIZE keep_top_k: 12 nms_param { nms_threshold: 0.45 top_k: 20 }",
    "sizes": "code_type: CORNER_SIZE confidence_threshold: 0.5 background_label_id: 2 keep_top_k: 300",
    "of each class": "share_location: false keep_top_k: 9 variance_encoded_in_target: true",
    "without a background": "share_location: false background_label_id: -1 confidence_threshold: 0.7",
    "nothing": "confidence_threshold: 2",
}


def detector(text, shares=True, *more):
    """A net whose third bottom holds priors."""
    shapes = (2, BOXES * 4 * (1 if shares else 3)), (2, BOXES * 3), (1, 2, BOXES * 4)
    return net(*shapes, *more, type="DetectionOutput", text=f"detection_output_param {{ num_classes: 3 {text} }}")


def predictions(model, images):
    """Feeds of a detector with proper priors and scores that differ."""
    random = np.random.default_rng(images)
    corner, size = random.random((BOXES, 2)), random.random((BOXES, 2)) * 0.4 + 0.05
    priors = np.concatenate((corner - size / 2, corner + size / 2), 1).ravel()
    feed = {}
    for name in model.inputs:
        shape = (images, *model.shape(name)[1:])
        feed[name] = random.random(shape).astype(np.float32)
    feed["a"] = (feed["a"] - 0.5).astype(np.float32)
    feed["c"] = np.stack((priors, np.tile([0.1, 0.1, 0.2, 0.2], BOXES)))[None].astype(np.float32)
    return feed


@pytest.mark.parametrize("name", NETS)
def test_layers(tmp_path, name):
    pytest.importorskip("onnxruntime")
    model = trained(write(tmp_path, NETS[name]))
    exported, module = onnx_model(model).proto(), loaded(tmp_path, model)
    for images in (2, 3):
        random = np.random.default_rng(images)
        feed = {name: random.random((images, *model.shape(name)[1:])).astype(np.float32) for name in model.inputs}
        found = run(
            exported, {key: value for key, value in feed.items() if key in {i.name for i in exported.graph.input}}
        )
        same([found[value] for value in model.outputs], expected(model, feed))
        same(results(module, feed), expected(model, feed))


@pytest.mark.parametrize("images", [2, 1, 3])
@pytest.mark.parametrize("name", DETECTIONS)
def test_detections(tmp_path, name, images):
    pytest.importorskip("onnxruntime")
    text = DETECTIONS[name]
    check(tmp_path, detector(text, "share_location" not in text), images)


@pytest.mark.parametrize("first", [((2, BOXES * 2),), ((2, BOXES * 2), (2, BOXES * 4))])
def test_detections_of_two_stages(tmp_path, first):
    pytest.importorskip("onnxruntime")
    check(tmp_path, detector("objectness_score: 0.4 code_type: CENTER_SIZE keep_top_k: 30", True, *first), 2)


def test_a_threshold_that_falls_is_written_to_python_only(tmp_path):
    model = trained(write(tmp_path, detector("nms_param { nms_threshold: 0.8 eta: 0.9 }")))
    feed = predictions(model, 2)
    same(results(loaded(tmp_path, model), feed), expected(model, feed))


def check(folder, text, images):
    model = trained(write(folder, text))
    feed = predictions(model, images)
    wanted = expected(model, feed)
    found = run(onnx_model(model).proto(), feed)
    same([found[value] for value in model.outputs], wanted)
    same(results(loaded(folder, model), feed), wanted)
