import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.losses import ContrastiveLoss, EuclideanLoss, HingeLoss, MultinomialLogisticLoss
from tests.layers.case import ROWS, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, module_of, run

CASES = [
    Case(made("ContrastiveLoss", 2.0), ((6, 4), (6, 4), (6,)), ((3, 5), (3, 5), (3,)), integers=(2,)),
    Case(made("EuclideanLoss"), ((4, 3, 2), (4, 6)), ((3, 2), (3, 2))),
    Case(made("HingeLoss", "L2"), *ROWS, integers=(1,), below=5),
    Case(made("MultinomialLogisticLoss"), *ROWS, integers=(1,), below=5, positive=True),
]


SCORES = values(6, 5)
LABELS = torch.tensor([4.0, 0.0, 2.0, 2.0, 1.0, 3.0], dtype=torch.float64)
PROBABILITIES = SCORES.softmax(1)


def gradients(layer, *bottoms):
    """The loss, and the gradients of 1.5 times it at all bottoms; None where none arrives."""
    free = [b.clone().requires_grad_() for b in bottoms]
    loss = module_of(layer, tuple(tuple(b.shape) for b in bottoms))(*free)
    (1.5 * loss).backward()
    return loss.item(), [b.grad if b.grad is None else b.grad.numpy() for b in free]


def test_euclidean():
    a, b = values(4, 3, 2), values(4, 6, seed=9)
    loss, (to_a, to_b) = gradients(EuclideanLoss(), a, b)
    difference = a.numpy() - b.numpy().reshape(4, 3, 2)
    assert loss == pytest.approx((difference**2).sum() / 8, rel=1e-12)
    np.testing.assert_allclose(to_a, 1.5 * difference / 4, rtol=1e-12)
    np.testing.assert_allclose(to_b, -1.5 * difference.reshape(4, 6) / 4, rtol=1e-12)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge(norm):
    x, labels = 0.7 * SCORES.numpy(), LABELS.numpy().astype(int)
    total, gradient = 0.0, np.zeros((6, 5))
    for i, j in np.ndindex(6, 5):
        sign = -1 if j == labels[i] else 1
        margin = max(0, 1 + sign * x[i, j])
        total += margin if norm == "L1" else margin**2
        gradient[i, j] = sign * (margin > 0) if norm == "L1" else sign * 2 * margin
    loss, (found, to_labels) = gradients(HingeLoss(norm), torch.tensor(x), LABELS)
    assert loss == pytest.approx(total / 6, rel=1e-12)
    np.testing.assert_allclose(found, 1.5 * gradient / 6, rtol=1e-12)
    assert to_labels is None


def test_hinge_at_its_margin_has_no_gradient():
    _, (gradient, _) = gradients(HingeLoss(), torch.tensor([[1.0, -1.0, 0.0]]), torch.tensor([0.0]))
    np.testing.assert_array_equal(gradient, [[0, 0, 1.5]])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("form", [(6, 4), (6, 4, 1, 1)])
def test_contrastive(legacy, form):
    a, b = values(6, 4) / 2, values(6, 4, seed=9) / 2
    b[2] = a[2]
    similar = torch.tensor([1.0, 0.0, 0.0, 2.0, 0.0, 0.9], dtype=torch.float64)
    total, gradient = 0.0, np.zeros((6, 4))
    for i in range(6):
        difference = (a[i] - b[i]).numpy()
        squared = (difference**2).sum()
        short = 1.7 - (squared if legacy else np.sqrt(squared))
        if int(similar[i]):
            total, gradient[i] = total + squared, difference
        elif short > 0:
            total += short if legacy else short**2
            gradient[i] = -difference * (1 if legacy else short / (np.sqrt(squared) + 1e-4))
    bottoms = a.reshape(form), b.reshape(form), similar
    loss, (to_a, to_b, to_labels) = gradients(ContrastiveLoss(1.7, legacy), *bottoms)
    assert loss == pytest.approx(total / 12, rel=1e-12)
    np.testing.assert_allclose(to_a.reshape(6, 4), 1.5 * gradient / 6, rtol=1e-12)
    np.testing.assert_array_equal(to_b, -to_a)
    assert to_labels is None


def test_multinomial_logistic():
    p, labels = PROBABILITIES.numpy(), LABELS.numpy().astype(int)
    gradient = np.zeros((6, 5))
    gradient[np.arange(6), labels] = -1.5 / 6 / p[np.arange(6), labels]
    loss, (found, _) = gradients(MultinomialLogisticLoss(), PROBABILITIES, LABELS.reshape(6, 1, 1, 1))
    assert loss == pytest.approx(-np.log(p[np.arange(6), labels]).mean(), rel=1e-12)
    np.testing.assert_allclose(found, gradient, rtol=1e-12)


def test_multinomial_logistic_of_a_probability_of_zero():
    p = torch.tensor([[0.0, 1.0], [0.5, 0.5]], dtype=torch.float64)
    loss, (gradient, _) = gradients(MultinomialLogisticLoss(), p, torch.tensor([0.0, 1.0]))
    assert loss == pytest.approx(-(np.log(1e-20) + np.log(0.5)) / 2, rel=1e-12)
    np.testing.assert_allclose(gradient, [[-0.75e20, 0], [0, -1.5]], rtol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shapes", "fixed"),
    [
        (EuclideanLoss(), ((4, 3, 2), (4, 6)), {}),
        (HingeLoss("L2"), ((6, 5), (6,)), {1: LABELS}),
        (HingeLoss("L1"), ((6, 5), (6,)), {1: LABELS}),
        (ContrastiveLoss(2.0, True), ((6, 4), (6, 4), (6,)), {2: LABELS > 2}),
        (ContrastiveLoss(2.0), ((6, 4), (6, 4), (6,)), {2: LABELS > 2}),
    ],
)
def test_gradients(layer, shapes, fixed):
    assert gradcheck(layer, *shapes, fixed=fixed)


