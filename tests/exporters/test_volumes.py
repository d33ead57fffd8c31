"""C3D's layers as .py and ONNX: the net's results at its own batch and another."""

import pytest

from netc.exporters.onnx import onnx_model
from tests.conversion.nets import trained, write
from tests.exporters.test_layers import expected, feeds, loaded, net, results, same
from tests.exporters.test_onnx import run

VOLUME = (2, 3, 5, 7, 8)
KERNEL = "num_output: 4 kernel_size: 3 kernel_depth: 2 stride: 2 temporal_pad: 1"
BOTH = {
    "convolution": net(VOLUME, type="Convolution3D", text=f"convolution3d_param {{ {KERNEL} }}"),
    "no bias": net(VOLUME, type="Convolution3D", text=f"convolution_param {{ {KERNEL} bias_term: false }}"),
    "deconvolution": net(VOLUME, type="Deconvolution3D", text=f"convolution3d_param {{ {KERNEL} }}"),
    "maximum": net(VOLUME, type="Pooling3D", text="pooling3d_param { kernel_size: 2 kernel_depth: 2 stride: 2 }"),
    "mean": net(VOLUME, type="Pooling3D",
                text="pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 2 }"),
    "softmax": net(VOLUME, type="VoxelSoftmax"),
    "product": net(VOLUME, VOLUME, VOLUME, type="EltwiseProduct"),
}  # fmt: skip
PADDED = net(VOLUME, type="Pooling3D", text="pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 2 pad: 1 }")


def agrees(folder, text, name=""):
    model = trained(write(folder, text))
    exported, module = onnx_model(model).proto(), loaded(folder, model)
    for feed in feeds(model, name):
        wanted = expected(model, feed)
        found = run(exported, feed)
        same([found[value] for value in model.outputs], wanted)
        same(results(module, feed), wanted)


@pytest.mark.parametrize("name", BOTH)
def test_both_formats(tmp_path, name):
    pytest.importorskip("onnxruntime")
    agrees(tmp_path, BOTH[name])


@pytest.mark.slow
def test_padded_windows(tmp_path):
    pytest.importorskip("onnxruntime")
    agrees(tmp_path, PADDED)
