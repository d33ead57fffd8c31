"""Nets made faster for inference give what they gave before."""

from __future__ import annotations

import copy
import shutil

import numpy as np
import pytest
import torch

import netc
from netc.compiler import folded
from netc.diagnostics import NetcError
from netc.runtime.inference import compile_main, to_channels_last
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel
from tests.conversion.nets import MIXED, close

SMALL = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "drop" type: "Dropout" bottom: "bn" top: "bn" }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
SEQUENCE = """
layer { name: "in" type: "Input" top: "x" top: "go"
        input_param { shape { dim: 4 dim: 2 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "go" top: "h"
        recurrent_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
NEEDS = (
    pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own
)


def compiles(test):
    """Marks a test that lets torch.compile make machine code."""
    for mark in NEEDS:
        test = mark(test)
    return test


def lively(net):
    generator = torch.Generator().manual_seed(3)
    for blob in net.blobs:
        positive = blob.weight.name in ("variance", "scale_factor")
        random = torch.rand if positive else torch.randn
        blob.data.copy_(random(blob.shape, generator=generator) * 0.4 + 0.5 * positive)
    return net.eval()


def values(*shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def compiled_by_eager(monkeypatch):
    """torch.compile without a C++ compiler; what it made is noted."""
    made, real = [], torch.compile
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", lambda function: made.append(function) or real(function, backend="eager"))
    return made


def test_a_folded_net_returns_the_same_values(net_from):
    net = lively(net_from(MIXED))
    faster = folded(net)
    types = [node.layer.type for node in faster.graph.nodes]
    assert "BatchNorm" not in types
    assert "Dropout" not in types
    assert not faster.training
    to_channels_last(faster)
    for shape in ((2, 3, 23, 19), (3, 3, 23, 19)):
        x = values(*shape)
        for blob in ("fc", "prob"):
            one, other = (n.evaluate({"data": x}, [blob])[blob].detach().numpy() for n in (net, faster))
            assert close(one, other)


def test_unchanged_layers_keep_their_modules(net_from):
    net = lively(net_from(SMALL))
    faster = folded(net)
    assert list(dict(faster.named_children())) == ["conv", "relu", "fc"]
    assert faster.module("fc") is net.module("fc")
    assert faster.module("conv") is not net.module("conv")
    assert faster.outputs == net.outputs == ("fc",)
    with pytest.raises(NetcError, match="no blob `conv`"):
        faster.evaluate({"data": values(2, 3, 7, 6)}, ["conv"])


def test_a_folded_double_net_stays_double(net_from):
    net = lively(net_from(SMALL)).double()
    x = values(2, 3, 7, 6).double()
    torch.testing.assert_close(folded(net)(x)["fc"], net(x)["fc"])


def test_channels_last_kernels_produce_channels_last_blobs(net_from):
    net = lively(net_from(SMALL))
    plain = net.evaluate({"data": values(2, 3, 7, 6)}, ["conv"])["conv"]
    to_channels_last(net)
    found = net.evaluate({"data": values(2, 3, 7, 6)}, ["conv"])["conv"]
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not plain.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, plain)


def test_a_compiled_net_sees_weights_that_change(net_from, compiled_by_eager):
    net, plain = lively(net_from(SMALL)), lively(net_from(SMALL))
    compile_main(net)
    x = values(2, 3, 7, 6)

    def change(how):
        for one in (net, plain):
            how(one)

    for number, how in enumerate(
        (
            lambda one: None,
            lambda one: one.module("fc").weight.detach().mul_(-2),
            lambda one: one.load_state_dict({name: held + 1 for name, held in one.state_dict().items()}),
            lambda one: one.double(),
            lambda one: one.float(),
            lambda one: setattr(one.module("conv"), "bias", torch.nn.Parameter(values(4))),
        )
    ):
        change(how)
        given = x.to(net.module("fc").weight.dtype)
        for _ in range(2):
            torch.testing.assert_close(net(given)["fc"], plain(given)["fc"].detach())
        assert len(compiled_by_eager) == number + 1
    other = copy.deepcopy(net)
    other.module("fc").bias.data += 1
    torch.testing.assert_close(other(x)["fc"], net(x)["fc"] + 1)


def test_a_compiled_net_computes_the_same_gradients(net_from, compiled_by_eager):
    net = lively(net_from(SMALL))
    compile_main(net)
    x = values(2, 3, 7, 6)
    assert not net(x)["fc"].requires_grad
    net(x.requires_grad_())["fc"].sum().backward()
    assert x.grad.abs().sum() > 0
    net.train()(x.detach())["fc"].sum().backward()
    assert net.module("fc").weight.grad.abs().sum() > 0
    assert len(compiled_by_eager) == 1
    torch.export.export(net.eval(), (x.detach(),))


def test_other_programs_are_not_compiled(net_from, compiled_by_eager):
    net = lively(net_from(SMALL))
    compile_main(net)
    x = values(2, 3, 7, 6)
    inner = net.evaluate({"data": x}, ["bn"])["bn"]
    assert compiled_by_eager == []
    expected = net.evaluate({"bn": inner}, ["fc"])["fc"].detach().numpy()
    np.testing.assert_allclose(net.run(data=x.numpy())["fc"], expected, rtol=1e-5, atol=1e-6)
    assert len(compiled_by_eager) == 1


@compiles
@pytest.mark.slow
def test_all_options_of_load(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(SMALL)
    trained = lively(netc.load(path))
    layers = {name: [b for b in trained.blobs if b.layer == name] for name in ("conv", "bn", "fc")}
    held = [
        LayerBlobs(name, blobs[0].module.__class__.__name__, tuple(BlobArray(b.data.numpy()) for b in blobs))
        for name, blobs in layers.items()
    ]
    write_caffemodel(tmp_path / "net.caffemodel", Weights(layers=tuple(held)))
    torch._dynamo.reset()
    net = netc.load(path, tmp_path / "net.caffemodel", fold=True, compile=True, channels_last=True)
    for batch in (2, 3, 5):
        x = values(batch, 3, 7, 6)
        torch.testing.assert_close(net(x)["fc"], trained(x)["fc"].detach(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for one in (net, trained):
            one.module("fc").weight.mul_(-2)
    torch.testing.assert_close(net(x)["fc"], trained(x)["fc"].detach(), rtol=1e-4, atol=1e-5)


@compiles
@torch._dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=True)  # the first pass has no state yet
def test_carried_state_is_not_a_constant(net_from):
    net, plain = net_from(SEQUENCE).eval(), net_from(SEQUENCE).eval()
    torch._dynamo.reset()
    compile_main(net)
    for seed in range(4):
        x, go = values(4, 2, 3, seed=seed), torch.ones(4, 2)
        torch.testing.assert_close(net(x, go)["h"], plain(x, go)["h"].detach())
