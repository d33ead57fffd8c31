"""What is drawn at random: the moments of each layer and filler, and the same numbers from the same seed."""

from __future__ import annotations

import math

import pytest
import torch

from netc.ir.filler import Filler
from netc.layers.dropout import Dropout
from netc.layers.pooling import Pooling
from netc.runtime.fillers import fill, generator_of
from tests.layers.harness import module_of

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
DROPOUTS = [
    Dropout(0.3),
    Dropout(0.8),
    Dropout(0.3, scale_train=False),
    Dropout(0.4, sample_weights_test=True),
]
POOLING = Pooling("STOCHASTIC", (2, 3), (2, 3))
WINDOW = torch.tensor([[1.0, 0.5, 3.0], [0.0, 2.0, 1.5]], dtype=torch.float64)


def expect_moments(x, mean, deviation):
    """Within five standard errors of both; that of a deviation is taken for a normal distribution, times two."""
    error = deviation / math.sqrt(x.numel())
    assert x.mean().item() == pytest.approx(mean, abs=5 * error)
    assert x.std().item() == pytest.approx(deviation, abs=10 * error)


@pytest.mark.parametrize("layer", DROPOUTS, ids=str)
@pytest.mark.parametrize("device", DEVICES)
def test_dropout(layer, device):
    x = torch.ones(200, 100, dtype=torch.float64, device=device)
    torch.manual_seed(5)
    y = module_of(layer, ((200, 100),)).train()(x)
    kept = 1 - layer.dropout_ratio
    scale = 1 / kept if layer.scale_train else 1.0
    expect_moments(y, kept * scale, scale * math.sqrt(kept * (1 - kept)))
    neighbours = torch.stack([(y[:, 1:] != 0).flatten(), (y[:, :-1] != 0).flatten()]).double()
    assert abs(torch.corrcoef(neighbours)[0, 1].item()) < 5 / math.sqrt(neighbours.shape[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.slow
def test_stochastic_pooling(device):
    x = WINDOW.to(device).expand(20000, 1, 2, 3)
    torch.manual_seed(5)
    module = module_of(POOLING, (x.shape,))
    y = module.train()(x)
    chances = WINDOW / WINDOW.sum()
    mean = (chances * WINDOW).sum().item()
    expect_moments(y, mean, math.sqrt((chances * (WINDOW - mean) ** 2).sum().item()))
    assert module.eval()(x)[0].item() == pytest.approx(mean)
    for value, chance in zip(WINDOW.flatten(), chances.flatten()):
        assert (y == value).double().mean().item() == pytest.approx(chance.item(), abs=5 * math.sqrt(0.25 / 20000))


@pytest.mark.parametrize("layer", [*DROPOUTS, POOLING], ids=str)
@pytest.mark.parametrize("device", DEVICES)
def test_equal_seeds_yield_equal_results(layer, device):
    x = torch.arange(1.0, 2 * 3 * 8 * 9 + 1, device=device).reshape(2, 3, 8, 9)
    module = module_of(layer, (x.shape,)).train()
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        runs.append([module(x), module(x)])
    for first, again, other in zip(*runs):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert not torch.equal(*runs[0]), "each pass draws anew"


SHAPE = (40, 30, 5, 7)
FILLERS = [
    (Filler("uniform", min=-2, max=6), 2, 8 / math.sqrt(12)),
    (Filler("gaussian", mean=3, std=0.5), 3, 0.5),
    (Filler("gaussian", std=2, sparse=10), 0, 2 * math.sqrt(10 / 40)),
    (Filler("xavier"), 0, math.sqrt(1 / (30 * 35))),
    (Filler("xavier", variance_norm="AVERAGE"), 0, math.sqrt(1 / (35 * 35))),
    (Filler("msra", variance_norm="FAN_OUT"), 0, math.sqrt(2 / (40 * 35))),
    # A row is uniform numbers divided by their sum, which is near half their count.
    (Filler("positive_unitball"), 1 / (30 * 35), 2 / (30 * 35) / math.sqrt(12)),
]


def filled(filler, seed):
    tensor = torch.full(SHAPE, torch.nan)
    fill(tensor, filler, SHAPE, generator_of(seed))
    return tensor


@pytest.mark.parametrize(("filler", "mean", "deviation"), FILLERS, ids=lambda value: str(value))
def test_fillers(filler, mean, deviation):
    first = filled(filler, 5)
    expect_moments(first, mean, deviation)
    assert torch.equal(first, filled(filler, 5))
    assert not torch.equal(first, filled(filler, 6))
