"""A blob with three readers of every kind in every order, and partial passes over it."""

from itertools import product

import numpy as np
import pytest
import torch

from tests.runtime.test_node_executor import executor_of, fill, inputs_of

HEAD = """
force_backward: {force}
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 3 }} }} }}
layer {{ name: "t" type: "Input" top: "t" input_param {{ shape {{ dim: 4 dim: 5 }} }} }}
layer {{ name: "y" type: "Input" top: "y" input_param {{ shape {{ dim: 4 }} }} }}
layer {{ name: "c" type: "InnerProduct" bottom: "x" top: "c" {weight}
        inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
"""
LEARNED = 'type: "InnerProduct" top: "{i}" inner_product_param { num_output: 2 weight_filler { type: "xavier" } }'
KINDS = {
    "learned": f'bottom: "c" {LEARNED}',
    "silence": 'bottom: "c" type: "Silence"',
    "hdf5": 'bottom: "c" bottom: "y" type: "HDF5Output" hdf5_output_param { file_name: "{i}.h5" }',
    "accuracy": 'bottom: "c" bottom: "y" type: "Accuracy" top: "{i}"',
    "stopped": f'bottom: "c" propagate_down: false {LEARNED}',
    "twice": 'bottom: "c" bottom: "c" type: "Eltwise" top: "{i}" eltwise_param { operation: PROD }',
    "in place": 'bottom: "c" top: "c" type: "ReLU" relu_param { negative_slope: 0.3 }',
    "loss": 'bottom: "c" bottom: "t" type: "EuclideanLoss" top: "{i}"',
}
SQUARED = ("learned", "stopped", "twice")
"""Kinds whose top needs a loss after it."""


def net_text(kinds, force=False, weight=0.0):
    """The net: blob `c`, its readers `r0`, `r1`, ..., and the losses after them."""
    lines = [HEAD.format(force=str(force).lower(), weight=f"loss_weight: {weight}" if weight else "")]
    names = [f"r{i}" for i in range(len(kinds))]
    lines += [f'layer {{ name: "{name}" {KINDS[kind].replace("{i}", name)} }}' for name, kind in zip(names, kinds)]
    squared = [name for name, kind in zip(names, kinds) if kind in SQUARED] + ["c"] * ("in place" in kinds)
    lines += [
        f'layer {{ name: "{name} squared" type: "Power" bottom: "{name}" top: "{name} squared" loss_weight: 0.25 '
        f"power_param {{ power: 2 }} }}"
        for name in squared
    ]
    return "\n".join(lines)


def split_text(kinds, force=False):
    """The same net with a Split layer between `c` and its readers, one top a use."""
    readers, tops = [], []
    for i, kind in enumerate(kinds):
        reader = KINDS[kind].replace("{i}", f"r{i}")
        while 'bottom: "c"' in reader:
            tops.append(f"c{len(tops)}")
            reader = reader.replace('bottom: "c"', f'bottom: "{tops[-1]}"', 1)
        readers.append(reader)
    text = net_text(kinds, force)
    for i, (kind, reader) in enumerate(zip(kinds, readers)):
        text = text.replace(KINDS[kind].replace("{i}", f"r{i}"), reader, 1) if 'bottom: "c"' in KINDS[kind] else text
    split = " ".join(['layer { name: "split" type: "Split" bottom: "c"', *(f'top: "{top}"' for top in tops), "}"])
    return text.replace('layer { name: "r0"', f'{split}\nlayer {{ name: "r0"', 1)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def gradients_by_autograd(net, given):
    """Of all weights, of `x`, and of `c` before any in-place layer, from the straight-line code."""
    losses = [name for name, _ in net.graph.losses]
    weights = dict(net.graph.losses)
    inputs = {**given, "x": (x := given["x"].clone().requires_grad_())}
    c = net.program(tuple(inputs), ("c",))(net, *inputs.values())[0].detach().requires_grad_()

    def slopes(total, wanted):
        if not total.requires_grad:
            return [torch.zeros_like(tensor) for tensor in wanted]
        found = torch.autograd.grad(total, wanted, allow_unused=True)
        return [torch.zeros_like(tensor) if g is None else g for tensor, g in zip(wanted, found)]

    def total(feeds):
        later = [name for name in losses if name not in feeds]
        results = dict(zip(later, net.program(tuple(feeds), tuple(later))(net, *feeds.values())))
        return sum(weights[name] * ({**feeds, **results}[name]).sum() for name in losses) if losses else torch.zeros(())

    parameters = dict(net.named_parameters())
    of_x, *of_weights = slopes(total(inputs), [x, *parameters.values()])
    return dict(zip(parameters, of_weights)), of_x, slopes(total({**inputs, "c": c}), [c])[0]


