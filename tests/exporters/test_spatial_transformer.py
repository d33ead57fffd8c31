"""Spatial transformers as .py and ONNX."""

import pytest

from tests.exporters.layer_files import exports

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


def test_sampler(tmp_path):
    fixed = "st_param { output_H: 3 output_W: 4 theta_1_2: 0.1 theta_2_1: 0 }"
    exports(tmp_path, [(2, 3, 5, 6), (2, 4)], type="SpatialTransformer", text=fixed)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("STLoss", "st_loss_param { output_H: 3 output_W: 4 }"), ("LocLoss", "loc_loss_param { threshold: 0.3 }")],
)
def test_losses(tmp_path, kind, text):
    exports(tmp_path, [(2, 6)], type=kind, text=text)
