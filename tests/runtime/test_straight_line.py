"""A ReLU overwrites a bottom that nothing else needs, and no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError, Source
from netc.runtime import straight_line

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 } } }'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "a" top: "b" relu_param { negative_slope: %g } }'
MAKERS = {
    "BatchNorm": "",
    "ELU": "",
    "Concat": 'bottom: "data"',
    "Convolution": 'convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } }',
    "Deconvolution": 'convolution_param { num_output: 3 kernel_size: 2 weight_filler { type: "xavier" } }',
    "Eltwise": 'bottom: "data" eltwise_param { operation: %s }',
    "InnerProduct": 'inner_product_param { num_output: 7 weight_filler { type: "xavier" } }',
    "LRN": "",
    "Pooling": "pooling_param { pool: %s kernel_size: 2 stride: 2 }",
    "Scale": 'scale_param { bias_term: true filler { type: "gaussian" } }',
}
VARIANTS = {"Eltwise": ("SUM", "PROD", "MAX"), "Pooling": ("MAX", "AVE", "STOCHASTIC")}
CASES = [(kind, variant) for kind in MAKERS for variant in VARIANTS.get(kind, ("",))]


def maker(kind: str, variant: str = "") -> str:
    rest = MAKERS[kind] % variant if variant else MAKERS[kind]
    return f'layer {{ name: "made" type: "{kind}" bottom: "data" top: "a" {rest} }}\n'


def gradients(net, x):
    x = x.clone().requires_grad_()
    torch.manual_seed(3)
    (top,) = net(x).values()
    weights = torch.arange(top.numel(), dtype=top.dtype).reshape(top.shape)
    return top.detach(), *torch.autograd.grad((top * weights).sum(), [x, *net.parameters()])


def record_tops(module, seen):
    """Append the module's tops to `seen` without a hook, which would prevent computing in place."""
    forward = module.forward
    module.forward = lambda *bottoms: [seen.append(forward(*bottoms)), seen[-1]][1]


@pytest.mark.parametrize(("kind", "variant"), CASES)
@pytest.mark.parametrize("slope", [0, 0.25])
def test_overwriting_changes_no_gradient(net_from, monkeypatch, kind, variant, slope):
    text = DATA + maker(kind, variant) + RELU % slope
    x = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    seen = []
    ours = net_from(text, phase="TRAIN").double()
    record_tops(ours.get_submodule("made"), seen)
    found = gradients(ours, x)
    monkeypatch.setattr(straight_line, "overwrite", lambda module, bottom, producer: module(bottom))
    expected = gradients(net_from(text, phase="TRAIN").double(), x)
    assert torch.equal(seen[0].detach(), found[0]), "the ReLU did not compute in place"
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_requested_values_are_not_overwritten(net_from):
    net = net_from(DATA + maker("Convolution") + RELU % 0)
    x = torch.randn(2, 4, 6, 5)
    both = net.evaluate({"data": x}, ["a", "b"])
    assert both["a"].min() < 0
    assert torch.equal(both["b"], both["a"].relu())


def test_fed_values_are_not_overwritten(net_from):
    net = net_from(DATA + maker("Convolution") + RELU % 0)
    inner = torch.randn(2, 3, 4, 3)
    before = inner.clone()
    assert torch.equal(net.evaluate({"a": inner}, ["b"])["b"], before.relu())
    assert torch.equal(inner, before)


def test_a_fed_top_is_not_replaced_by_the_layer_that_produces_another(net_from):
    net = net_from(
        DATA + 'layer { name: "slice" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 1 } }'
        'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "c" }'
    )
    x, given = torch.rand(2, 4, 6, 5), torch.full((2, 2, 6, 5), 7.0)
    assert torch.equal(net.evaluate({"data": x, "a": given}, ["c"])["c"], given + x[:, 2:])
    found = net.evaluate({"data": x, "b": given}, ["a", "b", "c"])
    assert torch.equal(found["b"], given)
    assert torch.equal(found["c"], x[:, :2] + given)
    with pytest.raises(NetcError, match="bottoms 0 and 1 differ at axis 1: 3 and 2"):
        net.evaluate({"data": x, "a": torch.zeros(2, 3, 6, 5)}, ["c"])


