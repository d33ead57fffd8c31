from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.passes.data_to_inputs import data_to_inputs
from netc.runtime.fillers import generator_of
from netc.runtime.lower import lower

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 7 } } }
layer { name: "conv/1" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "side" type: "Sigmoid" bottom: "conv" top: "side" }
"""


def by_hand(net, x):
    conv = torch.nn.functional.conv2d(x, net._modules["conv/1"].weight, net._modules["conv/1"].bias).relu()
    return {"pool": torch.nn.functional.max_pool2d(conv, 2, 2, ceil_mode=True), "side": conv.sigmoid()}


def test_outputs_are_those_of_the_layers(net_from):
    net = net_from(SMALL)
    x = torch.rand(2, 3, 9, 7)
    for given in (net(x), net(data=x)):
        assert list(given) == ["pool", "side"]
        for name, tensor in by_hand(net, x).items():
            torch.testing.assert_close(given[name], tensor)


def test_children_carry_the_layers_names(net_from):
    net = net_from(SMALL)
    assert list(dict(net.named_children())) == ["conv/1", "relu", "pool", "side"]
    assert isinstance(net.get_submodule("conv/1"), torch.nn.Conv2d)
    assert list(net.state_dict()) == ["conv/1.weight", "conv/1.bias"]


def test_input_sizes_may_change(net_from):
    net = net_from(SMALL)
    for shape in ((2, 3, 9, 7), (1, 3, 12, 15), (3, 3, 9, 8)):
        x = torch.rand(shape)
        torch.testing.assert_close(net(x)["pool"], by_hand(net, x)["pool"])


def test_evaluate_runs_only_what_is_requested(net_from):
    net = net_from(SMALL)
    x = torch.rand(2, 3, 9, 7)
    inner = net.evaluate({"data": x}, ["conv"])["conv"]
    torch.testing.assert_close(net.evaluate({"conv": inner}, ["side"])["side"], inner.relu().sigmoid())
    with pytest.raises(NetcError, match="`data` is missing"):
        net.evaluate({"pool": inner}, ["side"])
    with pytest.raises(NetcError, match="no blob `sidee`") as caught:
        net.evaluate({"data": x}, ["sidee"])
    assert caught.value.diagnostics[0].help == "did you mean `side`?"


REWRITTEN = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "double" type: "Power" bottom: "data" top: "a" power_param { scale: 2 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "plus" type: "Power" bottom: "a" top: "a" power_param { shift: 1 } }
layer { name: "triple" type: "Power" bottom: "a" top: "b" power_param { scale: 3 } }
"""


def test_evaluate_feeds_either_version_of_a_rewritten_blob(net_from):
    net, given = net_from(REWRITTEN), torch.tensor([[-4.0, 5.0, 6.0]])
    assert net.evaluate({"a": given}, ["b"])["b"].tolist() == [[3, 18, 21]]
    assert net.evaluate({"a": given}, ["b"], version="first")["b"].tolist() == [[3, 18, 21]]
    last = net.evaluate({"a": given}, ["a", "b"], version="last")
    assert last["b"].tolist() == [[-12, 15, 18]]
    assert torch.equal(last["a"], given)
    assert net.run({"a": given.numpy()}, ["b"], version="last")["b"].tolist() == [[-12, 15, 18]]
    assert net.run({"a": given.numpy()}, ["b"])["b"].tolist() == [[3, 18, 21]]
    assert net.evaluate({"data": given}, ["b"], version="last")["b"].tolist() == [[3, 33, 39]]
    with pytest.raises(NetcError, match="unknown version `newest`: expected `first` or `last`"):
        net.evaluate({"a": given}, ["b"], version="newest")


def test_run_takes_and_returns_arrays(net_from):
    net = net_from(SMALL)
    x = np.random.default_rng(1).random((2, 3, 9, 7), np.float32)
    assert isinstance(net.run(data=x)["side"], np.ndarray)
    np.testing.assert_array_equal(net.run({"data": x}, ["side"])["side"], net.run(data=x)["side"])


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "input `data` is missing"),
        ((1, 2), {}, "expected 1 input .*, got 2"),
        ((1,), {"data": 1}, "repeated input"),
        ((), {"date": 1}, "unknown input `date`"),
    ],
)
def test_wrong_inputs_are_named(net_from, args, kwargs, message):
    with pytest.raises(NetcError, match=message):
        net_from(SMALL)(*args, **kwargs)


