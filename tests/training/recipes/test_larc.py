"""Layer-wise rates against NVIDIA's formulas in NumPy."""

import numpy as np
import pytest
import torch

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
    found = optimizer_for(settings, made)
    for step in range(3):
        for blob, gradient in zip(found.blobs, gradients(step)):
            if blob.tensor.requires_grad:
                blob.tensor.grad = gradient.clone()
        found.step()
    for blob, weight in zip(made, wanted):
        np.testing.assert_allclose(blob.data.numpy(), weight, rtol=1e-5, atol=1e-9)


def test_larc_requires_sgd(settings_from):
    from netc.diagnostics import NetcError

    text = 'net: "a" base_lr: 1 lr_policy: "fixed" larc: true '
    with pytest.raises(NetcError, match="solver type `Adam` does not support `larc`"):
        settings_from(text + 'type: "Adam"')
    with pytest.raises(NetcError, match="unknown `larc_policy` `scal`"):
        settings_from(text + 'larc_policy: "scal"')
    assert settings_from(text + "larc_eta: 0.01").larc_policy == "scale"
