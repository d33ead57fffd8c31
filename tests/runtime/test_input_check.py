"""What a net says of inputs that its layers do not take."""

import numpy as np
import pytest
import torch
from torch import nn

from netc.diagnostics import NetcError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def fault(call):
    with pytest.raises(NetcError) as caught:
        call()
    (found,) = caught.value.diagnostics
    assert found.code == "E102"
    return f"{found.message}; {'; '.join(found.notes)}"


def test_the_error_names_the_layer_that_rejects_its_bottom(net_from):
    net = net_from(NET)
    images, labels = torch.zeros(2, 3, 8, 8), torch.zeros(2)
    assert "layer `loss`, bottoms: ip[2,5], label[3]" in fault(lambda: net(images, torch.zeros(3)))
    assert "`Pooling` expects a bottom with 4 axes (n, c, h, w), got 3; in layer `pool`" in fault(
        lambda: net(images[0], labels)
    )
    assert "kernel of 3 does not fit" in fault(lambda: net.run(data=np.zeros((2, 3, 2, 2)), label=np.zeros(2)))


def test_the_error_names_weights_that_do_not_match(net_from):
    net = net_from(NET)
    wide = torch.zeros(2, 3, 12, 8)
    found = fault(lambda: net(wide, torch.zeros(2)))
    assert found == "vectors of 60 do not fit weights of shape [5,36]; in layer `ip`"
    assert net.evaluate({"data": wide}, ["pool"])["pool"].shape == (2, 4, 5, 3)  # what is not run may misfit
    found = fault(lambda: net.evaluate({"data": wide[:, :2]}, ["conv"]))
    problem, place = found.split("; ")
    assert problem == "expected blob 0 of shape [4,2,3,3] for these bottoms, got [4,3,3,3]"
    assert place == "in layer `conv`, bottoms: data[2,2,12,8]"


def test_inner_blobs_are_checked(net_from):
    net = net_from(NET)
    assert "layer `ip`" in fault(lambda: net.evaluate({"pool": torch.zeros(2, 7)}, ["ip"]))


def test_replaced_modules_are_not_checked(net_from):
    net = net_from(NET.replace('bottom: "label" top: "loss"', 'bottom: "label" top: "loss" loss_weight: 1'))
    net.conv = nn.Conv2d(1, 4, 5)
    assert net.evaluate({"data": torch.zeros(2, 1, 10, 10)}, ["ip"])["ip"].shape == (2, 5)
    with pytest.raises(RuntimeError, match="expected input"):
        net.evaluate({"data": torch.zeros(2, 3, 10, 10)}, ["ip"])


def test_a_single_array_is_the_first_input(net_from):
    net = net_from(NET.split('layer { name: "loss"')[0].replace('layer { name: "label"', "#"))
    images = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(net.run(images)["ip"], net.run(data=images)["ip"])


def test_a_nan_index_is_out_of_range(net_from):
    net = net_from("""
        layer { name: "word" type: "Input" top: "word" input_param { shape { dim: 3 } } }
        layer { name: "embed" type: "Embed" bottom: "word" top: "embed" embed_param { input_dim: 4 num_output: 2 } }
    """)
    with pytest.raises(NetcError, match="index outside 0 to 3: nan"):
        net(torch.tensor([0.0, torch.nan, 1.0]))
