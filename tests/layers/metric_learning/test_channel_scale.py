import numpy as np
import pytest
import torch

from netc.layers.metric_learning.channel_scale import ChannelScale
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of

BOTH = ((2, 3, 4, 5), (2, 1, 4, 5)), ((4, 3), (4,))
CASES = [
    Case(ChannelScale(), *BOTH, source=Source()),
    Case(ChannelScale(do_backward_scale=False), *BOTH, held=(1,), source=Source()),
    Case(ChannelScale(do_backward_feature=False), *BOTH, source=Source(own_gradient="of the bottom, not multiplied")),
    Case(
        ChannelScale(do_forward=False),
        *BOTH,
        source=Source(own_gradient="of the product, whose factor is left out", rounded=(1,)),
    ),
    Case(
        ChannelScale(global_scale=True, max_global_scale=-0.5, min_global_scale=-2.0),
        *BOTH,
        tops=2,
        source=Source(own_gradient="by each position's own number", rounded=(1,)),
    ),
]


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("feature", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_values_and_gradients(forward, feature, scale, shared):
    x, s, top = (
        values(2, 3, 4, 5).requires_grad_(),
        values(2, 4, 5, seed=8).requires_grad_(),
        values(2, 3, 4, 5, seed=2),
    )
    module = module_of(ChannelScale(forward, feature, scale, shared), (x.shape, s.shape)).double().eval()
    y = module(x, s)
    y.backward(top)
    data, numbers, dy = x.detach().numpy(), s.detach().numpy()[:, None], top.numpy()
    factor = module.average.item() if shared else numbers
    np.testing.assert_allclose(y.detach(), data * factor if forward else data)
    np.testing.assert_allclose(x.grad, dy * numbers if feature else dy)
    if scale:
        np.testing.assert_allclose(s.grad, (data * dy).sum(1))
    else:
        assert s.grad is None


def test_average():
    layer = ChannelScale(global_scale=True, min_global_scale=2.0, max_global_scale=3.0)
    module = module_of(layer, ((2, 3), (2,)), 2).train()
    module.average.data.fill_(-1)
    x = torch.ones(2, 3)
    found = [
        module(x, torch.tensor([a, -b]))[1].item() for a, b in ((2.0, 3.0), (2.0, 1.0), (100.0, 200.0), (0.0, 0.0))
    ]
    assert found == pytest.approx([2.5, 0.99 * 2.5 + 0.015, 3, 0.99 * 3])
    top, average = module.eval()(x, torch.tensor([9.0, 9.0]))
    assert average.item() == pytest.approx(2.97)
    assert top.tolist() == [[pytest.approx(2.97)] * 3] * 2


def test_the_average_has_no_learning_rate(graph_from):
    graph = graph_from(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }'
        'layer { name: "s" type: "ChannelScale" bottom: "x" bottom: "y" top: "s" '
        "channel_scale_param { global_scale: true } param { lr_mult: 1 } }"
    )
    (parameter,) = graph.parameters.values()
    assert (parameter.lr_mult, parameter.decay_mult) == (0, 0)


def test_files_and_shapes():
    layer = round_trip("ChannelScale", global_scale=True, min_global_scale=1.0)
    assert layer == ChannelScale(global_scale=True, min_global_scale=1.0)
    assert not ChannelScale().weights(((2, 3), (2,)))
    assert ChannelScale().cost(((2, 3), (2,)), ()).operations == 6
    with raises("E102", r"\[3\] does not have one number for each position of \[2,3\]"):
        layer.infer(((2, 3), (3,)), 1)
    with raises("E102", "at least 2 axes"):
        layer.infer(((2,), (2,)), 1)
    with raises("E101", "second top"):
        ChannelScale().infer(((2, 3), (2,)), 2)
    with raises("E103", "`min_global_scale` 2 is above"):
        layer_of("ChannelScale", {"channel_scale_param": {"min_global_scale": 2.0, "max_global_scale": 1.0}})
