"""NVIDIA's BatchNorm, compared with its layer's arithmetic (`batch_norm_layer.cu`) and its order of blobs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.compiler import folded
from netc.diagnostics import NetcError, Source
from netc.ir.parameters import ParamSpec
from netc.layers.batch_norm import BatchNorm
from netc.layers.nvidia_batch_norm import NvidiaBatchNorm
from netc.layers.scale import Scale
from netc.schema import caffe
from tests.layers.case import PLANES, Case
from tests.layers.contract import values
from tests.layers.harness import gradcheck, module_of

CASES = [Case(NvidiaBatchNorm(moving_average_fraction=0.9, eps=0.01), *PLANES)]

NET = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 4 dim: 5 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{ num_output: 3 kernel_size: 1
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" {param} batch_norm_param {{ {fields} }} }}
"""
RANDOM = np.random.default_rng(5)
MEAN, VARIANCE, FACTOR, ADDEND = RANDOM.normal(size=3), RANDOM.uniform(0.5, 2, 3), RANDOM.normal(size=3), [1.0, -2, 0.5]


def net_of(fields: str = "scale_bias: true", param: str = "") -> Source:
    return Source("net", NET.format(fields=fields, param=param))


def written(path, blobs, shape=(3,), reserved=(1,)):
    net = caffe.NetParameter()
    layer = net.layer.add(name="bn", type="BatchNorm", top=["bn"])
    for blob in blobs:
        blob = np.asarray(blob, np.float32).ravel()
        proto = layer.blobs.add(data=blob)
        proto.shape.dim.extend(reserved if blob.size == 1 else shape)
    path.write_bytes(net.SerializeToString())
    return path


