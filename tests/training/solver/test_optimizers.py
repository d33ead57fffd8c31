"""The update rules against plain float64 NumPy, their groups and histories; reference runs are in test_reference."""

import numpy as np
import pytest
import torch
from torch import nn

from netc.diagnostics import NetcError
from netc.ir.layer import Weight
from netc.ir.parameters import Parameter
from netc.runtime.blobs import LayerBlob
from netc.training.solver.optimizer import FUSED_MIN_ELEMENTS, optimizer_for
from netc.training.solver.settings import SolverSettings
from netc.training.solver.update_rules._registry import register, update_rules

SHAPES = ((3, 4), (5,), (FUSED_MIN_ELEMENTS,), (2, 2, 3), (4,))
MULTS = ((1, 1), (2, 0), (0.5, 1), (0, 1), (1, 1))
"""Of each blob: lr_mult and decay_mult. The fourth is frozen."""
STATISTICS = 4
"""A blob that no solver changes."""
CAFFE_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
TYPES = tuple(update_rules())
"""Those, and any that a file in update_rules/ adds."""
COMMON = {"weight_decay": 0.1, "momentum": 0.8, "momentum2": 0.95, "rms_decay": 0.7, "delta": 1e-4}


def blobs(dtype=torch.float64, seed=0):
    module, generator, made = nn.Module(), torch.Generator().manual_seed(seed), []
    for index, (shape, (lr, decay)) in enumerate(zip(SHAPES, MULTS)):
        name, learnable = f"blob{index}", index != STATISTICS
        tensor = torch.randn(shape, generator=generator, dtype=dtype)
        if learnable:
            module.register_parameter(name, nn.Parameter(tensor, requires_grad=lr > 0))
        else:
            module.register_buffer(name, tensor)
        weight = Weight(name, shape, learnable=learnable)
        parameter = Parameter(name, shape, lr_mult=lr, decay_mult=decay, learnable=learnable)
        made.append(LayerBlob("layer", "layer", index, weight, parameter, ("layer", index), module))
    return made


def optimizer(type_name, made, **changes):
    values = {**COMMON, **changes}
    values |= dict.fromkeys(update_rules()[type_name].rejected, 0)
    return optimizer_for(SolverSettings(type=type_name, base_lr=0.2, **values), made)


def gradients(step, dtype=torch.float64):
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in SHAPES]


def run(found, steps=4):
    for step in range(steps):
        for blob, gradient in zip(found.blobs, gradients(step, found.blobs[0].tensor.dtype)):
            if blob.tensor.requires_grad:
                blob.tensor.grad = gradient.clone()
        found.step()
    return found


def by_caffes_formulas(type_name, steps=4, clip=-1.0, iter_size=1, l1=False, c=COMMON):
    """Weights and histories after some steps, one blob at a time; the loop order is SGDSolver::ApplyUpdate's."""
    weights = [blob.data.numpy().copy() for blob in blobs()]
    first, second = ([np.zeros(shape) for shape in SHAPES] for _ in range(2))
    m, b2, r, delta = c["momentum"], c["momentum2"], c["rms_decay"], c["delta"]
    for step in range(steps):
        diffs = [g.numpy() if i not in (3, STATISTICS) else np.zeros(SHAPES[i]) for i, g in enumerate(gradients(step))]
        norm = np.sqrt(sum((g**2).sum() for g in diffs))
        for i, (lr_mult, decay_mult) in enumerate(MULTS):
            lr = 0.2 * (0 if i == STATISTICS else lr_mult)
            g = diffs[i] * (clip / norm if 0 <= clip < norm else 1) / iter_size
            g = g + c["weight_decay"] * decay_mult * (np.sign(weights[i]) if l1 else weights[i])
            if type_name == "SGD":
                u = first[i] = m * first[i] + lr * g
            elif type_name == "Nesterov":
                old, first[i] = first[i], m * first[i] + lr * g
                u = (1 + m) * first[i] - m * old
            elif type_name == "AdaGrad":
                first[i] = first[i] + g**2
                u = lr * g / (np.sqrt(first[i]) + delta)
            elif type_name == "RMSProp":
                first[i] = r * first[i] + (1 - r) * g**2
                u = lr * g / (np.sqrt(first[i]) + delta)
            elif type_name == "AdaDelta":
                first[i] = m * first[i] + (1 - m) * g**2
                u = g * np.sqrt((second[i] + delta) / (first[i] + delta))
                second[i] = m * second[i] + (1 - m) * u**2
                u = lr * u
            else:
                first[i] = m * first[i] + (1 - m) * g
                second[i] = b2 * second[i] + (1 - b2) * g**2
                t = step + 1
                u = lr * np.sqrt(1 - b2**t) / (1 - m**t) * first[i] / (np.sqrt(second[i]) + delta)
            weights[i] = weights[i] - u
    return weights, [*first, *(second if type_name in ("Adam", "AdaDelta") else ())]