def test_a_seed_reproduces_the_weights(net_from):
    one, two, other = net_from(SMALL, seed=3), net_from(SMALL, seed=3), net_from(SMALL, seed=4)
    name = "conv/1.weight"
    assert torch.equal(one.state_dict()[name], two.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_a_copy_has_its_own_weights(net_from):
    net = net_from(SMALL)
    twin = copy.deepcopy(net)
    x = torch.rand(1, 3, 9, 7)
    before = net(x)["side"]
    with torch.no_grad():
        twin.get_submodule("conv/1").weight.zero_()
    assert torch.equal(net(x)["side"], before)
    assert not torch.equal(twin(x)["side"], before)


HOSTILE = [
    'x", print(1)) or getattr(self, "x',
    "forward",
    "a.b",
    "",
    "\\n\\t",
    "__class__",
    "net._modules",
    "%",
    "train",
]


def hostile_net():
    layers = ['layer { name: "data" type: "Input" top: "v0" input_param { shape { dim: 2 dim: 3 } } }']
    blob = "v0"
    for i, name in enumerate(HOSTILE * 2):  # each twice: repeated names as well
        quoted = name.replace("\\", "\\\\").replace('"', '\\"') if "\\n" not in name else name
        top = f"{quoted}{i}"
        layers.append(
            f'layer {{ name: "{quoted}" type: "InnerProduct" bottom: "{blob}" top: "{top}" '
            'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }'
        )
        blob = top
    return "\n".join(layers)


def test_names_from_files_never_become_code(net_from, capsys):
    net = net_from(hostile_net())
    x = torch.rand(2, 3)
    (result,) = net(x).values()
    expected = x
    for child in net.children():
        expected = torch.nn.functional.linear(expected, child.weight, child.bias)
    torch.testing.assert_close(result, expected)
    state = {name: tensor + 1 for name, tensor in net.state_dict().items()}
    net.load_state_dict(state)
    assert torch.equal(next(iter(net.state_dict().values())), next(iter(state.values())))
    torch.compile(net, backend="eager", fullgraph=True)(x)
    torch.export.export(net, (x,))
    assert capsys.readouterr().out == ""


def test_memory_is_freed_after_the_last_use(net_from):
    source = net_from(SMALL)._main.__code__
    import linecache

    text = "".join(linecache.getlines(source.co_filename))
    assert "del v0" in text.splitlines()[3], "the input is not needed after the first layer"


SHARED = """
layer { name: "data" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "one" type: "InnerProduct" bottom: "a" top: "one" param { name: "w" } param { name: "bias" lr_mult: 2 }
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
layer { name: "two" type: "InnerProduct" bottom: "b" top: "two" param { name: "w" lr_mult: 7 } param { name: "bias" }
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
"""


def test_parameters_of_one_name_are_shared(net_from):
    net = net_from(SHARED).double()
    x = torch.rand(2, 5).double()
    out = net(x, x)
    assert torch.equal(out["one"], out["two"])
    assert len(list(net.parameters())) == 2
    blobs = net.blobs
    assert [b.is_owner for b in blobs] == [True, True, False, False]
    assert [b.parameter.lr_mult for b in blobs] == [7, 2, 7, 2], "a rate that one layer gives holds for all"


def test_a_shared_blob_may_have_another_shape_where_the_file_permits_it(net_from):
    net = net_from("""
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }
        layer { name: "one" type: "InnerProduct" bottom: "data" top: "one" param { name: "w" }
                inner_product_param { num_output: 4 bias_term: false weight_filler { type: "gaussian" } } }
        layer { name: "plane" type: "Reshape" bottom: "one" top: "plane"
                reshape_param { shape { dim: 0 dim: 2 dim: 2 dim: 1 } } }
        layer { name: "two" type: "Convolution" bottom: "plane" top: "two"
                param { name: "w" share_mode: PERMISSIVE }
                convolution_param { num_output: 6 bias_term: false kernel_h: 2 kernel_w: 1 } }
    """).double()
    x = torch.rand(2, 6).double()
    weight = net.one.weight
    assert [blob.shape for blob in net.blobs] == [(4, 6), (6, 2, 2, 1)]
    two = net(x)["two"]
    torch.testing.assert_close(two.flatten(1), x @ weight.t() @ weight.reshape(6, 4).t())
    two.square().sum().backward()
    assert list(net.parameters()) == [weight]
    copy = weight.detach().clone().requires_grad_()
    (x @ copy.t() @ copy.reshape(6, 4).t()).square().sum().backward()
    torch.testing.assert_close(weight.grad, copy.grad)


def test_weights_from_a_file_stay_shared(graph_from):
    """The siamese nets that Caffe's users fine-tune: what one branch learns the other must see."""
    for unfilled in (["one", "two"], ["one"], ["two"], []):
        net = lower(graph_from(SHARED), unfilled=unfilled)
        assert net.one.weight is net.two.weight
        assert len(list(net.parameters())) == 2


PHASES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" include { phase: TRAIN }
        batch_norm_param { use_global_stats: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" include { phase: TEST }
        batch_norm_param { use_global_stats: true } }
layer { name: "scale" type: "Scale" bottom: "bn" top: "scale" scale_param { bias_term: true } }
"""


def test_a_test_net_uses_the_train_nets_weights(graph_from):
    train = lower(data_to_inputs(graph_from(PHASES, "TRAIN")), generator_of(1))
    test = lower(data_to_inputs(graph_from(PHASES, "TEST")), generator_of(2), share=train)
    assert test.conv is train.conv
    train.double()
    x = torch.rand(4, 3, 5, 6).double()
    train(x)
    bn = train.bn
    assert bn.scale_factor.item() == 1
    conv = train.conv(x)
    torch.testing.assert_close(bn.mean, conv.mean((0, 2, 3)))
    spread = (conv.var((0, 2, 3)) + 1e-5).sqrt()
    expected = (conv - bn.mean[:, None, None]) / spread[:, None, None]
    torch.testing.assert_close(test(x)["scale"], expected)


def test_batch_norm_and_scale_are_one_call(net_from, monkeypatch):
    net = net_from(PHASES, phase="TRAIN")
    calls = []
    original = torch.batch_norm
    monkeypatch.setattr(torch, "batch_norm", lambda *a, **k: calls.append(a) or original(*a, **k))
    x = torch.rand(4, 3, 5, 6)
    with torch.no_grad():
        net.scale.weight.copy_(torch.tensor([2.0, -3.0]))
        net.scale.bias.copy_(torch.tensor([0.5, 1.0]))
    scaled = []
    forward = net.scale.forward
    net.scale.forward = lambda x: (scaled.append(x), forward(x))[1]  # not a hook, which prevents the fusion
    fused = net(x)["scale"]
    assert len(calls) == 1
    assert not scaled
    parts = net.evaluate({"data": x}, ["bn", "scale"])
    torch.testing.assert_close(parts["scale"], fused)
    torch.testing.assert_close(parts["bn"] * net.scale.weight[:, None, None] + net.scale.bias[:, None, None], fused)


UNNAMED = """
layer { name: "data" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "one" type: "InnerProduct" bottom: "a" top: "one" inner_product_param { num_output: 5
        weight_filler { type: "xavier" } } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" propagate_down: false
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "two" bottom: "b" }
"""


def test_propagate_down_false_stops_the_gradient(net_from):
    net = net_from(UNNAMED)
    ((loss, weight),) = net.graph.losses
    (value,) = net.program(net.graph.inputs, [loss])(net, torch.rand(2, 5), torch.rand(2, 5))
    (value * weight).backward()
    assert net.two.weight.grad.abs().sum() > 0
    assert net.one.weight.grad is None


def test_a_loss_without_a_name_is_not_an_output(net_from):
    assert net_from(UNNAMED).outputs == ()


SHARED_ACROSS = """
layer { name: "data" type: "Input" top: "a" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "one" type: "InnerProduct" bottom: "a" top: "one" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "two" type: "InnerProduct" bottom: "a" top: "two" param { name: "w" } include { phase: TEST }
        inner_product_param { num_output: 3 } }
"""


def test_a_layer_of_the_test_net_alone_may_share_with_the_train_net(graph_from):
    train = lower(data_to_inputs(graph_from(SHARED_ACROSS, "TRAIN")), generator_of(1))
    test = lower(data_to_inputs(graph_from(SHARED_ACROSS, "TEST")), generator_of(2), share=train)
    assert test.two.weight is train.one.weight


def test_arrays_of_parameters_replace_fillers(graph_from):
    graph = data_to_inputs(graph_from(SMALL))
    weight = np.arange(4 * 3 * 3 * 3, dtype=np.float32).reshape(4, 3, 3, 3)
    entries = graph.parameters | {"conv/1.weight": replace(graph.parameters["conv/1.weight"], array=weight)}
    net = lower(graph.replace(parameters=entries), generator_of(3))
    plain = lower(graph, generator_of(3))
    np.testing.assert_array_equal(net.state_dict()["conv/1.weight"].numpy(), weight)
    assert torch.equal(net.state_dict()["conv/1.bias"], plain.state_dict()["conv/1.bias"])
    assert net.graph.parameters["conv/1.weight"].array is None, "the module holds the values from here on"
    weight[:] = 0
    assert net.state_dict()["conv/1.weight"].any(), "the net has memory of its own"
