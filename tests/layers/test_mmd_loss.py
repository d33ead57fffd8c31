import numpy as np
import pytest
import torch

from netc.ir.layer import Cost
from netc.layers import mmd_loss
from netc.layers.mmd_loss import MmdLoss
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import module_of

CASES = [
    Case(
        MmdLoss(3, 1.5),
        ((4, 3, 2), (5, 6)),
        ((3, 2), (2, 2)),
        source=Source(own_gradient="of an estimate from random pairs; the top is 0", rounded=(0, 1)),
    )
]


def gradients(layer, *bottoms):
    """The top, and the gradient of twice it."""
    inputs = [bottom.clone().requires_grad_() for bottom in bottoms]
    module = layer if isinstance(layer, torch.nn.Module) else module_of(layer, tuple(b.shape for b in bottoms)).train()
    top = module(*inputs)
    (2 * top).backward()
    return top.item(), [one.grad for one in inputs]


def test_the_gradient_over_all_pairs_is_that_of_the_discrepancy(monkeypatch):
    source, target = values(2, 3), values(2, 3, seed=4)
    orders = iter([[0, 0, 1, 1], [0, 1, 0, 1]])

    def all_pairs(items, count):
        one = torch.tensor(next(orders))
        return items[one], items[1 - one]

    monkeypatch.setattr(mmd_loss, "_pairs", all_pairs)
    top, found = gradients(MmdLoss(3, 1.5), source, target)
    assert top == 0

    items = torch.cat((source, target)).requires_grad_()
    distances = (items.unsqueeze(0) - items.unsqueeze(1)).square().sum(2)
    gamma = 12 / distances.detach().sum()
    kernel = sum((-distances * gamma * 1.5**j).exp() for j in (-1, 0, 1))
    loss = kernel[0, 1] + kernel[2, 3] - 2 * kernel[:2, 2:].mean()
    (expected,) = torch.autograd.grad(2 * loss, items)
    torch.testing.assert_close(torch.cat(found), expected)


def test_pairs_are_of_different_items():
    one, other = mmd_loss._pairs(torch.arange(3), 200)
    assert set(zip(one.tolist(), other.tolist())) == {(i, j) for i in range(3) for j in range(3) if i != j}


def test_domains_are_pulled_together():
    torch.manual_seed(3)
    source, target = values(20, 2) + 1, values(30, 2, seed=5) - 1
    module = module_of(MmdLoss(), ((20, 2), (30, 2))).train()
    for _ in range(100):
        _, (down_source, down_target) = gradients(module, source, target)
        source, target = source - 2 * down_source, target - 2 * down_target
    np.testing.assert_allclose(source.mean(0), target.mean(0), atol=0.3)


@pytest.mark.parametrize("fixed", [False, True])
def test_fixed_scale(fixed):
    module = module_of(MmdLoss(fix_gamma=fixed), ((2, 1), (2, 1))).train()
    near, far = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[2.0], [3.0]]).double()
    found = []
    for factor in (1, 5):
        torch.manual_seed(3)
        found.append(factor * torch.cat(gradients(module, factor * near, factor * far)[1]))
    assert torch.allclose(*found) is not fixed


@pytest.mark.parametrize(("source", "target"), [(values(1, 3), values(4, 3)), (values(3, 2) * 0, values(2, 2) * 0)])
def test_no_gradient(source, target):
    top, found = gradients(MmdLoss(), source, target)
    assert top == 0
    for one in found:
        assert not one.any()


def test_file_sizes_and_cost():
    assert round_trip("MMDLoss", kernel_num=3, fix_gamma=True) == MmdLoss(3, fix_gamma=True)
    assert MmdLoss().cost(((2, 3), (4, 3)), ((),)) == Cost(operations=3 * 36 * 3)
    with raises("E102", r"items of \[2,3\] and \[2,4\]"):
        MmdLoss().infer(((2, 3), (2, 4)), 1)