def assert_as_caffe(found, wanted):
    weights, history = wanted
    for blob, weight in zip(found.blobs, weights):
        np.testing.assert_allclose(blob.data.numpy(), weight, rtol=1e-9, atol=1e-12)
    assert len(found.history()) == len(history)
    for tensor, array in zip(found.history(), history):
        np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("keep_updates", [False, True])
@pytest.mark.parametrize("type_name", CAFFE_TYPES)
def test_update_rules(type_name, keep_updates):
    """With `keep_updates` the fused kernels are not used, so that both ways are checked."""
    found = optimizer(type_name, blobs())
    found.keep_updates = keep_updates
    assert_as_caffe(run(found), by_caffes_formulas(type_name))


@pytest.mark.parametrize(
    "changes",
    [{"clip_gradients": 3.0}, {"clip_gradients": 1e6}, {"iter_size": 3}, {"clip_gradients": 3.0, "iter_size": 3}],
)
def test_gradients_are_clipped_before_they_are_normalized(changes):
    found = run(optimizer("SGD", blobs(), **changes))
    wanted = by_caffes_formulas("SGD", clip=changes.get("clip_gradients", -1), iter_size=changes.get("iter_size", 1))
    assert_as_caffe(found, wanted)
    if "clip_gradients" in changes:
        assert (float(found.clipping.scale) < 1) == (changes["clip_gradients"] == 3.0)
    else:
        assert found.clipping is None


def test_gradients_of_zero_are_not_clipped():
    made = blobs()
    found = optimizer("SGD", made, clip_gradients=0.0)
    for blob in made:
        blob.tensor.grad = torch.zeros_like(blob.tensor)
    found.step()
    assert float(found.clipping.scale) == 1
    assert all(blob.tensor.isfinite().all() for blob in made)


@pytest.mark.parametrize("type_name", CAFFE_TYPES)
def test_l1_clipping_and_several_batches_in_every_solver(type_name):
    found = run(optimizer(type_name, blobs(), regularization_type="L1", clip_gradients=3.0, iter_size=3))
    assert_as_caffe(found, by_caffes_formulas(type_name, clip=3.0, iter_size=3, l1=True))


@pytest.mark.parametrize("rate", [1e-8, 1e-14, 1e-17])
def test_the_smallest_rates_are_exact(rate):
    """Nets of segmentation sum their loss over all places, and learn with 1e-10 to 1e-14: it must not round away."""
    found = optimizer("SGD", blobs(torch.float32), momentum=0.99, weight_decay=0.0)
    found.rate = rate
    run(found, steps=1)
    gradient = gradients(0, torch.float32)[2]
    np.testing.assert_allclose(found.history()[2].numpy(), gradient.numpy() * (rate * 0.5), rtol=3e-7)


def test_without_momentum_the_history_is_the_update():
    found = run(optimizer("SGD", blobs(), momentum=0.0))
    assert_as_caffe(found, by_caffes_formulas("SGD", c={**COMMON, "momentum": 0.0}))


def test_a_missing_gradient_counts_as_zeros():
    made = blobs()
    found, before = optimizer("SGD", made, momentum=0.0), made[0].data.clone()
    found.step()
    assert torch.allclose(made[0].data, before * (1 - 0.2 * 0.1))


