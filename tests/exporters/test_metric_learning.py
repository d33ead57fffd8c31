"""Layers of metric learning as .py and ONNX, by the general path."""

import pytest

from tests.exporters.layer_files import exports

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


def test_center_loss(tmp_path):
    text = "center_loss_param { num_output: 4 center_filler { type: 'xavier' } }"
    exports(tmp_path, [(4, 3), (4,)], type="CenterLoss", below={1: 4}, text=text)


def test_margin_inner_product(tmp_path):
    text = "margin_inner_product_param { num_output: 4 weight_filler { type: 'xavier' } base: 3 type: TRIPLE }"
    exports(
        tmp_path,
        [(4, 3), (4,)],
        [(6, 3), (6,)],
        type="MarginInnerProduct",
        tops=["one", "two"],
        below={1: 4},
        text=text,
    )
