import pytest
import torch

from netc.diagnostics import NetcError
from netc.passes.insert_splits import insert_splits
from netc.runtime.node_executor import NodeExecutor

FANOUT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 dim: 5 dim: 4 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 3 dim: 7 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" relu_param { negative_slope: 0.1 } }
layer { name: "d" type: "Convolution" bottom: "c" top: "d"
        convolution_param { num_output: 6 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "s" type: "Eltwise" bottom: "c" bottom: "d" bottom: "c" top: "s"
        eltwise_param { coeff: 1 coeff: -2 coeff: 3 } }
layer { name: "f" type: "InnerProduct" bottom: "s" top: "f"
        inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "l" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "l" loss_weight: 0.5 }
layer { name: "p" type: "Power" bottom: "l" top: "p" power_param { power: 2 } loss_weight: 3 }
layer { name: "n" type: "Reduction" bottom: "c" top: "n" reduction_param { operation: SUMSQ } loss_weight: 0.25 }
"""
NORMALISED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 6 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 4 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "msra" } bias_term: false } }
layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true filler { value: 1.5 } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "f" type: "InnerProduct" bottom: "p" top: "f"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "f" bottom: "y" top: "l" }
"""
SHARED = """
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 4 } } }
layer { name: "f" type: "InnerProduct" bottom: "a" top: "f" param { name: "w" } param { name: "v" }
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
layer { name: "g" type: "InnerProduct" bottom: "b" top: "g" param { name: "w" } param { name: "v" }
        inner_product_param { num_output: 5 } }
layer { name: "l" type: "ContrastiveLoss" bottom: "f" bottom: "g" bottom: "s" top: "l"
        contrastive_loss_param { margin: 4 } }
"""


def inputs_of(net, seed=3, scale=1):
    generator = torch.Generator().manual_seed(seed)
    given = {}
    for value in net.graph.inputs:
        shape = (net.graph.shape(value)[0] * scale, *net.graph.shape(value)[1:])
        labels = len(shape) == 1
        draw = torch.randint(0, 2, shape, generator=generator) if labels else torch.randn(shape, generator=generator)
        given[value] = draw.double()
    return given


def fill(executor, given):
    for name, tensor in given.items():
        executor.memory[name].write(tensor)


def executor_of(net):
    return NodeExecutor(net, insert_splits(net.graph))


def double(net_from, text, phase="TEST"):
    net = net_from(text, phase=phase).double()
    return net, executor_of(net)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("text", [FANOUT, NORMALISED, SHARED], ids=["fanout", "normalised", "shared"])
@pytest.mark.parametrize("scale", [1, 2])
def test_both_executors_agree(net_from, text, phase, scale):
    net, executor = double(net_from, text, phase)
    start = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    given = inputs_of(net, scale=scale)
    blobs = [name for name in net.graph.blobs if name not in given]
    values = net.train(phase == "TRAIN").evaluate(given, [*blobs, *net.outputs])
    expected = sum(weight * values[net.graph.values[name].blob].sum() for name, weight in net.graph.losses)
    parameters = dict(net.named_parameters())
    gradients = dict(zip(parameters, torch.autograd.grad(expected, list(parameters.values()))))
    after = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    net.load_state_dict(start)
    fill(executor, given)
    loss = executor.forward()
    executor.backward()
    torch.testing.assert_close(loss, expected.detach())
    for name in blobs:
        torch.testing.assert_close(executor.memory[name].data, values[name].detach())
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, gradients[name])
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, after[name])


def test_the_gradient_of_a_value_with_several_readers_is_their_sum(net_from):
    net, executor = double(net_from, FANOUT)
    given = inputs_of(net)
    fill(executor, given)
    executor.forward()
    executor.backward(end=executor.index("c_r_0_split"))
    # c is read by d, twice by s, and by n.
    after_relu = net.evaluate(given, ["c"])["c"].detach().requires_grad_()
    losses = net.program(("c.1", *given), ("l", "p", "n"))(net, after_relu, *given.values())
    loss = sum(weight * value for weight, value in zip((0.5, 3, 0.25), losses))
    torch.testing.assert_close(executor.memory["c"].diff, torch.autograd.grad(loss, after_relu)[0])


def test_stops_between_an_in_place_layer_and_the_one_before(net_from):
    net, executor = double(net_from, FANOUT)
    fill(executor, inputs_of(net))
    executor.forward(end=executor.index("c"))
    before = executor.memory["c"].data.clone()
    assert (before < 0).any()
    executor.forward(start=executor.index("r"))
    torch.testing.assert_close(executor.memory["c"].data, torch.where(before < 0, before * 0.1, before))
    executor.backward(end=executor.index("c_r_0_split"))
    after = executor.memory["c"].diff.clone()
    executor.backward(start=executor.index("r"))
    torch.testing.assert_close(executor.memory["c"].diff, torch.where(before < 0, after * 0.1, after))


