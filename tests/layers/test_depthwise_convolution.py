import numpy as np
import pytest
import torch
import torch.nn.functional as F

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.depthwise_convolution import ConvolutionDepthwise, DepthwiseConvolution
from tests.layers.case import PLANES, Case, Source, made
from tests.layers.contract import raises, resizes, traces, values
from tests.layers.harness import layer_from, module_of, run

CASES = [
    Case(made("DepthwiseConvolution", 8, (3,), (1,), (1,)), ((2, 4, 5, 6),), ((3, 4, 7, 5),), source=Source()),
    Case(made("DepthwiseConvolution", 6, (2,), group=2), ((2, 4, 5, 6),), ((3, 4, 7, 5),), source=Source()),
    Case(made("ConvolutionDepthwise", kernel=(3, 2), stride=(2,), bias_term=False), *PLANES, source=Source()),
]
REQUIRED = {"DepthwiseConvolution": "num_output: 2 kernel_size: 1", "ConvolutionDepthwise": "kernel_size: 1"}


def test_each_channel_has_its_own_kernels():
    x, weight, bias = values(2, 3, 5, 6), values(6, 1, 3, 3), values(6)
    expected = F.conv2d(x, weight, bias, stride=2, padding=1, groups=3).numpy()
    layer = DepthwiseConvolution(6, (3,), (2,), (1,))
    for stock in (True, False):
        found = run(layer, x.numpy(), weights=(weight.numpy(), bias.numpy()), stock=stock)
        np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


def test_a_single_group_is_kept():
    assert layer_from("DepthwiseConvolution", num_output=6, kernel_size=[3], group=1).group == 1
    assert layer_from("DepthwiseConvolution", num_output=6, kernel_size=[3]).group == 0
    assert DepthwiseConvolution(6, (3,), group=1).weights(((2, 4, 5, 6),))[0].shape == (6, 4, 3, 3)


def test_number_of_outputs_and_groups_have_no_effect_on_convolution_depthwise():
    layer = layer_from("ConvolutionDepthwise", num_output=99, kernel_size=[3], group=7)
    shape = (2, 4, 5, 6)
    assert layer.infer((shape,), 1) == ((2, 4, 3, 4),)
    assert [weight.shape for weight in layer.weights((shape,))] == [(4, 1, 3, 3), (4,)]
    x, weight, bias = values(*shape), values(4, 1, 3, 3), values(4)
    found = run(layer, x.numpy(), weights=(weight.numpy(), bias.numpy()))
    np.testing.assert_allclose(found[0], F.conv2d(x, weight, bias, groups=4).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [DepthwiseConvolution, ConvolutionDepthwise])
def test_grouped_convolution_of_torch(cls):
    layer = cls(4, (3,), weight_filler=Filler("xavier"))
    module = module_of(layer, ((2, 4, 5, 6),))
    assert type(module) is torch.nn.Conv2d
    assert module.groups == 4
    resizes(layer, (values(2, 4, 5, 6),), (values(3, 4, 7, 5),))
    traces(layer, values(2, 4, 5, 6))
    assert layer.cost(((2, 4, 5, 6),), ((2, 4, 3, 4),)) == Cost(macs=2 * 4 * 3 * 4 * 9)


def test_unknown_channels():
    layer = DepthwiseConvolution(4, (3,))
    assert repr(layer.infer(((2, UNKNOWN, 5, 6),), 1)) == "((2, 4, 3, 4),)"
    assert layer.weights(((2, UNKNOWN, 5, 6),))[0].shape == (4, 1, 3, 3)
    assert repr(ConvolutionDepthwise(kernel=(3,)).infer(((2, UNKNOWN, 5, 6),), 1)) == "((2, ?, 3, 4),)"


def test_mismatches():
    with raises("E102", "`num_output` 6 is not a multiple of the 4 groups"):
        DepthwiseConvolution(6, (3,)).infer(((2, 4, 5, 6),), 1)
    with raises("E102", "expected a bottom with 4 axes, got 3"):
        ConvolutionDepthwise(kernel=(3,)).infer(((2, 4, 5),), 1)
    with raises("E102", "`axis` 2"):
        ConvolutionDepthwise(kernel=(3,), axis=2).infer(((2, 4, 5, 6),), 1)