def test_values_that_another_layer_reads_are_not_overwritten(net_from):
    other = 'layer { name: "other" type: "Power" bottom: "a" top: "c" power_param { scale: 2 } }'
    net = net_from(DATA + maker("Convolution") + RELU % 0 + other)
    tops = net(torch.randn(2, 4, 6, 5))
    assert torch.equal(tops["b"], (tops["c"] / 2).relu())
    assert tops["c"].min() < 0


@pytest.mark.parametrize("kind", ["Sigmoid", "Dropout", "Flatten", "TanH"])
def test_other_producers_are_unchanged(net_from, kind):
    net = net_from(
        DATA
        + maker("Convolution").replace('"a"', '"c"')
        + f"""
        layer {{ name: "between" type: "{kind}" bottom: "c" top: "a" }}"""
        + RELU % 0,
        phase="TRAIN",
    )
    kept = []
    net.get_submodule("between").register_forward_hook(lambda module, bottoms, top: kept.append((top, top.clone())))
    net(torch.randn(2, 4, 6, 5))["b"].sum().backward()
    assert torch.equal(*kept[0])


def test_a_replaced_module_is_called(net_from):
    net = net_from(DATA + maker("Convolution") + RELU % 0)
    net.relu = torch.nn.Identity()
    assert net(torch.randn(2, 4, 6, 5))["b"].min() < 0


