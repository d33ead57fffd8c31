"""FlowNet's layers as ONNX: the net's results at its own batch and another."""

import numpy as np
import pytest

from netc.exporters.onnx import onnx_model
from tests.conversion.nets import trained, write
from tests.exporters.test_layers import expected, feeds, loaded, net, results, same
from tests.exporters.test_onnx import run

IMAGE, FLOW = (2, 3, 7, 9), (2, 2, 7, 9)
NEAR = "correlation_param { kernel_size: 1 max_displacement: 2 pad: 2 stride_2: 2 }"
PATCHES = "correlation_param { kernel_size: 3 max_displacement: 1 pad: 2 stride_1: 2 %s }"
BOTH = {
    "correlation": net(IMAGE, IMAGE, type="Correlation", text=NEAR),
    "patches": net(IMAGE, IMAGE, type="Correlation", text=PATCHES % ""),
    "differences": net(IMAGE, IMAGE, type="Correlation", text=PATCHES % "correlation_type: SUBTRACT"),
    "disparities": net(IMAGE, IMAGE, type="Correlation1D",
                       text="correlation_param { kernel_size: 1 max_displacement: 3 pad: 3 single_direction: -1 }"),
    "warp": net(IMAGE, FLOW, type="Warp"),
    "flow warp": net(IMAGE, FLOW, type="FlowWarp"),
    "grid": net(IMAGE, type="Grid"),
    "norm": net(IMAGE, type="ChannelNorm"),
    "linear": net(IMAGE, type="Resample", text="resample_param { height: 4 width: 13 }"),
    "cubic": net(IMAGE, IMAGE, type="Resample", text="resample_param { type: CUBIC }"),
    "nearest": net(IMAGE, type="Resample", text="resample_param { height: 14 width: 5 type: NEAREST }"),
    "downsample": net(IMAGE, type="Downsample", text="downsample_param { top_height: 3 top_width: 5 }"),
    "accum": net(IMAGE, (2, 1, 4, 3), type="Accum"),
    "mean": net(IMAGE, type="Mean", text="mean_param { operation: SUBTRACT value: 1 value: 2 value: 3 }"),
    "negative": net(IMAGE, type="NegReLU", text="relu_param { negative_slope: 0.1 }"),
    "square": net(IMAGE, type="NegSquare"),
    "exponential": net(IMAGE, type="ExpMax", text="expmax_param { scale: 2 }"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_onnx(tmp_path, name):
    pytest.importorskip("onnxruntime")
    model = trained(write(tmp_path, BOTH[name]))
    exported = onnx_model(model).proto()
    for feed in feeds(model, name):
        for value in feed.values():
            value *= np.float32(2)
        found = run(exported, feed)
        same([found[value] for value in model.outputs], expected(model, feed))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_python(tmp_path, name):
    model = trained(write(tmp_path, BOTH[name]))
    module = loaded(tmp_path, model)
    for feed in feeds(model, name):
        same(results(module, feed), expected(model, feed))
