import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.metric_learning.margin_inner_product import MARGINS, MarginInnerProduct
from netc.runtime.pass_state import restore_pass_state
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import module_of, shapes_of

REQUIRED = {
    "MarginInnerProduct": "num_output: 4",
}
OWN = Source(own_gradient="that of the products before the margin for the weight, and unit coefficients for the bottom")
CASES = [
    Case(
        made("MarginInnerProduct", 4, "QUADRUPLE", base=5.0),
        ((6, 3, 2), (6,)),
        ((5, 6), (5,)),
        tops=2,
        integers=(1,),
        below=4,
        source=OWN,
    ),
]
LABELS = torch.tensor([2, 0, 3, 1, 2, 3, 0])


def psi(angle, m):
    """(-1)^k cos(m angle) - 2 k, where k counts the intervals of pi / m that the angle has passed."""
    k = math.floor(angle * m / math.pi)
    return (-1) ** k * math.cos(m * angle) - 2 * k


@pytest.mark.parametrize("margin", MARGINS)
def test_forward(margin):
    x = values(7, 5)
    layer = MarginInnerProduct(4, margin, base=10.0, gamma=0.5, iteration=3, power=2.0)
    module = module_of(layer, shapes_of((x, LABELS)), 2).double()
    module.weight.data.sub_(0.5)
    rows = module.weight.detach().numpy().copy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for passes in (4, 5):
        top, blend = module(x, LABELS)
        assert blend.item() == pytest.approx(10 * (1 + 0.5 * passes) ** -2)
        expected = x.numpy() @ rows.T
        for i, label in enumerate(LABELS.tolist()):
            length = np.linalg.norm(x[i])
            angle = math.acos(expected[i, label] / length)
            own = length * psi(angle, MARGINS[margin])
            expected[i, label] = (own + blend.item() * expected[i, label]) / (1 + blend.item())
        np.testing.assert_allclose(top.detach(), expected, rtol=1e-9)
        np.testing.assert_allclose(module.weight.detach(), rows, rtol=1e-12)


def test_direction_of_the_gradient():
    """Where only the label's product has a gradient and lambda is 0, that of x is the derivative, scaled."""
    x, labels = values(1, 5), torch.tensor([1])
    for margin in ("DOUBLE", "TRIPLE", "QUADRUPLE"):
        module = module_of(MarginInnerProduct(4, margin, base=0.0), ((1, 5), (1,)), 2).double()
        given = x.clone().requires_grad_()
        module(given, labels)[0][0, 1].backward()

        def value(at, module=module):
            return module(at, labels)[0][0, 1].item()

        steps = torch.eye(5, dtype=torch.float64) * 1e-6
        derivative = torch.tensor([(value(x + s) - value(x - s)) / 2e-6 for s in steps]).double()
        cosine = torch.cosine_similarity(given.grad[0], derivative, 0)
        assert cosine.item() == pytest.approx(1, abs=1e-6)
        assert given.grad.norm() != pytest.approx(derivative.norm().item(), rel=1e-3)


def test_passes_are_counted_and_resumed(net_from):
    net = net_from(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }'
        'layer { name: "m" type: "MarginInnerProduct" bottom: "x" bottom: "y" top: "m" top: "lambda" '
        'margin_inner_product_param { num_output: 2 base: 4 gamma: 1 weight_filler { type: "xavier" } } }'
    )
    given = (torch.ones(2, 3), torch.zeros(2))
    found = [net(*given)["lambda"].item() for _ in range(3)]
    assert found == pytest.approx([2, 4 / 3, 1])
    restore_pass_state(net, {"m.iteration.test": torch.tensor(1.0)})
    assert net(*given)["lambda"].item() == pytest.approx(4 / 3)


def test_files_and_shapes():
    assert MarginInnerProduct(2, gamma=0.1).carries_state
    assert not MarginInnerProduct(2, gamma=0.1, power=0.0).carries_state
    layer = round_trip("MarginInnerProduct", num_output=5, type="TRIPLE", lambda_min=5.0, iteration=7)
    assert layer == MarginInnerProduct(5, "TRIPLE", lambda_min=5.0, iteration=7)
    assert repr(layer.infer(((UNKNOWN, 3), (4,)), 2)) == "((?, 5), (1,))"
    assert layer.cost(((7, 6), (7,)), ((7, 5),)).macs == 7 * 6 * 5
    with raises("E103", "`num_output` is 0: it must be positive"):
        round_trip("MarginInnerProduct", num_output=0)
    with raises("E102", r"labels \[6\] for 7 vectors"):
        layer.infer(((7, 6), (6,)), 2)
    with raises("E301", "label outside 0 to 4: 9"):
        module_of(layer, ((1, 3), (1,)), 2)(torch.ones(1, 3), torch.tensor([9.0]))