def test_moving_averages_and_the_learned_part():
    layer = NvidiaBatchNorm(moving_average_fraction=0.75, eps=0.01)
    module = module_of(layer, ((4, 3, 5, 2),)).double().train()
    for name, value in (("weight", FACTOR), ("bias", ADDEND)):
        getattr(module, name).data.copy_(torch.as_tensor(value))
    average, reserved = None, module.scale_factor.item()
    for passes in range(4):
        x = values(4, 3, 5, 2, seed=passes).numpy()
        moments = [x.mean((0, 2, 3)), x.var((0, 2, 3))]
        found = module(torch.tensor(x)).detach().numpy()
        mean, variance = (moment[:, None, None] for moment in moments)
        normalized = (x - mean) / np.sqrt(variance + 0.01)
        expected = normalized * np.asarray(FACTOR)[:, None, None] + np.asarray(ADDEND)[:, None, None]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        average = moments if passes < 2 else [0.75 * a + 0.25 * m for a, m in zip(average, moments)]
        np.testing.assert_allclose(module.mean.numpy(), average[0], rtol=1e-9)
        np.testing.assert_allclose(module.variance.numpy(), average[1], rtol=1e-9)
        assert module.scale_factor.item() == reserved
    module.eval()
    mean, variance = (moment[:, None, None] for moment in average)
    expected = (x - mean) / np.sqrt(variance + 0.01) * np.asarray(FACTOR)[:, None, None]
    found = module(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(found, expected + np.asarray(ADDEND)[:, None, None], rtol=1e-9)


def test_gradients():
    assert gradcheck(NvidiaBatchNorm(eps=0.01), (4, 3, 2, 2), training=True)
    assert gradcheck(NvidiaBatchNorm(eps=0.01), (4, 3, 2, 2))


@pytest.mark.parametrize("fields", ["scale_bias: true", "scale_filler { value: 1 }", "bias_filler { }"])
def test_each_of_its_fields_says_that_it_is_nvidias(fields):
    net = netc.load(net_of(fields))
    assert [tuple(blob.shape) for blob in net.blobs if blob.layer == "bn"] == [(3,), (3,), (1,), (3,), (3,)]
    assert (net.bn.weight.tolist(), net.bn.bias.tolist(), net.bn.scale_factor.item()) == ([1] * 3, [0] * 3, 1)
    assert netc.check(net_of(fields)) == []


def test_without_its_fields_it_is_bvlcs():
    for fields in ("", "scale_bias: false"):
        assert type(netc.load(net_of(fields)).graph.nodes[-1].layer) is BatchNorm
    layer = netc.load(net_of(""), dialect="nvidia").graph.nodes[-1].layer
    assert (type(layer), len(layer.weights(((2, 3),)))) == (NvidiaBatchNorm, 3)
    intels = netc.load(net_of("use_weight_bias: false bias_filler { }")).graph.nodes[-1].layer
    assert type(intels) is BatchNorm


@pytest.mark.parametrize("reserved", [1, 0, 1000])
@pytest.mark.parametrize("order", ["new", "old"])
def test_blobs_in_both_orders(tmp_path, order, reserved):
    new = [MEAN, VARIANCE, [reserved], FACTOR, ADDEND]
    old = [FACTOR, ADDEND, MEAN, VARIANCE, [reserved]]
    path = tmp_path / "net.caffemodel"
    if order == "new":
        written(path, new)
    else:
        written(path, old, (1, 3, 1, 1), (1, 1, 1, 1))
    net = netc.load(net_of(), path)
    x = values(2, 3, 4, 5).float()
    with torch.no_grad():
        conv, bn = (net.evaluate({"data": x}, ["conv", "bn"])[name] for name in ("conv", "bn"))
    mean, variance, factor, addend = (torch.tensor(v).view(-1, 1, 1) for v in (MEAN, VARIANCE, FACTOR, ADDEND))
    torch.testing.assert_close(bn, ((conv - mean) / (variance + 1e-5).sqrt() * factor + addend).float())


def test_whose_blobs_they_are(tmp_path):
    path = written(tmp_path / "net.caffemodel", [MEAN, VARIANCE, [1], FACTOR, ADDEND])
    with pytest.raises(NetcError) as caught:
        netc.load(net_of(""), path)
    (found,) = caught.value.diagnostics
    assert found.code == "E306"
    assert "set `scale_bias: true`" in found.notes[0]
    with pytest.raises(NetcError) as caught:
        netc.load(net_of(), written(path, [MEAN, VARIANCE, [1]]))
    assert "that of BVLC's Caffe" in caught.value.diagnostics[0].notes[0]


ZERO, DECAYED = ParamSpec("", 0.0, 0.0), ParamSpec("", 1.0, 0.0)


@pytest.mark.parametrize(
    ("param", "specs"),
    [
        ("", ()),
        ("param { decay_mult: 0 } param { lr_mult: 2 }", (ZERO, ZERO, ZERO, DECAYED, ParamSpec("", 2.0))),
        (
            "param { decay_mult: 0 } param { decay_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }",
            (ZERO, ZERO, ZERO, DECAYED, DECAYED),
        ),
        ("param { lr_mult: 0 } " * 3 + "param { decay_mult: 0 }", (ZERO, ZERO, ZERO, DECAYED)),
    ],
)
def test_rates_of_the_learned_part(param, specs):
    assert netc.load(net_of(param=param)).graph.nodes[-1].param_specs == specs


def test_it_is_folded(tmp_path):
    path = written(tmp_path / "net.caffemodel", [MEAN, VARIANCE, [1], FACTOR, ADDEND])
    net = netc.load(net_of(), path, seed=1)
    folded_net = folded(net)
    assert [node.layer.type for node in folded_net.graph.nodes] == ["Convolution"]
    x = values(2, 3, 4, 5).float()
    with torch.no_grad():
        torch.testing.assert_close(folded_net(x)["bn"], net(x)["bn"])


def test_it_is_written_back():
    layer = NvidiaBatchNorm(eps=0.01)
    assert layer.to_caffe() == {"eps": 0.01, "scale_bias": True}
    assert not layer.absorbs(Scale())
    assert NvidiaBatchNorm(scale_bias=False).to_caffe() == {}


@pytest.mark.parametrize("dialect", [None, "nvidia"])
def test_it_is_exported_for_caffe(tmp_path, dialect):
    path = written(tmp_path / "nv.caffemodel", [FACTOR, ADDEND, MEAN, VARIANCE, [7]], (1, 3, 1, 1), (1, 1, 1, 1))
    source = tmp_path / "nv.prototxt"
    source.write_text(net_of().text + 'layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }')
    out = tmp_path / "out.prototxt"
    netc.convert(source, path, to="caffe", output=out, dialect=dialect)
    net, again = netc.load(source, path, seed=0), netc.load(out, out.with_suffix(".caffemodel"))
    types = [node.layer.type for node in again.graph.nodes]
    assert types == ["Convolution", "BatchNorm", *["Scale"] * (dialect is None), "ReLU"]
    x = values(2, 3, 4, 5).float()
    with torch.no_grad():
        net.conv.weight.copy_(again.conv.weight)
        net.conv.bias.copy_(again.conv.bias)
        torch.testing.assert_close(again(x)["bn"], net(x)["bn"])
