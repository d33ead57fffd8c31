import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.fields import Fields
from netc.ir.layer import Cost
from netc.layers.batch_norm import BatchNorm
from tests.layers.case import alike
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, module_of, run

CASES = [
    alike("BatchNorm", eps=0.01),
]


SHAPES = [(4, 3, 5, 2), (4, 3), (6,), (2, 3, 4, 2, 3)]


def moments(x):
    """Mean and biased variance, shaped to broadcast, and the number of elements of each."""
    axes = tuple(i for i in range(x.ndim) if i != 1)
    return x.mean(axes, keepdims=True), x.var(axes, keepdims=True), x.size // (x.shape[1] if x.ndim > 1 else 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_training(shape):
    layer = BatchNorm(moving_average_fraction=0.75, eps=0.01)
    module = module_of(layer, (shape,)).double().train()
    blobs = [b.numpy().copy() for b in module.buffers()]
    for seed in (1, 2):
        x = values(*shape, seed=seed)
        mean, variance, count = moments(x.numpy())
        np.testing.assert_allclose(module(x).numpy(), (x.numpy() - mean) / np.sqrt(variance + 0.01), rtol=1e-10)
        added = (mean.ravel(), variance.ravel() * count / (count - 1), 1)
        blobs = [0.75 * blob + more for blob, more in zip(blobs, added)]
        for found, blob in zip(module.buffers(), blobs):
            np.testing.assert_allclose(found.numpy(), blob, rtol=1e-12)


def test_training_with_one_element_per_channel():
    module = module_of(BatchNorm(moving_average_fraction=0.5), ((1, 3),)).double().train()
    before = [b.clone() for b in module.buffers()]
    x = torch.tensor([[2.0, 5, -3]]).double()
    assert module(x).tolist() == [[0, 0, 0]]
    mean, variance, factor = module.buffers()
    assert torch.equal(mean, before[0] / 2 + x[0])
    assert torch.equal(variance, before[1] / 2)
    assert torch.equal(factor, before[2] / 2 + 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_blobs_moments(shape, training):
    channels = shape[1] if len(shape) > 1 else 1
    mean, variance = values(channels).float().numpy(), values(channels, seed=4).abs().float().numpy()
    layer = BatchNorm(use_global_stats=True if training else None, eps=0.01)
    x = values(*shape).numpy()
    place = (-1, *[1] * (len(shape) - 2)) if len(shape) > 1 else (-1,)
    for factor in (4.0, 0.0):
        share = 0.25 if factor else 0.0
        (y,) = run(layer, x, training=training, weights=(mean, variance, [factor]))
        expected = (x - share * mean.reshape(place)) / np.sqrt(share * variance.reshape(place) + 0.01)
        np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_the_batch_in_test():
    x = values(4, 3, 5).numpy()
    (y,) = run(BatchNorm(use_global_stats=False), x)
    np.testing.assert_allclose(y.mean((0, 2)), 0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_backward(shape, training):
    assert gradcheck(BatchNorm(eps=0.01), shape, training=training)


@pytest.mark.parametrize("training", [True, False])
def test_with_a_scale_fused_into_it(training):
    x, weight, bias = (values(4, 3, 5, 2), values(3, seed=4), values(3, seed=5))
    plain, fused = (module_of(BatchNorm(), (x.shape,)).double().train(training) for _ in range(2))
    gradients = []
    for apply in (
        lambda x, w, b: plain(x) * w.reshape(3, 1, 1) + b.reshape(3, 1, 1),
        lambda x, w, b: fused(x, w, b),
    ):
        inputs = [t.clone().requires_grad_() for t in (x, weight, bias)]
        top = apply(*inputs)
        (top * x.roll(1, 0)).sum().backward()
        gradients.append([top.detach(), *(t.grad for t in inputs)])
    torch.testing.assert_close(*gradients)
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), fused.buffers()))


def test_only_the_bottom_and_small_tensors_are_kept_for_backward():
    kept = []
    x = values(4, 3, 5, 2).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        module_of(BatchNorm(), (x.shape,)).double().train()(x)
    assert [n for n in kept if n > 3] == [x.numel()]


def test_sizes_and_traces():
    resizes(BatchNorm(), (values(4, 3, 5, 2),), (values(2, 3, 6, 7),))
    traces(BatchNorm(), values(4, 3, 5, 2))


@pytest.mark.parametrize("wrap", ["compile", "export"])
def test_traced_training_gathers_the_same_blobs(wrap):
    x, y = values(4, 3, 5, 2), values(4, 3, 5, 2, seed=9)
    plain, traced = (module_of(BatchNorm(), (x.shape,)).double().train() for _ in range(2))
    torch._dynamo.reset()
    if wrap == "compile":
        function = torch.compile(traced, fullgraph=True, backend="eager")
    else:
        function = torch.export.export(traced, (x,)).module()
    for bottom in (x, y):
        torch.testing.assert_close(function(bottom), plain(bottom), rtol=0, atol=0)
    holder = traced if wrap == "compile" else function
    for found, expected in zip(holder.buffers(), plain.buffers()):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_file_names_blobs_and_cost():
    layer = round_trip("BatchNorm", use_global_stats=False, moving_average_fraction=0.5, eps=0.25)
    assert layer == BatchNorm(False, 0.5, 0.25)
    assert round_trip("BatchNorm") == BatchNorm()
    assert v1_name("BatchNorm") is None
    assert BatchNorm.in_place
    assert [(w.shape, w.learnable) for w in BatchNorm().weights(((2, 3, 4),))] == [((3,), False)] * 2 + [((1,), False)]
    assert BatchNorm().cost(((2, 3, 4),), ((2, 3, 4),)) == Cost(0, 48)
    assert repr(BatchNorm().infer(((UNKNOWN, 3, UNKNOWN),), 1)) == "((?, 3, ?),)"


def with_params(*rates: float) -> BatchNorm:
    params = [Fields({"lr_mult": rate}, {"lr_mult": 1.0}) for rate in rates]
    return BatchNorm.from_caffe(Fields({"param": params}))


def test_statistics_that_a_solver_would_change():
    assert with_params(0.0, 0.0) == with_params(1.0, 2.0, 0.0) == BatchNorm()
    with raises("E103", "`lr_mult` is 0.5: a solver cannot change"):
        with_params(0.0, 0.5)


def test_mismatches():
    with raises("E102", "a scalar has no batch"):
        BatchNorm().infer(((),), 1)
    with raises("E102", "expected 3 channels, got 4"):
        module_of(BatchNorm(), ((2, 3),))(torch.ones(2, 4))
