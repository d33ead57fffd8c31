import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.eltwise import Eltwise
from tests.layers.case import Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import layer_from, module_of, run

CASES = [
    Case(made("Eltwise", "SUM", (0.5, -2.0, 1.0)), ((2, 3, 4),) * 3, ((5, 2),) * 3),
]


FORMULAS = [
    (Eltwise(), 2, lambda a: a[0] + a[1]),
    (Eltwise(coeff=(1.0, -0.5, 2.0)), 3, lambda a: a[0] - 0.5 * a[1] + 2 * a[2]),
    (Eltwise(coeff=(3.0, 1.0)), 2, lambda a: 3 * a[0] + a[1]),
    (Eltwise("PROD"), 3, lambda a: a[0] * a[1] * a[2]),
    (Eltwise("PROD", stable_prod_grad=False), 2, lambda a: a[0] * a[1]),
    (Eltwise("MAX"), 4, lambda a: np.maximum.reduce(a)),
]


@pytest.mark.parametrize(("layer", "count", "formula"), FORMULAS, ids=[repr(case[0]) for case in FORMULAS])
def test_forward_backward_sizes_and_traces(layer, count, formula):
    bottoms = [values(2, 3, 5, seed=i) for i in range(count)]
    (y,) = run(layer, *bottoms)
    np.testing.assert_allclose(y, formula([b.numpy() for b in bottoms]), rtol=1e-14)
    module = module_of(layer, ((2, 3, 5),) * count)
    assert torch.autograd.gradcheck(lambda *xs: module(*xs), [b.clone().requires_grad_() for b in bottoms])
    resizes(layer, tuple(bottoms), tuple(values(4, 6, seed=i) for i in range(count)))
    traces(layer, *bottoms)


def test_maximum_of_equals_has_one_gradient():
    rows = [[1.0, 5.0, 2.0, 7.0, 0.0], [1.0, 5.0, 1.0, 7.0, 4.0], [1.0, 6.0, 2.0, 7.0, 4.0]]
    bottoms = [torch.tensor(row, requires_grad=True) for row in rows]
    module_of(Eltwise("MAX"), ((5,),) * 3)(*bottoms).backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert [b.grad.tolist() for b in bottoms] == [[0, 0, 3, 0, 0], [1, 0, 0, 4, 5], [0, 2, 0, 0, 0]]


def test_gradient_of_a_product_at_zero():
    bottoms = [torch.tensor([0.0, 0.0], requires_grad=True), torch.tensor([3.0, 0.0], requires_grad=True)]
    module_of(Eltwise("PROD", stable_prod_grad=False), ((2,), (2,)))(*bottoms).sum().backward()
    assert [b.grad.tolist() for b in bottoms] == [[3, 0], [0, 0]]


def test_unknown_extents():
    assert repr(Eltwise().infer(((UNKNOWN, 3, 5), (2, 3, UNKNOWN)), 1)) == "((2, 3, 5),)"
    assert repr(Eltwise().infer(((UNKNOWN, 3), (UNKNOWN, 3)), 1)) == "((?, 3),)"


def test_file_and_cost():
    assert round_trip("Eltwise") == Eltwise()
    assert round_trip("Eltwise", coeff=[1, -1]) == Eltwise(coeff=(1, -1))
    assert round_trip("Eltwise", operation="MAX", stable_prod_grad=False) == Eltwise("MAX", (), False)
    assert v1_name("Eltwise") == "ELTWISE"
    assert Eltwise("PROD").cost(((2, 3),) * 3, ((2, 3),)) == Cost(0, 12)
    assert Eltwise(coeff=(1, -1)).cost(((2, 3),) * 2, ((2, 3),)) == Cost(0, 12)
    assert not Eltwise().in_place


def test_errors():
    with raises("E101", "`coeff` is not supported for a product"):
        layer_from("Eltwise", operation="PROD", coeff=[1, 2])
    with raises("E103", "unknown operation `MIN`"):
        Eltwise("MIN")
    with raises("E101", "1 value of `coeff` for 2 bottoms"):
        Eltwise(coeff=(2,)).infer(((2, 3), (2, 3)), 1)
    with raises("E102", "bottoms 0 and 1 differ at axis 0: 2 and 1"):
        Eltwise().infer(((2, 3), (1, 3)), 1)
    with raises("E102", "bottom 0 has 2 axes, bottom 1 has 1"):
        Eltwise().infer(((2, 3), (3,)), 1)


def test_does_not_broadcast_when_it_runs():
    with raises("E102", "bottoms 0 and 1 differ at axis 0: 2 and 1"):
        module_of(Eltwise(), ((2, 3), (2, 3)))(torch.ones(2, 3), torch.ones(1, 3))
