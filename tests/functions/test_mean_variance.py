import torch

from netc.functions.mean_variance import MeanVariance


def test_a_constant_row_has_a_finite_gradient():
    x = torch.full((2, 3), 4.0, requires_grad=True)
    top = MeanVariance.apply(x, 0.5)
    top.backward(torch.tensor([[1.0, 2.0, 6.0], [1.0, 1.0, 1.0]]))
    assert top.tolist() == [[0, 0, 0]] * 2
    assert x.grad.tolist() == [[-4, -2, 6], [0, 0, 0]]


def test_eps_counts_as_part_of_the_deviation():
    x = torch.tensor([[1.0, 3.0]], requires_grad=True)
    top = MeanVariance.apply(x, 1.0)
    top.backward(torch.tensor([[0.0, 1.0]]))
    assert top.tolist() == [[-0.5, 0.5]]
    # (dy - mean(dy) - y mean(dy y)) / 2 with mean(dy) = 1/2 and mean(dy y) = 1/4
    assert x.grad.tolist() == [[-0.1875, 0.1875]]