def test_changes_between_two_nodes_take_effect(net_from):
    net, executor = double(net_from, FANOUT)
    fill(executor, inputs_of(net))
    executor.forward()
    executor.memory["f"].data.copy_(executor.memory["t"].data)
    loss = executor.forward(start=executor.index("l"))
    n = executor.memory["n"].data
    torch.testing.assert_close(loss, 0.25 * n)


def test_gradients_of_weights_accumulate_until_they_are_cleared(net_from):
    net, executor = double(net_from, FANOUT)
    fill(executor, inputs_of(net))
    executor.forward()
    executor.backward()
    weight = net.module("d").weight
    once = weight.grad.clone()
    assert once.abs().max() > 0
    executor.backward()
    torch.testing.assert_close(weight.grad, 2 * once)
    executor.clear_gradients()
    assert not weight.grad.any()
    executor.forward()
    executor.backward()
    torch.testing.assert_close(weight.grad, once)


def test_a_diff_that_the_user_sets_is_where_a_backward_pass_starts(net_from):
    net, executor = double(net_from, FANOUT)
    fill(executor, inputs_of(net))
    executor.forward()
    given = torch.randn(3, 7, generator=torch.Generator().manual_seed(5)).double()
    executor.memory["f"].write_diff(given)
    executor.backward(start=executor.index("f"), end=executor.index("f"))
    s = executor.memory["s"].data
    torch.testing.assert_close(net.module("f").weight.grad, given.T @ s.flatten(1))


def test_losses_have_their_weight_as_diff_at_every_size(net_from):
    net, executor = double(net_from, FANOUT)
    assert executor.memory["n"].diff.item() == 0.25
    assert executor.memory["p"].diff.item() == 3
    assert executor.memory["l_l_0_split_0"].weight == 0.5
    fill(executor, inputs_of(net, scale=3))
    executor.forward()
    executor.backward()
    # What l gets from p, (3 p')(l) = 6 l, comes to its own weight.
    expected = 0.5 + 6 * executor.memory["l"].data
    torch.testing.assert_close(executor.memory["l"].diff, expected)


def test_weights_that_do_not_learn_get_no_gradient(net_from):
    text = NORMALISED.replace('top: "f"\n', 'top: "f" param { lr_mult: 0 }\n')
    net, executor = double(net_from, text, "TRAIN")
    fill(executor, inputs_of(net))
    executor.forward()
    executor.backward()
    assert net.module("f").weight.grad is None
    assert net.module("f").bias.grad.any()
    assert net.module("c").weight.grad.any()


def test_a_graph_without_splits_is_rejected(net_from):
    net = net_from(FANOUT)
    with pytest.raises(ValueError, match=r"no Split layer after c\.1, l"):
        NodeExecutor(net, net.graph)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("text", [FANOUT, NORMALISED], ids=["fanout", "normalised"])
def test_a_node_that_has_not_run_forward_runs_backward_on_the_blobs_as_they_are(net_from, text, phase):
    net, executor = double(net_from, text, phase)
    given = inputs_of(net)
    fill(executor, given)
    executor.forward()
    executor.backward()
    expected = {name: p.grad.clone() for name, p in net.named_parameters()}
    fresh = executor_of(net)
    for name, memory in executor.memory.items():
        fresh.memory[name].data.copy_(memory.data)
    executor.clear_gradients()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    if text is NORMALISED:  # what its in-place layers have read is overwritten: from the last of them on
        fresh.backward(end=fresh.index("p"))
        expected = {name: gradient for name, gradient in expected.items() if name.startswith("f.")}
    else:
        fresh.backward(end=fresh.index("c_r_0_split"))
        expected = {name: gradient for name, gradient in expected.items() if not name.startswith("c.")}
    for name, gradient in expected.items():
        torch.testing.assert_close(dict(net.named_parameters())[name].grad, gradient)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, before[name])
    for name, memory in executor.memory.items():
        torch.testing.assert_close(fresh.memory[name].data, memory.data)


def test_statistics_do_not_change_in_a_backward_pass_before_forward(net_from):
    net, executor = double(net_from, NORMALISED, "TRAIN")
    fill(executor, inputs_of(net))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    executor.backward()
    assert net.module("c").weight.grad is not None
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


def test_an_unknown_layer_is_an_error(net_from):
    _, executor = double(net_from, FANOUT)
    with pytest.raises(NetcError, match="no layer `conv9`"):
        executor.index("conv9")


