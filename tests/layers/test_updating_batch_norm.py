import numpy as np
import pytest
import torch

from netc.layers.batch_norm import BatchNorm
from netc.layers.updating_batch_norm import UpdatingBatchNorm
from tests.layers.case import PLANES, Case, Source
from tests.layers.contract import round_trip, values
from tests.layers.harness import module_of

FACTS = Source(in_place=True, role="inner", own_gradient="not through the variance")
CASES = [Case(UpdatingBatchNorm(True, 0.9, 0.01), *PLANES, source=FACTS)]


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5, 2), (6,)])
def test_training_updates_the_averages_that_it_uses(shape):
    layer = UpdatingBatchNorm(True, 0.75, 0.01)
    module = module_of(layer, (shape,)).double().train()
    mean, variance, count = (blob.numpy().copy() for blob in (module.mean, module.variance, module.scale_factor))
    along = (1, -1, *(1,) * (len(shape) - 2)) if len(shape) > 1 else (1,)
    axes = (0, *range(2, len(shape)))
    for passes in range(3):
        x, dy = values(*shape, seed=passes).requires_grad_(), values(*shape, seed=passes + 9)
        y = module(x)
        y.backward(dy)
        used = mean / count
        found = ((x.detach().numpy() - used.reshape(along)) ** 2).mean(axes)
        deviation = np.sqrt(found + 0.01).reshape(along)
        np.testing.assert_allclose(y.detach(), (x.detach().numpy() - used.reshape(along)) / deviation, rtol=1e-9)
        np.testing.assert_allclose(x.grad, dy.numpy() / deviation, rtol=1e-9)
        number = x.numel() / len(mean)
        mean, variance = used + 0.75 * mean, found * number / (number - 1) + 0.75 * variance
        count = 0.75 * count + 1
        for blob, expected in zip((module.mean, module.variance, module.scale_factor), (mean, variance, count)):
            np.testing.assert_allclose(blob, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("layer", "training"),
    [(UpdatingBatchNorm(True), False), (UpdatingBatchNorm(), True), (UpdatingBatchNorm(False), True)],
)
def test_otherwise_the_layer_is_bvlcs(layer, training):
    x = values(4, 3, 5, 2)
    own, bvlc = (
        module_of(one, (x.shape,)).double().train(training) for one in (layer, BatchNorm(layer.use_global_stats))
    )
    torch.testing.assert_close(own(x), bvlc(x), rtol=0, atol=0)
    for one, other in zip(own.buffers(), bvlc.buffers()):
        assert torch.equal(one, other)


def test_files_and_meanings(graph_from):
    assert round_trip(UpdatingBatchNorm, use_global_stats=True, update_global_stats=True) == UpdatingBatchNorm(True)
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }'
        'layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" batch_norm_param { update_global_stats: %s } }'
    )
    for value, cls in (("true", UpdatingBatchNorm), ("false", BatchNorm)):
        assert type(next(n.layer for n in graph_from(text % value).nodes if n.name == "b")) is cls