RELU_IN_PLACE = 'layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }'
HOOKS = {
    "forward": lambda module, seen: module.register_forward_hook(lambda m, x, y: seen.append((*x, y))),
    "forward_pre": lambda module, seen: module.register_forward_pre_hook(lambda m, x: seen.append(x)),
    "full_backward": lambda module, seen: module.register_full_backward_hook(lambda m, x, y: seen.append((*x, *y))),
    "full_backward_pre": lambda module, seen: module.register_full_backward_pre_hook(lambda m, y: seen.append(y)),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("layer", ["made", "relu"])
def test_modules_with_hooks_do_not_work_in_place(net_from, hook, layer):
    """Full backward hooks make views, which torch does not let change; forward hooks see values that must stay."""
    text = DATA + maker("Convolution") + RELU_IN_PLACE
    x = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    net = net_from(text, phase="TRAIN").double()
    expected = gradients(net, x)
    conv = torch.nn.functional.conv2d(x, net.made.weight, net.made.bias)
    values = {"x": x, "conv": conv, "top": conv.relu(), "diff": torch.arange(conv.numel()).reshape(conv.shape).double()}
    values["masked"] = values["diff"] * (conv > 0)
    seen = []
    HOOKS[hook](net.get_submodule(layer), seen)
    found = gradients(net, x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    names = {
        ("made", "forward"): ("x", "conv"),
        ("made", "forward_pre"): ("x",),
        ("made", "full_backward"): (None, "masked"),
        ("made", "full_backward_pre"): ("masked",),
        ("relu", "forward"): ("conv", "top"),
        ("relu", "forward_pre"): ("conv",),
        ("relu", "full_backward"): ("masked", "diff"),
        ("relu", "full_backward_pre"): ("diff",),
    }[layer, hook]
    for name, tensor in zip(names, seen[0], strict=True):
        assert name is None or torch.equal(tensor, values[name]), name


def test_hooks_of_all_modules_see_values_that_stay(net_from):
    net, seen = net_from(DATA + maker("Convolution") + RELU_IN_PLACE), []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, x, y: seen.append(y))
    try:
        net(torch.randn(2, 4, 6, 5))
    finally:
        handle.remove()
    assert seen[0].min() < 0


NORMALIZED = (
    DATA
    + maker("BatchNorm").replace('"a"', '"n"')
    + maker("Scale").replace('"made"', '"scale"').replace('"data"', '"n"')
    + RELU % 0
)


@pytest.mark.parametrize("layer", ["made", "scale"])
@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_of_fused_layers_are_called(net_from, layer, hook):
    """BatchNorm and Scale are one call, but not for a program that watches one of them."""
    x = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    net = net_from(NORMALIZED, phase="TRAIN").double()
    expected = gradients(net, x)
    seen = []
    HOOKS[hook](net.get_submodule(layer), seen)
    found = gradients(net, x)
    assert len(seen) == 1
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    if (layer, hook) == ("scale", "forward"):
        torch.testing.assert_close(seen[0][1].relu(), found[0])
        assert seen[0][1].min() < 0


def test_a_replaced_scale_is_called(net_from):
    net = net_from(NORMALIZED)
    net.scale = torch.nn.Identity()
    x = torch.randn(2, 4, 6, 5)
    torch.testing.assert_close(net(x)["b"], net.made(x).relu())


@pytest.mark.parametrize("blob", ["W", "b"])
@pytest.mark.parametrize("hook", ["forward", "forward_pre"])
def test_hooks_of_stored_blobs_are_called(tmp_path, blob, hook):
    """Parameters of a net of Caffe2 are read without calling their modules, unless a program watches them."""
    fill = 'op {{ type: "GivenTensorFill" output: "{}" arg {{ name: "shape" {} }} arg {{ name: "values" {} }} }}\n'
    init, predict = tmp_path / "init.pbtxt", tmp_path / "predict.pbtxt"
    w, b = ("ints: [2, 3]", "floats: [1, 2, 3, 4, 5, 6]"), ("ints: 2", "floats: [7, 8]")
    init.write_text(fill.format("W", *w) + fill.format("b", *b))
    predict.write_text('op { type: "FC" input: "X" input: "W" input: "b" output: "Y" }')
    net, x = netc.load(predict, weights=init), torch.ones(1, 3)
    assert net(x)["Y"].tolist() == [[13, 23]]
    seen = []
    HOOKS[hook](net.get_submodule(blob), seen)
    y = net(x)["Y"]
    y.sum().backward()
    assert y.tolist() == [[13, 23]]
    assert len(seen) == 1


def test_a_replaced_stored_blob_is_called(tmp_path):
    init, predict = tmp_path / "init.pbtxt", tmp_path / "predict.pbtxt"
    arguments = 'arg { name: "shape" ints: 1 } arg { name: "values" floats: 2 }'
    init.write_text(f'op {{ type: "GivenTensorFill" output: "W" {arguments} }}')
    predict.write_text('op { type: "Mul" input: "X" input: "W" output: "Y" }')
    net = netc.load(predict, weights=init)

    class Other(torch.nn.Module):
        def forward(self):
            return torch.tensor([5.0])

    net.W = Other()
    assert net(torch.ones(1))["Y"].tolist() == [5]


JOINED = """
    op { type: "Concat" input: "a" input: "b" output: "joined" output: "extents" }
    op { type: "Relu" input: "joined" output: "y" }
    external_output: "y"
"""


def test_tops_that_nothing_uses_are_not_computed():
    net = netc.load(Source("net.pbtxt", JOINED))
    fed = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 1), np.float32)}
    concat = net.module("joined")
    asked: list[int] = []
    run = concat.run
    concat.run = lambda bottoms, count: asked.append(count) or run(bottoms, count)
    assert net.run(fed)["y"].shape == (2, 4)
    assert net.run(fed, ["extents"])["extents"].tolist() == [3, 1]
    assert asked == [1, 2]


def test_a_module_with_hooks_computes_all_tops():
    net = netc.load(Source("net.pbtxt", JOINED))
    seen: list[int] = []
    net.module("joined").register_forward_hook(lambda module, inputs, outputs: seen.append(len(outputs)))
    net.run({"a": np.ones((2, 3), np.float32), "b": np.ones((2, 1), np.float32)})
    assert seen == [2]