def test_callbacks_see_each_node_in_order(net_from):
    net, executor = double(net_from, SHARED)
    seen = []
    for direction in ("forward", "backward"):
        executor.before[direction].append(lambda index, d=direction: seen.append((d, "before", index)))
        executor.after[direction].append(lambda index, d=direction: seen.append((d, "after", index)))
    fill(executor, inputs_of(net))
    executor.forward(end=0)
    executor.forward(start=1)
    executor.backward()
    assert seen == [
        *((("forward", when, index)) for index in range(len(net.graph.nodes)) for when in ("before", "after")),
        *((("backward", when, index)) for index in (2, 1, 0) for when in ("before", "after")),
    ]


def test_shared_weights_are_one_memory_and_keep_their_own_gradients(net_from):
    one, first = double(net_from, NORMALISED)
    other, second = double(net_from, NORMALISED.replace('name: "f"', 'name: "other"'))
    second.share(first)
    assert other.module("c").weight.data_ptr() == one.module("c").weight.data_ptr()
    mine, theirs = ({(b.layer, b.index): b.tensor.data_ptr() for b in net.blobs} for net in (other, one))
    assert [place for place in mine if mine[place] == theirs.get(place)] == [
        *[("c", 0), ("b", 0), ("b", 1), ("b", 2), ("s", 0), ("s", 1)]
    ]
    assert other.module("other").weight.data_ptr() != one.module("f").weight.data_ptr()
    fill(second, inputs_of(other))
    second.forward()
    second.backward()
    assert other.module("c").weight.grad.any()
    assert one.module("c").weight.grad is None


def test_sharing_with_a_net_of_other_weights_is_an_error(net_from):
    _, first = double(net_from, NORMALISED)
    _, second = double(net_from, NORMALISED.replace("num_output: 5", "num_output: 6"))
    with pytest.raises(NetcError, match="`f` has weights of other shapes in the other net"):
        second.share(first)


def test_the_mode_of_a_pass_is_that_of_the_phase(net_from):
    net, executor = double(net_from, NORMALISED, "TRAIN")
    net.eval()
    fill(executor, inputs_of(net))
    executor.forward()
    assert net.module("b").training


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_batch_sizes_change_from_pass_to_pass(net_from, phase):
    net, executor = double(net_from, NORMALISED, phase)
    for scale in (1, 3, 2):
        fill(executor, inputs_of(net, scale=scale))
        executor.forward()
        executor.backward()
        assert executor.memory["c"].diff.shape == executor.memory["c"].data.shape == (4 * scale, 8, 3, 4)


def test_a_blob_that_no_program_reads_is_not_copied(net_from):
    net, executor = double(net_from, NORMALISED)
    given = inputs_of(net)
    fill(executor, given)
    tops = {}
    net.module("f").register_forward_hook(lambda module, bottoms, top: tops.update(f=top))
    executor.forward()
    assert executor.memory["f"].values.tensor.data_ptr() == tops["f"].data_ptr()
    held = executor.memory["f"].data
    assert held.data_ptr() != tops["f"].data_ptr()
    executor.memory["x"].data.mul_(2)
    executor.forward()
    assert executor.memory["f"].data is held
    torch.testing.assert_close(held, tops["f"].detach())


@pytest.mark.parametrize("held", [(), ("c",), ("s", "d"), ("x", "c", "d", "s", "f", "l", "p", "n")])
def test_reading_blobs_does_not_change_results(net_from, held):
    net, executor = double(net_from, FANOUT)
    looked, looking = double(net_from, FANOUT)
    for name in held:
        assert looking.memory[name].data.shape == looking.memory[name].diff.shape
    for one in (executor, looking):
        for seed in (1, 2):
            fill(one, inputs_of(one.net, seed))
            one.forward()
            one.backward()
    for name in ("c", "d", "s", "f", "l"):
        torch.testing.assert_close(executor.memory[name].data, looking.memory[name].data)
        torch.testing.assert_close(executor.memory[name].diff, looking.memory[name].diff)
    for mine, theirs in zip(net.parameters(), looked.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_layers_in_place_run_in_the_memory_of_their_blob_unless_a_hook_sees_it(net_from):
    text = NORMALISED.replace('layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" }\n', "")
    text = (
        text[: text.index('layer { name: "s"')]
        + text[text.index('layer { name: "r"') : text.index('layer { name: "l"')]
    )
    net, executor = double(net_from, text)
    given = inputs_of(net)
    fill(executor, given)
    executor.forward(end=executor.index("c"))
    before = executor.memory["c"].values.tensor
    copy = before.clone()
    assert (before < 0).any()
    executor.forward(start=executor.index("r"))
    assert executor.memory["c"].values.tensor is before
    torch.testing.assert_close(before, copy.clamp(min=0))
    seen = []
    net.module("c").register_forward_hook(lambda module, bottoms, top: seen.append(top))
    executor.forward()
    torch.testing.assert_close(seen[0], copy)
    torch.testing.assert_close(executor.memory["c"].data, copy.clamp(min=0))
