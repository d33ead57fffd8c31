"""Convolution3D and Deconvolution3D, compared with loops over the kernel, and C3D's two formats of parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError
from netc.diagnostics import Source as Text
from netc.layers.volumes.convolution_3d import Convolution3D, Deconvolution3D
from netc.schema import caffe
from tests.layers.case import Case, Source
from tests.layers.contract import raises, values
from tests.layers.harness import layer_of, run

VOLUMES = ((1, 2, 3, 4, 5),), ((2, 2, 4, 3, 3),)
WINDOW = {"kernel": (2, 3, 3), "stride": (1, 2, 2), "pad": (1, 0, 0)}
CASES = [
    Case(Convolution3D(2, **WINDOW), *VOLUMES, source=Source()),
    Case(Deconvolution3D(2, **WINDOW), *VOLUMES, source=Source()),
]
REQUIRED = {
    "Convolution3D": "num_output: 2 kernel_size: 1 kernel_depth: 1",
    "Deconvolution3D": "num_output: 2 kernel_size: 1 kernel_depth: 1",
}


def convolved(x, weight, bias, stride, pad):
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in pad)))
    kernel = weight.shape[2:]
    size = [(e - k) // s + 1 for e, k, s in zip(x.shape[2:], kernel, stride)]
    top = np.zeros((x.shape[0], weight.shape[0], *size)) + bias.reshape(-1, 1, 1, 1)
    for place in np.ndindex(*kernel):
        part = x[:, :, *(slice(k, k + (n - 1) * s + 1, s) for k, n, s in zip(place, size, stride))]
        top += np.einsum("nclhw,oc->nolhw", part, weight[:, :, *place])
    return top


def deconvolved(x, weight, bias, stride, pad):
    kernel = weight.shape[2:]
    size = [(e - 1) * s + k for e, k, s in zip(x.shape[2:], kernel, stride)]
    top = np.zeros((x.shape[0], weight.shape[1], *size))
    for place in np.ndindex(*kernel):
        cells = tuple(slice(k, k + (e - 1) * s + 1, s) for k, e, s in zip(place, x.shape[2:], stride))
        top[:, :, *cells] += np.einsum("nclhw,co->nolhw", x, weight[:, :, *place])
    inner = tuple(slice(p, n - p) for p, n in zip(pad, size))
    return top[:, :, *inner] + bias.reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize(("cls", "reference"), [(Convolution3D, convolved), (Deconvolution3D, deconvolved)])
def test_forward(cls, reference, stock):
    layer = cls(4, (2, 3, 3), (1, 2, 2), (1, 1, 1))
    x, weight = values(2, 3, 5, 7, 6), values(*layer.weights(((2, 3, 5, 7, 6),))[0].shape, seed=4)
    bias = values(1, 1, 1, 1, 4, seed=5)
    (found,) = run(layer, x, weights=(weight, bias), stock=stock)
    weight, bias = (blob.float().double().numpy() for blob in (weight, bias))  # the module's are float32 at first
    np.testing.assert_allclose(
        found, reference(x.numpy(), weight, bias, layer.stride, layer.pad), rtol=1e-10, atol=1e-12
    )


FIELDS = {"num_output": 4, "kernel_depth": 2, "temporal_stride": 3, "temporal_pad": 1, "filter_group": 2}


@pytest.mark.parametrize("kind", ["Convolution3D", "Deconvolution3D"])
def test_both_formats(kind):
    new = layer_of(kind, {"convolution3d_param": {**FIELDS, "kernel_size": 5, "stride": 2, "pad": 1}})
    old = layer_of(kind, {"convolution_param": {**FIELDS, "kernel_size": [5], "stride": [2], "pad": [1]}})
    assert new == old
    assert (new.kernel, new.stride, new.pad) == ((2, 5, 5), (3, 2, 2), (1, 1, 1))
    assert layer_of(kind, {"convolution3d_param": new.to_caffe()}) == new


def test_errors():
    with raises("E101", "`kernel_depth` is missing"):
        layer_of("Convolution3D", {"convolution3d_param": {"num_output": 4, "kernel_size": 5}})
    with raises("E101", "exclude each other"):
        layer_of("Convolution3D", {"convolution3d_param": {"num_output": 4}, "convolution_param": {"num_output": 4}})
    with raises("E101", "expected one"):
        layer_of("Convolution3D", {"convolution_param": {**FIELDS, "kernel_size": [5, 3]}})
    with raises("E103", "not a multiple of `filter_group` 3"):
        layer_of("Convolution3D", {"convolution3d_param": {**FIELDS, "filter_group": 3, "kernel_size": 1}})
    with raises("E102", "5 axes"):
        Convolution3D(4, (1, 1, 1)).infer(((1, 2, 3, 4),), 1)
    with raises("E102", "does not fit"):
        Convolution3D(4, (5, 1, 1)).infer(((1, 2, 3, 4, 5),), 1)


OLD = """
input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 9 dim: 8 }
layers { name: "conv" type: CONVOLUTION3D bottom: "data" top: "conv" convolution_param {
  num_output: 2 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 weight_filler { type: "gaussian" } } }
layers { name: "pool" type: POOLING3D bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 kernel_depth: 1 stride: 2 temporal_stride: 1 } }
layers { name: "up" type: DECONVOLUTION3D bottom: "pool" top: "up" convolution_param {
  num_output: 2 kernel_size: 4 kernel_depth: 4 stride: 2 temporal_stride: 2 pad: 1 temporal_pad: 1 } }
layers { name: "both" type: ELTWISE_PRODUCT bottom: "up" bottom: "up" top: "both" }
layers { name: "prob" type: VOXEL_SOFTMAX bottom: "both" top: "prob" }
"""


def test_a_net_of_c3d_1_0():
    assert not [d for d in netc.check(Text("net", OLD)) if d.severity == "error"]
    net = netc.load(Text("net", OLD), seed=1)
    x = values(1, 3, 4, 9, 8).float()
    conv, prob = (net.evaluate({"data": x}, [name])[name] for name in ("conv", "prob"))
    torch.testing.assert_close(conv, torch.nn.functional.conv3d(x, net.conv.weight, net.conv.bias, padding=1))
    assert prob.shape == (1, 2, 8, 10, 8)
    torch.testing.assert_close(prob.sum(1), torch.ones(1, 8, 10, 8))


def test_a_plain_convolution_does_not_read_its_fields():
    text = OLD.replace("CONVOLUTION3D", "CONVOLUTION").replace("DECONVOLUTION", "DECONVOLUTION")
    with pytest.raises(NetcError, match="`kernel_depth` is specific to"):
        netc.load(Text("net", text))


def test_blobs_of_a_weights_file(tmp_path):
    net = caffe.NetParameter()
    layer = net.layer.add(name="conv", type="Convolution3D", top=["conv"])
    weight, bias = values(2, 3, 3, 3, 3).float(), values(2, seed=6).float()
    for shape, blob in (((2, 3, 3, 3, 3), weight), ((1, 1, 1, 1, 2), bias)):
        proto = layer.blobs.add(data=blob.numpy().ravel())
        proto.shape.dim.extend(shape)
    path = tmp_path / "c3d.caffemodel"
    path.write_bytes(net.SerializeToString())
    found = netc.load(Text("net", OLD), path, seed=1)
    torch.testing.assert_close(found.conv.weight.detach(), weight)
    torch.testing.assert_close(found.conv.bias.detach(), bias)
