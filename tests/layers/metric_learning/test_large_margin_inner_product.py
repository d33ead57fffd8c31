import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.metric_learning.large_margin_inner_product import LargeMarginInnerProduct
from netc.layers.metric_learning.margin_inner_product import MARGINS
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import module_of, shapes_of
from tests.layers.metric_learning.test_margin_inner_product import psi

REQUIRED = {"LargeMarginInnerProduct": "num_output: 4"}
ROWS = ((6, 3, 2), (6,)), ((5, 6), (5,))
CASES = [
    *(
        Case(LargeMarginInnerProduct(4, margin, base=0.5), *ROWS, tops=2, integers=(1,), below=4, source=Source())
        for margin in MARGINS
    ),
    Case(
        LargeMarginInnerProduct(0, "DOUBLE", base=2.0),
        ((6, 5), (6,), (4, 5)),
        ((3, 5), (3,), (7, 5)),
        tops=2,
        integers=(1,),
        below=4,
        source=Source(),
    ),
]
LABELS = torch.tensor([2, 0, 3, 1, 2, 3, 0])


@pytest.mark.parametrize("margin", MARGINS)
def test_forward(margin):
    x = values(7, 5)
    layer = LargeMarginInnerProduct(4, margin, base=10.0, gamma=0.5, iteration=3, power=2.0)
    module = module_of(layer, shapes_of((x, LABELS)), 2).double()
    module.weight.data.sub_(0.5)
    rows = module.weight.detach().numpy()
    for passes in (4, 5):
        top, blend = module(x, LABELS)
        assert blend.item() == pytest.approx(10 * (1 + 0.5 * passes) ** -2)
        expected = x.numpy() @ rows.T
        for i, label in enumerate(LABELS.tolist()):
            length = np.linalg.norm(x[i]) * np.linalg.norm(rows[label])
            own = length * psi(math.acos(expected[i, label] / length), MARGINS[margin])
            expected[i, label] = (own + blend.item() * expected[i, label]) / (1 + blend.item())
        np.testing.assert_allclose(top.detach(), expected, rtol=1e-7)


def test_classes_from_a_bottom_are_those_of_a_blob():
    x, layer = values(7, 5), LargeMarginInnerProduct(4, "TRIPLE", base=1.5)
    module = module_of(layer, shapes_of((x, LABELS)), 2).double()
    given = values(4, 5, seed=8)
    module.weight.data.copy_(given)
    other = module_of(LargeMarginInnerProduct(0, "TRIPLE", base=1.5), shapes_of((x, LABELS, given)), 2)
    assert not list(other.parameters())
    torch.testing.assert_close(module(x, LABELS)[0].detach(), other(x, LABELS, given)[0])


def test_vectors_of_zeros_have_a_finite_gradient():
    x = torch.zeros(2, 3, requires_grad=True)
    module = module_of(LargeMarginInnerProduct(4, "QUADRUPLE", base=0.0), ((2, 3), (2,)), 2)
    module(x, torch.tensor([1, 2]))[0].sum().backward()
    assert x.grad.isfinite().all()


def test_files_and_shapes():
    layer = round_trip("LargeMarginInnerProduct", num_output=5, type="TRIPLE", lambda_min=5.0, iteration=7)
    assert layer == LargeMarginInnerProduct(5, "TRIPLE", lambda_min=5.0, iteration=7)
    assert repr(layer.infer(((UNKNOWN, 3), (4,)), 2)) == "((?, 5), (1,))"
    assert layer.infer(((4, 3), (4,), (9, 3)), 2) == ((4, 9), (1,))
    assert layer.cost(((7, 6), (7,)), ((7, 5),)).macs == 7 * 6 * 5
    assert layer.label_classes((7, 6)) == 5
    assert LargeMarginInnerProduct(0).label_classes((7, 6)) is None
    with raises("E103", "`num_output` is 0: it must be positive"):
        LargeMarginInnerProduct(0).infer(((7, 6), (7,)), 2)
    with raises("E102", r"labels \[6\] for 7 vectors"):
        layer.infer(((7, 6), (6,)), 2)
    with raises("E102", r"vectors of classes \[4,5\] for vectors \[7,6\]"):
        layer.infer(((7, 6), (7,), (4, 5)), 2)
    with raises("E301", "label outside 0 to 4: 9"):
        module_of(layer, ((1, 3), (1,)), 2)(torch.ones(1, 3), torch.tensor([9.0]))