def test_gradient_of_multinomial_logistic():
    layer = MultinomialLogisticLoss()
    module = module_of(layer, ((6, 5), (6,)))
    assert torch.autograd.gradcheck(lambda p: module(p, LABELS), PROBABILITIES.clone().requires_grad_())


@pytest.mark.parametrize("layer", [HingeLoss(), MultinomialLogisticLoss()])
@pytest.mark.parametrize("label", [-1.0, 5.0])
def test_labels_out_of_range(layer, label):
    with raises("E301", f"label outside 0 to 4: {label:g}"):
        run(layer, PROBABILITIES[:2], torch.tensor([3.0, label]))


@pytest.mark.parametrize(
    ("layer", "shapes", "text"),
    [
        (EuclideanLoss(), ((4, 3), (5, 3)), "4 items of data, but 5 of labels"),
        (EuclideanLoss(), ((4, 3), (4, 5)), "3 elements per item .4,3., but 5 .4,5."),
        (EuclideanLoss(), ((), (4,)), r"a bottom without axes: \[\] and \[4\]"),
        (HingeLoss(), ((6, 5), (6, 2)), "expected one label per item, 6 in total, got labels of shape .6,2."),
        (HingeLoss(), ((6, 5), (4,)), "6 items of data, but 4 of labels"),
        (
            MultinomialLogisticLoss(),
            ((6, 5), (6, 1, 3)),
            "expected one label per item, 6 in total, got labels of shape .6,1,3.",
        ),
        (
            MultinomialLogisticLoss(),
            ((6, 5), (6, 1, 1, 1, 1)),
            "expected one label per item, 6 in total, got labels of shape .6,1,1,1,1.",
        ),
        (ContrastiveLoss(), ((6, 4), (5, 4), (6,)), "6 items of data, but 5 of labels"),
        (ContrastiveLoss(), ((6, 4), (6, 3), (6,)), "expected vectors of 4 elements in the second bottom, got 3"),
        (
            ContrastiveLoss(),
            ((6, 4, 2), (6, 4), (6,)),
            "expected vectors .n, c. or .n, c, 1, 1., got a bottom of shape .6,4,2.",
        ),
        (
            ContrastiveLoss(),
            ((6, 4, 1, 1, 1), (6, 4), (6,)),
            "expected vectors .n, c. or .n, c, 1, 1., got a bottom of shape .6,4,1,1,1.",
        ),
        (ContrastiveLoss(), ((6, 4), (6, 4), (5,)), "expected one label per item, 6 in total, got labels of shape .5."),
    ],
)
def test_shapes_that_do_not_fit(layer, shapes, text):
    with raises("E102", text):
        layer.infer(shapes, 1)


def test_unknown_extents():
    some = (UNKNOWN, UNKNOWN)
    assert EuclideanLoss().infer((some, (4, 3, 2)), 1) == ((),)
    assert HingeLoss().infer((some, (UNKNOWN,)), 1) == ((),)
    assert MultinomialLogisticLoss().infer((some, (6, 1)), 1) == ((),)
    assert ContrastiveLoss().infer((some, (6, 4), (UNKNOWN,)), 1) == ((),)


def test_files_names_and_costs():
    assert round_trip("EuclideanLoss") == EuclideanLoss()
    assert round_trip("MultinomialLogisticLoss") == MultinomialLogisticLoss()
    assert round_trip("HingeLoss") == HingeLoss("L1")
    assert round_trip("HingeLoss", norm="L2") == HingeLoss("L2")
    assert round_trip("ContrastiveLoss") == ContrastiveLoss(1.0, False)
    assert round_trip("ContrastiveLoss", margin=2.5, legacy_version=True) == ContrastiveLoss(2.5, True)
    assert v1_name("EuclideanLoss") == "EUCLIDEAN_LOSS"
    assert v1_name("HingeLoss") == "HINGE_LOSS"
    assert v1_name("ContrastiveLoss") == "CONTRASTIVE_LOSS"
    assert v1_name("MultinomialLogisticLoss") == "MULTINOMIAL_LOGISTIC_LOSS"
    assert EuclideanLoss().cost(((4, 3, 2), (4, 6)), ((),)) == Cost(0, 72)
    assert HingeLoss().cost(((6, 5), (6,)), ((),)) == Cost(0, 90)
    assert ContrastiveLoss().cost(((6, 4), (6, 4), (6,)), ((),)) == Cost(0, 102)
    assert MultinomialLogisticLoss().cost(((6, 5), (6,)), ((),)) == Cost(0, 18)
    assert all(c.is_loss for c in (EuclideanLoss, HingeLoss, ContrastiveLoss, MultinomialLogisticLoss))
    assert EuclideanLoss.no_gradient == ()
    assert ContrastiveLoss.no_gradient == (2,)


@pytest.mark.parametrize(
    ("layer", "first", "second"),
    [
        (EuclideanLoss(), (values(4, 3, 2), values(4, 6)), (values(5, 7), values(5, 7, seed=4))),
        (HingeLoss("L2"), (SCORES, LABELS), (values(2, 7), LABELS[:2])),
        (ContrastiveLoss(), (SCORES, SCORES / 2, LABELS), (values(2, 7), values(2, 7) * 2, LABELS[:2])),
        (MultinomialLogisticLoss(), (PROBABILITIES, LABELS), (values(2, 7).softmax(1), LABELS[:2])),
    ],
)
def test_sizes_and_traces(layer, first, second):
    resizes(layer, first, second)
    traces(layer, *first)