def check(net_from, kinds, force, weight, passes):
    net = net_from(net_text(kinds, force, weight)).double()
    given = inputs_of(net)
    of_weights, of_x, of_c = gradients_by_autograd(net, given)
    executor = executor_of(net)
    fill(executor, given)
    for _ in range(passes):
        executor.clear_gradients()
        executor.forward()
        executor.backward()
        for name, parameter in net.named_parameters():
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(found, of_weights[name], msg=lambda text, name=name: f"{name}: {text}")
        torch.testing.assert_close(executor.memory["c"].diff, of_c)
        if force:
            torch.testing.assert_close(executor.memory["x"].diff, of_x)


@pytest.mark.parametrize("kinds", list(product(KINDS, repeat=3)), ids=" ".join)
@pytest.mark.parametrize("force", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "forced"])
def test_the_gradient_of_a_blob_is_the_sum_over_its_readers(net_from, kinds, force):
    check(net_from, kinds, force, weight=0, passes=1)


@pytest.mark.parametrize("kinds", list(product(KINDS, repeat=2)), ids=" ".join)
@pytest.mark.parametrize("force", [False, True], ids=["", "forced"])
def test_a_blob_that_is_also_a_loss_adds_its_weight(net_from, kinds, force):
    check(net_from, kinds, force, weight=0.7, passes=2)


@pytest.mark.parametrize("kinds", list(product(KINDS, repeat=3)), ids=" ".join)
def test_a_net_with_a_split_layer_in_its_file_is_not_changed(net_from, kinds):
    """Partial passes over the net are those over the net with the Split layer written out."""
    if "in place" in kinds:
        return
    net, explicit = (net_from(text(kinds, force=True)).double() for text in (net_text, split_text))
    explicit.load_state_dict(net.state_dict())
    executor, reference = executor_of(net), executor_of(explicit)
    assert [(node.layer.type, len(node.tops)) for node in executor.graph.nodes] == [
        (node.layer.type, len(node.tops)) for node in reference.graph.nodes
    ]
    for each in (executor, reference):
        fill(each, inputs_of(net))
        each.forward()
    random = np.random.default_rng(3)
    for _ in range(6):
        end, start = sorted(random.integers(0, len(executor.graph.nodes), 2).tolist())
        executor.backward(start, end)
        reference.backward(start, end)
        for (name, mine), (other, theirs) in zip(executor.memory.items(), reference.memory.items()):
            torch.testing.assert_close(mine.diff, theirs.diff, msg=lambda text, name=name: f"{name}: {text}")
            assert other == name or (name.startswith("c_c_0_split_") and other.startswith("c"))
        for mine, theirs in zip(net.parameters(), explicit.parameters()):
            assert (mine.grad is None) == (theirs.grad is None)
            assert mine.grad is None or torch.equal(mine.grad, theirs.grad)
        if random.random() < 0.3:
            values = torch.from_numpy(random.normal(size=(4, 5)))
            for each in (executor, reference):
                each.memory["c"].write_diff(values)


def test_a_scale_that_stops_the_gradient_is_not_computed_with_its_batch_norm(net_from):
    text = (
        HEAD.format(force="false", weight="")
        + """
    layer { name: "b" type: "BatchNorm" bottom: "c" top: "b" }
    layer { name: "s" type: "Scale" bottom: "b" top: "s" propagate_down: false }
    layer { name: "l" type: "EuclideanLoss" bottom: "s" bottom: "t" top: "l" }
    """
    )
    net = net_from(text, phase="TRAIN").double()
    given = inputs_of(net)
    of_weights, _, _ = gradients_by_autograd(net, given)
    assert not of_weights["c.weight"].any()
    assert of_weights["s.weight"].any()
