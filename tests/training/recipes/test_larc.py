"""Layer-wise rates against NVIDIA's formulas in NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.training.solver.lr_policy import momentum_at
from netc.training.solver.optimizer import optimizer_for
from netc.training.solver.settings import SolverSettings
from tests.training.solver.test_optimizers import MULTS, SHAPES, STATISTICS, blobs, gradients

RATE, ETA, DECAY = 0.2, 0.03, 0.1


def expected(made, policy, momentum, nesterov, steps):
    """GetLocalRate and ComputeUpdateValue, weight decay outside of the norms as on a GPU."""
    weights = [blob.data.numpy().copy() for blob in made]
    history = [np.zeros(shape) for shape in SHAPES]
    for step in range(steps):
        for i, gradient in enumerate(gradients(step)):
            if not MULTS[i][0] or i == STATISTICS:
                continue
            g = gradient.numpy()
            norms = np.linalg.norm(weights[i]), np.linalg.norm(g)
            quotient = ETA * norms[0] / norms[1] if all(norms) else 1.0
            local = RATE * quotient if policy == "scale" else min(RATE, quotient)
            old = history[i]
            history[i] = momentum * old + local * (g + DECAY * MULTS[i][1] * weights[i])
            update = (1 + momentum) * history[i] - momentum * old if nesterov else history[i]
            weights[i] = weights[i] - update
    return weights


def check_steps(settings, made, wanted):
    """Three steps change the weights of `made` to `wanted`."""
    found = optimizer_for(settings, made)
    for step in range(3):
        for blob, gradient in zip(found.blobs, gradients(step)):
            if blob.tensor.requires_grad:
                blob.tensor.grad = gradient.clone()
        found.step()
    for blob, weight in zip(made, wanted):
        np.testing.assert_allclose(blob.data.numpy(), weight, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("type_name", ["SGD", "Nesterov"])
@pytest.mark.parametrize("policy", ["scale", "clip"])
def test_rates_of_blobs(policy, type_name):
    settings = SolverSettings(
        type=type_name, base_lr=RATE, momentum=0.8, weight_decay=DECAY, larc=True, larc_policy=policy, larc_eta=ETA
    )
    made = blobs()
    made[0].data.mul_(40)  # a norm that the clip does not let through
    with torch.no_grad():
        made[1].tensor.zero_()  # a norm of 0
    wanted = expected(made, policy, 0.8, type_name == "Nesterov", 3)
    check_steps(settings, made, wanted)


def test_larc_requires_sgd(settings_from):
    text = 'net: "a" base_lr: 1 lr_policy: "fixed" larc: true '
    with pytest.raises(NetcError, match="solver type `Adam` does not support `larc`"):
        settings_from(text + 'type: "Adam"')
    with pytest.raises(NetcError, match="unknown `larc_policy` `scal`"):
        settings_from(text + 'larc_policy: "scal"')
    assert settings_from(text + "larc_eta: 0.01").larc_policy == "scale"


def local_rates(made, steps, momentum):
    """Intel's GetLocalRate, whose norms have the weight decay in them."""
    weights = [blob.data.numpy().copy() for blob in made]
    history = [np.zeros(shape) for shape in SHAPES]
    for step in range(steps):
        for i, gradient in enumerate(gradients(step)):
            if not MULTS[i][0] or i == STATISTICS:
                continue
            g = gradient.numpy() + DECAY * MULTS[i][1] * weights[i]
            w_norm, g_norm = np.linalg.norm(weights[i]), np.linalg.norm(g)
            local = ETA * w_norm / (g_norm + DECAY * w_norm) if w_norm and g_norm else 1.0
            history[i] = momentum * history[i] + RATE * local * g
            weights[i] = weights[i] - history[i]
    return weights


def test_intels_local_rates():
    settings = SolverSettings(
        base_lr=RATE, momentum=0.8, weight_decay=DECAY, local_lr_auto=True, local_gw_ratio=ETA, lr_policy="fixed"
    )
    made = blobs()
    with torch.no_grad():
        made[1].tensor.zero_()
    wanted = local_rates(made, 3, 0.8)
    check_steps(settings, made, wanted)


def test_a_momentum_that_changes():
    settings = SolverSettings(
        base_lr=0.25, momentum=0.5, momentum_policy="poly", max_momentum=0.9, max_iter=4, momentum_power=2
    )
    values = [momentum_at(settings, iteration, 0.25) for iteration in range(5)]
    np.testing.assert_allclose(values, [0.5, 0.525, 0.6, 0.725, 0.9], rtol=1e-6)
    opt = replace(settings, momentum_policy="opt")
    assert momentum_at(opt, 3, 0.25) == 0.5625  # (1 - sqrt(0.25) / 2) squared
    assert momentum_at(replace(settings, momentum_policy="fixed"), 3, 0.25) == 0.5
    made = blobs()
    optimizer = optimizer_for(settings, made)
    tensor = next(blob for blob in optimizer.blobs if blob.tensor.requires_grad and blob.parameter.rate_factor)
    before, history = tensor.data.clone(), torch.zeros_like(tensor.data)
    for step, momentum in enumerate(values[:3]):
        optimizer.set_momentum(momentum)
        tensor.tensor.grad = torch.ones_like(tensor.tensor)
        optimizer.step()
        history = momentum * history + 0.25 * tensor.parameter.rate_factor
        before = before - history
        torch.testing.assert_close(tensor.data, before, msg=str(step))


def test_settings_of_momentum(settings_from):
    text = 'net: "a" base_lr: 1 lr_policy: "fixed" momentum: 0.5 '
    with pytest.raises(NetcError, match="solver type `Adam` does not support `momentum_policy`"):
        settings_from(text + 'type: "Adam" momentum_policy: "opt"')
    with pytest.raises(NetcError, match="unknown `momentum_policy` `ploy`"):
        settings_from(text + 'momentum_policy: "ploy"')
    with pytest.raises(NetcError, match="momentum policy `poly` requires `max_iter`"):
        settings_from(text + 'momentum_policy: "poly"')
    limited = settings_from(text + 'momentum_policy: "opt" max_momentum: 0.25')
    assert momentum_at(limited, 0, 0.25) == 0.25
