"""The detections of YOLO as .py and ONNX."""

import pytest

from netc.diagnostics import NetcError
from netc.exporters.onnx import onnx_model
from tests.conversion.nets import trained, write
from tests.exporters.layer_files import exports
from tests.exporters.test_layers import loaded, net

pytest.importorskip("onnxruntime")
ANCHORS = "num_classes: 3 num_box: 2 biases: 1 biases: 2 biases: 2.5 biases: 1.5"
MASK = "biases: 0.5 biases: 0.5 biases: 3 biases: 1 mask: 2 mask: 3 mask: 0 mask: 1 anchors_scale: 2 anchors_scale: 1"
SCALES = [(2, 16, 3, 4), (2, 16, 6, 8)]
BATCH = [(3, *shape[1:]) for shape in SCALES]


@pytest.mark.parametrize("threshold", [0.25, 0.999])
def test_yolo_v2(tmp_path, threshold):
    text = f"yolo_detection_output_param {{ {ANCHORS} nms_threshold: 0.3 confidence_threshold: {threshold} }}"
    exports(tmp_path, SCALES[:1], BATCH[:1], type="YoloDetectionOutput", text=text)


@pytest.mark.parametrize("kind", ["Yolov3DetectionOutput", "Yolov3Detection"])
@pytest.mark.parametrize("threshold", [0.25, 0.999])
def test_yolo_v3(tmp_path, kind, threshold):
    text = f"yolov3_detection_output_param {{ {ANCHORS} {MASK} confidence_threshold: {threshold} }}"
    exports(tmp_path, SCALES, BATCH, type=kind, text=text)


@pytest.mark.slow
@pytest.mark.parametrize("write_file", [onnx_model, None])
def test_several_classes_of_a_box(tmp_path, write_file):
    text = f"yolov3_detection_output_param {{ {ANCHORS} {MASK} nms_threshold: 1 }}"
    model = trained(write(tmp_path, net(*SCALES, type="Yolov3DetectionOutput", text=text)))
    with pytest.raises(NetcError, match="cannot be exported"):
        write_file(model) if write_file else loaded(tmp_path, model)
