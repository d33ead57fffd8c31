"""Nets that several tests here load, and what fills them."""

import numpy as np
import pytest

from netc.diagnostics import NetcError

MLP = """
name: "mlp"
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
        inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" loss_weight: 2 }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
CONV = """
name: "conv"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "deploy" type: "Softmax" bottom: "pool" top: "prob" include { stage: "deploy" min_level: 1 } }
"""


def fill(net, seed=0):
    random = np.random.default_rng(seed)
    net.blobs["data"].data[...] = random.normal(size=net.blobs["data"].shape)
    if "label" in net.blobs:
        net.blobs["label"].data[...] = random.integers(0, 5, net.blobs["label"].shape)
    return net


def error(call, *arguments, **named):
    with pytest.raises(NetcError) as caught:
        call(*arguments, **named)
    return caught.value.diagnostics[0]
