"""L1Loss of FlowNet2 and DetectNet, and LpqLoss, compared with transcriptions of FlowNet2's kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc import diagnostics
from netc.layers.optical_flow.l1_loss import DetectNetL1Loss, L1Loss, LpqLoss
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_from, layer_of, module_of, run

SHAPES = ((2, 3, 4, 5),) * 2, ((1, 2, 6, 3),) * 2
AT_ZERO = Source(own_gradient="that of the negative side where both bottoms are equal")
CASES = [
    Case(L1Loss(), *SHAPES, source=AT_ZERO),
    Case(L1Loss(True, True, True, plateau=0.3), *SHAPES, source=Source()),
    Case(L1Loss(), ((2, 3, 4, 5),), ((1, 2, 6, 3),), source=Source()),
    Case(DetectNetL1Loss(), *SHAPES, source=Source()),
    Case(LpqLoss(True, True, 0.1, p=(1.5,), q=(0.7,)), *SHAPES, source=AT_ZERO),
]
REQUIRED = {"LpqLoss": "p: 2 q: 1"}
WHOLE = {
    "lpq_loss_param.pq_episode_starts_at_iter": {
        "lpq_loss_param": {"p": [2.0], "q": [1.0], "pq_episode_starts_at_iter": [0]}
    }
}


def both(layer, one, other):
    """The loss and the gradient of the first bottom; the second has the opposite one."""
    given = one.clone().requires_grad_(), other.clone().requires_grad_()
    loss = module_of(layer, (tuple(one.shape),) * 2).double()(*given)
    first, second = torch.autograd.grad(loss, given)
    np.testing.assert_array_equal(first.numpy(), -second.numpy())
    return loss.item(), first.numpy()


def l1(layer, d):
    mask = ~np.isnan(d)
    divisor = mask.sum() / d.shape[1] if layer.normalize_by_num_entries else len(d)
    if not layer.l2_per_location:
        mask &= ~(np.abs(d) < layer.plateau)
        d = np.where(mask, d, 0)
        sign = np.where(d > 0, 1, -1)
        return (d * sign).sum() / divisor, sign * mask / divisor
    d = np.where(mask, d, 0)
    scale = 1 / d.shape[1] if layer.l2_prescale_by_channels else 1
    total = (d**2).sum(1, keepdims=True) * scale
    above = ~(np.abs(total) < layer.plateau**2) if layer.plateau > 0 else np.ones_like(total)
    total = total * above + layer.epsilon
    slope = layer.power * total ** (layer.power - 1) / divisor
    return (total**layer.power).sum() / divisor, slope * above * scale * 2 * d * mask


def lpq(layer, d, p, q):
    mask = ~np.isnan(d)
    divisor = mask.sum() / d.shape[1] if layer.normalize_by_num_entries else len(d)
    d = np.where(mask, d, 0)
    sign = np.where(d > 0, 1, -1)
    scale = 1 / d.shape[1] if layer.l2_prescale_by_channels else 1
    base = d * sign + layer.p_epsilon
    total = (base**p).sum(1, keepdims=True) * scale + layer.q_epsilon
    slope = q * total ** (q - 1) / divisor * scale * p * base ** (p - 1)
    return (total**q).sum() / divisor, slope * sign * mask


def inputs():
    one, other = values(3, 2, 4, 5), values(3, 2, 4, 5, seed=4)
    other[0, 0, :2] = other[1, 1, 3, 3] = float("nan")
    one[2, 0, 1, 1] = other[2, 0, 1, 1]
    return one, other


@pytest.mark.parametrize("by_entries", [False, True])
@pytest.mark.parametrize("plateau", [0.0, 0.7])
@pytest.mark.parametrize(("by_location", "prescale"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("power", [0.5, 0.4])
def test_flownets(by_location, prescale, by_entries, plateau, power):
    layer = L1Loss(by_location, prescale, by_entries, 0.02, plateau, power)
    one, other = inputs()
    loss, gradient = both(layer, one, other)
    wanted, slope = l1(layer, (one - other).numpy())
    np.testing.assert_allclose(loss, wanted, rtol=1e-10)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-14)


def test_one_bottom():
    d = values(3, 2, 4, 5)
    np.testing.assert_allclose(run(L1Loss(), d)[0], np.abs(d.numpy()).sum() / 3, rtol=1e-12)


@pytest.mark.parametrize("prescale", [False, True])
@pytest.mark.parametrize("by_entries", [False, True])
def test_lpq(prescale, by_entries):
    layer = LpqLoss(prescale, by_entries, 0.1, 0.02, (1.5,), (0.4,))
    one, other = inputs()
    loss, gradient = both(layer, one, other)
    wanted, slope = lpq(layer, (one - other).numpy(), 1.5, 0.4)
    np.testing.assert_allclose(loss, wanted, rtol=1e-10)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-14)


def test_the_schedule_of_lpq():
    layer = LpqLoss(p_epsilon=0.1, p=(2.0, 1.5, 1.0), q=(1.0, 0.6, 0.5), pq_episode_starts_at_iter=(0, 2, 3))
    one, other = inputs()
    module = module_of(layer, (tuple(one.shape),) * 2).double().train()
    for p, q in ((2, 1), (2, 1), (1.5, 0.6), (1, 0.5), (1, 0.5)):
        expected = lpq(layer, (one - other).numpy(), p, q)[0]
        np.testing.assert_allclose(module(one, other).item(), expected, rtol=1e-10)
    assert layer.carries_state
    np.testing.assert_allclose(module.eval()(one, other).item(), expected, rtol=1e-10)


def test_errors():
    with raises("E101", "have 0, 2 and 2 values"):
        layer_from("LpqLoss", p=[1.0, 2.0], q=[1.0, 2.0])
    with raises("E103", "must start at 0 and increase"):
        layer_from("LpqLoss", p=[1.0, 2.0], q=[1.0, 2.0], pq_episode_starts_at_iter=[1, 2])
    with raises("E102", "differ at axis 2"):
        L1Loss().infer(((1, 2, 3, 4), (1, 2, 4, 4)), 1)
    with raises("E102", "6 elements per item"):
        DetectNetL1Loss().infer(((1, 2, 3), (1, 4)), 1)


def test_parameters():
    round_trip("LpqLoss", p=[1.0], q=[2.0], p_epsilon=0.5)
    assert layer_of("L1Loss", {"l1_loss_param": {"plateau": 0.5}}) == L1Loss(plateau=0.5)


NET = """
layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "loss" type: "L1Loss" bottom: "a" bottom: "b" top: "loss" %s }
"""


def test_two_meanings():
    layers = [
        netc.load(diagnostics.Source("net", NET % text), phase="TRAIN").graph.nodes[-1].layer
        for text in ("", "l1_loss_param { }")
    ]
    assert [type(layer) for layer in layers] == [DetectNetL1Loss, L1Loss]
    one, other = values(2, 3, 4, 5), values(2, 3, 4, 5, seed=4)
    np.testing.assert_allclose(run(layers[0], one, other)[0], run(L1Loss(), one, other)[0], rtol=1e-12)
