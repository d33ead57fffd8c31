import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.metric_learning.inner_distance import InnerDistance
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, shapes_of

WHOLE = {"inner_distance_param.distance_type": {"inner_distance_param": {"num_output": 4, "distance_type": "L1"}}}

OF_OWN = "of the classes, from the vectors of the class only"
TRIPLE = ((6, 5), (4, 5), (6,)), ((3, 5), (7, 5), (3,))
CASES = [
    Case(InnerDistance(4), ((6, 3, 2),), ((5, 6),), source=Source()),
    Case(InnerDistance(4, axis=-1, distance_type="L1"), ((2, 3, 5),), ((4, 5),), source=Source()),
    Case(InnerDistance(), ((6, 5), (4, 5)), ((3, 5), (7, 5)), source=Source()),
    Case(
        InnerDistance(update_center_only=True),
        *TRIPLE,
        integers=(2,),
        below=4,
        source=Source(own_gradient=OF_OWN),
    ),
    Case(
        InnerDistance(4, normalize=True),
        ((6, 5),),
        ((3, 5),),
        source=Source(own_gradient="with respect to the rows after they were normalized"),
    ),
]


def distances(x, classes, kind):
    difference = x[:, None] - classes[None]
    return (np.abs(difference) if kind == "L1" else difference**2).sum(2), difference


@pytest.mark.parametrize("kind", ["L1", "L2"])
@pytest.mark.parametrize("own", [False, True])
def test_values_and_gradients(kind, own):
    x, classes, top = values(6, 5).requires_grad_(), values(4, 5, seed=7).requires_grad_(), values(6, 4, seed=5)
    labels = torch.tensor([3, 0, 1, 1, 3, 0])
    layer = InnerDistance(distance_type=kind, update_center_only=own)
    y = module_of(layer, shapes_of((x, classes, labels)))(x, classes, labels)
    y.backward(top)
    expected, difference = distances(x.detach().numpy(), classes.detach().numpy(), kind)
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-12)
    slope = (np.sign(difference) if kind == "L1" else 2 * difference) * top.numpy()[:, :, None]
    np.testing.assert_allclose(x.grad, slope.sum(1), rtol=1e-9)
    counted = np.eye(4)[labels][:, :, None] if own else 1
    np.testing.assert_allclose(classes.grad, -(slope * counted).sum(0), rtol=1e-9)


def test_rows_are_normalized_in_the_blob():
    x = values(3, 5)
    module = module_of(InnerDistance(4, normalize=True), ((3, 5),)).double()
    rows = module.weight.detach().numpy().copy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(module(x).detach(), distances(x.numpy(), rows, "L2")[0])
    np.testing.assert_allclose(module.weight.detach(), rows)


def test_a_vector_at_its_center_has_no_gradient():
    x = torch.ones(1, 3, requires_grad=True)
    module_of(InnerDistance(), ((1, 3), (2, 3)))(x, torch.tensor([[1.0, 1, 1], [1, 1, 1]])).sum().backward()
    assert not x.grad.any()


def test_files_and_shapes():
    layer = round_trip("InnerDistance", num_output=3, distance_type="L1", normalize=True)
    assert layer == InnerDistance(3, distance_type="L1", normalize=True)
    assert round_trip("InnerDistance", num_output=3, bias_term=False) == InnerDistance(3)
    assert repr(layer.infer(((UNKNOWN, 4),), 1)) == "((?, 3),)"
    assert layer.cost(((7, 6),), ((7, 3),)).operations == 3 * 7 * 6 * 3
    with raises("E103", "`num_output` is 0"):
        InnerDistance().infer(((7, 6),), 1)
    with raises("E102", r"vectors of classes \[4,5\] for vectors \[7,6\]"):
        layer.infer(((7, 6), (4, 5)), 1)
    with raises("E101", "needs three bottoms"):
        InnerDistance(update_center_only=True).infer(((7, 6), (4, 6)), 1)
    with raises("E102", r"labels \[6\] for vectors"):
        InnerDistance(update_center_only=True).infer(((7, 6), (4, 6), (6,)), 1)


@pytest.mark.parametrize(
    ("code", "text", "message"),
    [
        ("E103", "unknown `distance_type` `L3`", {"distance_type": "L3"}),
        ("E106", "`transpose` is not supported", {"transpose": True}),
        ("E106", "`bias_term` is not supported", {"bias_term": True}),
    ],
)
def test_parameters(code, text, message):
    with raises(code, text):
        layer_of("InnerDistance", {"inner_distance_param": {"num_output": 2, **message}})
