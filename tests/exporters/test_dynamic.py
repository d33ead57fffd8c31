"""`--dynamic n,h,w`: models of images of any size, with the net's own results at each."""

import numpy as np
import pytest

from netc.conversion.convert import convert
from netc.conversion.models import open_net
from netc.conversion.runners import open_runner
from netc.conversion.writers import write_caffe
from netc.diagnostics import NetcError
from netc.exporters.symbolic_shapes import symbolic_shapes
from tests.conversion.nets import trained, write

FCN = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: {} dim: {} }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 bias_term: false }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }}
layer {{ name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param {{ bias_term: true }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param {{ local_size: 3 }} }}
layer {{ name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param {{ kernel_size: 3 stride: 2 pad: {} }} }}
layer {{ name: "mean" type: "Pooling" bottom: "pool" top: "mean"
  pooling_param {{ pool: AVE kernel_size: 2 stride: 2 }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "mean" top: "up"
  convolution_param {{ num_output: 2 kernel_size: 8 stride: 4 }} }}
layer {{ name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "crop" crop_param {{ axis: 2 offset: 1 }} }}
layer {{ name: "prob" type: "Softmax" bottom: "crop" top: "prob" }}
"""
SIZES = [(1, 21, 18), (2, 24, 25), (3, 16, 31), (1, 33, 40), (1, 13, 14)]


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("to", ["onnx", "py"])
def test_a_model_of_images_of_any_size(tmp_path, to, pad):
    net, weights = write_caffe(trained(write(tmp_path, FCN.format(21, 18, pad))), tmp_path / "fcn.prototxt")
    model = open_runner(convert(net, weights, to=to, output=tmp_path / "out", dynamic=("n", "h", "w")).files[0])
    first, channels, height, width = model.inputs["data"]
    assert (channels, height, width) == (3, "height", "width")
    assert isinstance(first, str)
    generator = np.random.default_rng(0)
    for batch, *plane in SIZES:
        feed = {"data": generator.standard_normal((batch, 3, *plane), dtype=np.float32)}
        expected = open_net(write(tmp_path, FCN.format(*plane, pad), "own.prototxt"), weights).run(feed)["prob"]
        found = model.run(feed)["prob"]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_names_of_the_extents(tmp_path):
    graph = trained(write(tmp_path, FCN.format(20, 18, 0)))
    found = symbolic_shapes(graph, dynamic=("h",)).extents
    assert found["data"] == (1, 3, "height", 18)
    assert found["conv"] == (1, 4, "height", 18)
    assert found["pool"] == (1, 4, "pool_2", 9)


@pytest.mark.parametrize("dynamic", ["h", "w"])
def test_an_extent_that_the_net_fixes_is_an_error(tmp_path, dynamic):
    fixed = 'layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 2 } }'
    path = write(tmp_path, FCN.format(20, 18, 0) + fixed)
    with pytest.raises(NetcError, match="of the input cannot be dynamic") as caught:
        convert(path, to="onnx", output=tmp_path / "out", dynamic=(dynamic,))
    assert caught.value.diagnostics[0].code == "E802"


def test_a_fixed_batch_on_request(tmp_path):
    path = write(tmp_path, FCN.format(20, 18, 0))
    assert open_runner(convert(path, to="py", output=tmp_path / "out", dynamic=()).files[0]).inputs["data"] == (
        1,
        3,
        20,
        18,
    )