def test_the_rate_is_inside_the_history():
    """Changing the rate leaves past updates as they were; in torch's own SGD it scales them."""
    made = blobs()
    found = run(optimizer("SGD", made, weight_decay=0.0), steps=1)
    history = found.history()[0].clone()
    found.rate = 0.0
    found.zero_grad()
    before = made[0].data.clone()
    found.step()
    assert torch.allclose(before - made[0].data, 0.8 * history)


@pytest.mark.parametrize("type_name", TYPES)
def test_updates_are_kept_on_request(type_name):
    made = blobs()
    found = run(optimizer(type_name, made), steps=2)
    found.keep_updates = True
    before = [blob.data.clone() for blob in made]
    for blob, gradient in zip(made, gradients(9)):
        blob.tensor.grad = gradient if blob.tensor.requires_grad else None
    found.step()
    for blob, old in zip(made[:3], before):
        assert torch.allclose(blob.tensor.grad.reshape(old.shape), old - blob.data, atol=1e-12)


@pytest.mark.parametrize("type_name", TYPES)
def test_a_restored_history_continues_bit_for_bit(type_name):
    whole = run(optimizer(type_name, blobs(torch.float32)), steps=4)
    first = run(optimizer(type_name, blobs(torch.float32)), steps=2)
    made = blobs(torch.float32, seed=5)
    for blob, given in zip(made, first.blobs):
        blob.data.copy_(given.data)
    second = optimizer(type_name, made)
    second.load_history([tensor.clone() for tensor in first.history()])
    second.iteration = first.iteration
    for step in (2, 3):
        for blob, gradient in zip(second.blobs, gradients(step, torch.float32)):
            blob.tensor.grad = gradient.clone() if blob.tensor.requires_grad else None
        second.step()
    for one, other in zip([b.data for b in whole.blobs] + whole.history(), [b.data for b in made] + second.history()):
        assert torch.equal(one, other)


def test_a_frozen_blob_continues_with_its_momentum_as_in_caffe():
    made = blobs()
    found = optimizer("SGD", made)
    history = [torch.zeros(shape) for shape in SHAPES]
    history[3] += 1
    found.load_history(history)
    before = made[3].data.clone()
    found.step()
    assert torch.allclose(before - made[3].data, torch.full_like(before, 0.8))


def test_memory_layouts_do_not_matter():
    """The fused kernels go by addresses: a gradient in another layout must be brought into the parameter's."""

    def after(layout):
        module = nn.Module()
        module.weight = nn.Parameter(torch.linspace(-1, 1, FUSED_MIN_ELEMENTS).reshape(8, 16, 16, 16))
        blob = LayerBlob(
            "l", "l", 0, Weight("weight", (8, 16, 16, 16)), Parameter("weight", (8, 16, 16, 16)), ("l", 0), module
        )
        found = optimizer("SGD", [blob])
        for step in range(2):
            generator = torch.Generator().manual_seed(step)
            gradient = torch.randn(blob.shape, generator=generator)
            blob.tensor.grad = gradient.to(memory_format=layout)
            found.step()
        return blob.data

    assert torch.equal(after(torch.contiguous_format), after(torch.channels_last))


def test_torchs_state_dict_round_trip():
    found = run(optimizer("Adam", blobs()), steps=2)
    other = optimizer("Adam", blobs())
    other.load_state_dict(found.state_dict())
    assert other.iteration == 2
    assert all(torch.equal(a, b) for a, b in zip(found.history(), other.history()))


def test_torchs_schedulers_set_the_rate():
    found = optimizer("SGD", blobs())
    scheduler = torch.optim.lr_scheduler.StepLR(found, step_size=1, gamma=0.5)
    run(found, steps=1)
    scheduler.step()
    assert found.rate == 0.1
    assert {group["lr_mult"] for group in found.param_groups} == {0.0, 0.5, 1.0, 2.0}


def test_a_net_without_weights():
    with pytest.raises(NetcError, match="no weights to train"):
        optimizer("SGD", [])


def test_caffes_types_are_registered_once():
    assert set(CAFFE_TYPES) <= set(TYPES)
    with pytest.raises(ValueError, match="registered twice: Adam and"):
        register("Adam")(update_rules()["SGD"])
