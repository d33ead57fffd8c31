import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.cross_entropy import LARGEST, InfogainLoss, SigmoidCrossEntropyLoss, SoftmaxWithLoss
from netc.runtime.modules import register_constant
from tests.layers.case import LABELLED, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    Case(made("InfogainLoss"), (*LABELLED[0], (5, 5)), (*LABELLED[1], (5, 5)), integers=(1,), below=5, held=(2,)),
    Case(made("SigmoidCrossEntropyLoss"), ((4, 5), (4, 5)), ((2, 3, 2), (2, 3, 2)), held=(1,)),
    Case(made("SoftmaxWithLoss"), *LABELLED, integers=(1,), below=5),
]


SCORES = values(3, 5, 4, 2)
LABELS = torch.arange(24.0, dtype=torch.float64).reshape(3, 1, 4, 2) % 5
MATRIX = values(5, 5, seed=8)
MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")


def softmax(scores: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(scores - scores.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def summed(scores, labels, matrix, axis: int, ignore: int | None) -> tuple[float, int, np.ndarray]:
    """Sum, counted places and gradient of the weighted log loss, one place after the other."""
    moved = np.moveaxis(softmax(np.asarray(scores), axis), axis, -1)
    labels = np.asarray(labels).reshape(moved.shape[:-1]).astype(int)
    gradient, total, count = np.zeros(moved.shape), 0.0, 0
    for place in np.ndindex(labels.shape):
        if labels[place] == ignore:
            continue
        row, p = matrix[labels[place]], moved[place]
        total -= (row * np.log(p)).sum()
        gradient[place] = p * row.sum() - row
        count += 1
    return total, count, np.moveaxis(gradient, -1, axis)


def divisor(mode: str, places: int, outer: int, count: int) -> int:
    return max(1, {"FULL": places, "VALID": count, "BATCH_SIZE": outer, "NONE": 1}[mode])


def backward(layer, *bottoms, tops: int = 1):
    """The first top and the gradient that 1.5 times it sends to the first bottom."""
    x = bottoms[0].clone().requires_grad_()
    loss = module_of(layer, tuple(tuple(b.shape) for b in bottoms), tops)(x, *bottoms[1:])
    loss = loss if isinstance(loss, torch.Tensor) else loss[0]
    (1.5 * loss).backward()
    return loss.item(), x.grad.numpy()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignore", [None, 3, 9])
def test_softmax_loss_of_each_normalization(mode, ignore):
    total, count, gradient = summed(SCORES, LABELS, np.eye(5), 1, ignore)
    by = divisor(mode, 24, 3, count)
    loss, found = backward(SoftmaxWithLoss(ignore, mode), SCORES, LABELS)
    assert loss == pytest.approx(total / by, rel=1e-12)
    np.testing.assert_allclose(found, 1.5 * gradient / by, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(
    ("layer", "bottoms"),
    [
        (SoftmaxWithLoss, (SCORES, LABELS)),
        (InfogainLoss, (SCORES, LABELS, MATRIX)),
        (SigmoidCrossEntropyLoss, (SCORES, values(3, 5, 4, 2, seed=4).sigmoid())),
    ],
)
def test_a_fixed_normalizer_from_the_file(layer, bottoms):
    whole = backward(layer(normalization="NONE"), *bottoms)
    for number, by in ((37.5, 37.5), (0.25, 1)):
        loss, gradient = backward(layer(normalization="PRE_FIXED", pre_fixed_normalizer=number), *bottoms)
        assert loss == pytest.approx(whole[0] / by, rel=1e-12)
        np.testing.assert_allclose(gradient, whole[1] / by, rtol=1e-12)
    given = {"normalization": "PRE_FIXED", "pre_fixed_normalizer": 37.5}
    made = layer_from(layer.type, loss_param=given)
    assert (made.normalization, made.pre_fixed_normalizer) == ("PRE_FIXED", 37.5)
    assert made.to_caffe()["loss_param"] == given


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignore", [None, 3])
def test_infogain_loss_of_each_normalization(mode, ignore):
    total, count, gradient = summed(SCORES, LABELS, MATRIX.numpy(), 1, ignore)
    by = divisor(mode, 24, 3, count)
    layer = InfogainLoss(ignore_label=ignore, normalization=mode)
    loss, found = backward(layer, SCORES, LABELS, MATRIX)
    assert loss == pytest.approx(total / by, rel=1e-12)
    np.testing.assert_allclose(found, 1.5 * gradient / by, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("axis", [2, -2])
def test_another_class_axis_and_the_probabilities(axis):
    labels = torch.arange(30.0, dtype=torch.float64).reshape(3, 5, 2) % 4
    for layer, more in ((SoftmaxWithLoss(axis=axis), ()), (InfogainLoss(axis=axis), (torch.eye(4).double(),))):
        total, count, _ = summed(SCORES, labels, np.eye(4), 2, None)
        loss, probabilities = run(layer, SCORES, labels, *more, tops=2)
        assert loss == pytest.approx(total / count, rel=1e-12)
        np.testing.assert_allclose(probabilities, softmax(SCORES.numpy(), 2), rtol=1e-12)


def test_probabilities_pass_no_gradient():
    module = module_of(SoftmaxWithLoss(), ((3, 5, 4, 2), (3, 1, 4, 2)), tops=2)
    _, probabilities = module(SCORES.clone().requires_grad_(), LABELS)
    assert not probabilities.requires_grad


@pytest.mark.parametrize("layer", [SoftmaxWithLoss(ignore_label=2), SigmoidCrossEntropyLoss(2, "VALID")])
def test_a_batch_without_a_valid_label_has_zero_loss(layer):
    labels = torch.full((3, 5) if isinstance(layer, SigmoidCrossEntropyLoss) else (3,), 2.0, dtype=torch.float64)
    loss, gradient = backward(layer, values(3, 5), labels)
    assert loss == 0
    np.testing.assert_array_equal(gradient, 0)


def test_ignored_places_may_hold_anything():
    scores = values(3, 5)
    without, _ = backward(SoftmaxWithLoss(), scores[::2], torch.tensor([1.0, 4.0]))
    scores[1] = torch.nan
    loss, gradient = backward(SoftmaxWithLoss(ignore_label=255), scores, torch.tensor([1.0, 255.0, 4.0]))
    assert loss == pytest.approx(without, rel=1e-12)
    assert np.isfinite(gradient[::2]).all()


def test_largest_loss_is_bounded_but_its_gradient_is_not():
    scores = torch.tensor([[0.0, 200.0, 1.0], [0.0, 1e9, 0.0]])
    loss, gradient = backward(SoftmaxWithLoss(), scores, torch.tensor([0.0, 2.0]))
    assert loss == pytest.approx(87.33654475, rel=1e-7)
    assert pytest.approx(loss, rel=1e-7) == LARGEST
    np.testing.assert_allclose(gradient, [[-0.75, 0.75, 0], [0, 0.75, -0.75]], atol=1e-6)
    floor = backward(InfogainLoss(), scores, torch.tensor([0.0, 2.0]), torch.eye(3))
    assert floor[0] == pytest.approx(-math.log(1e-20), rel=1e-6)
    np.testing.assert_allclose(floor[1], gradient, atol=1e-6)


def test_a_class_of_probability_zero_has_a_finite_loss():
    scores = torch.tensor([[0.0, -math.inf, 1.0], [3.0, 1.0, 2.0]])
    loss, _ = backward(SoftmaxWithLoss(normalization="NONE"), scores, torch.tensor([1.0, 0.0]))
    assert loss == pytest.approx(LARGEST - math.log(softmax(scores[1].numpy(), 0)[0]), rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignore", [None, 1])
def test_sigmoid_loss_of_each_normalization(mode, ignore):
    x, t = values(4, 3, 2).numpy(), np.linspace(-1, 2.5, 24).reshape(4, 6)
    s, flat = 1 / (1 + np.exp(-x)), t.reshape(x.shape)
    valid = np.ones(x.shape, bool) if ignore is None else flat.astype(int) != ignore
    by = divisor(mode, 24, 4, valid.sum())
    total = -(np.where(valid, flat * np.log(s) + (1 - flat) * np.log(1 - s), 0)).sum()
    loss, gradient = backward(SigmoidCrossEntropyLoss(ignore, mode), torch.tensor(x), torch.tensor(t))
    assert loss == pytest.approx(total / by, rel=1e-12)
    np.testing.assert_allclose(gradient, 1.5 * np.where(valid, s - flat, 0) / by, rtol=1e-10)


def test_sigmoid_loss_of_large_scores():
    (loss,) = run(SigmoidCrossEntropyLoss(normalization="NONE"), np.float32([[800, -900]]), np.float32([[0, 1]]))
    assert loss == 1700


@pytest.mark.parametrize(
    ("layer", "fixed"),
    [
        (SoftmaxWithLoss(3, "FULL"), {1: LABELS}),
        (InfogainLoss(ignore_label=3), {1: LABELS, 2: MATRIX}),
        (SigmoidCrossEntropyLoss(1, "VALID"), {1: LABELS.expand(3, 5, 4, 2).flatten(1)}),
    ],
)
def test_gradients(layer, fixed):
    assert gradcheck(layer, (3, 5, 4, 2), *(tuple(f.shape) for f in fixed.values()), fixed=fixed)


def test_infogain_matrix_from_a_constant():
    layer = InfogainLoss(source="h.binaryproto", axis=-1)
    bottoms = values(3, 5), torch.tensor([1.0, 0.0, 4.0], dtype=torch.float64)
    module = module_of(layer, ((3, 5), (3,)))
    with raises("E206", "the infogain matrix `h.binaryproto` was not read"):
        module(*bottoms)
    register_constant(module, "infogain", torch.ones(1, 1, 4, 4))
    with raises("E102", "expected an infogain matrix of 5x5 for 5 classes, got .1,1,4,4."):
        module(*bottoms)
    register_constant(module, "infogain", MATRIX.float().reshape(1, 1, 5, 5))
    (expected,) = run(InfogainLoss(), *bottoms, MATRIX.float().double())
    assert module(*bottoms).item() == expected


@pytest.mark.parametrize("label", [-1.0, 5.0, math.nan])
@pytest.mark.parametrize("layer", [SoftmaxWithLoss(), InfogainLoss()])
def test_labels_out_of_range(layer, label):
    bottoms = [values(2, 5), torch.tensor([3.0, label]), MATRIX][: 3 if isinstance(layer, InfogainLoss) else 2]
    with raises("E301", "label outside 0 to 4"):
        module_of(layer, tuple(tuple(b.shape) for b in bottoms))(*bottoms)


def test_labels_are_truncated_towards_zero():
    whole = run(SoftmaxWithLoss(), SCORES, LABELS)
    np.testing.assert_array_equal(run(SoftmaxWithLoss(), SCORES, LABELS + 0.9), whole)
    module_of(SoftmaxWithLoss(), ((2, 5), (2,)))(values(2, 5), torch.tensor([-0.5, 4.5]))


def test_shapes():
    scores = (UNKNOWN, 5, UNKNOWN)
    assert repr(SoftmaxWithLoss().infer((scores, (UNKNOWN, 1, 7)), 2)) == "((), (?, 5, ?))"
    assert repr(InfogainLoss().infer((scores, (3, 1, 7), (5, 5)), 2)) == "((), (?, 5, ?))"
    assert SigmoidCrossEntropyLoss().infer((scores, (3, UNKNOWN)), 1) == ((),)
    assert SoftmaxWithLoss().cost(((3, 5, 4, 2), (3, 4, 2)), ((),)) == Cost(0, 504)
    assert InfogainLoss().cost(((3, 5, 4, 2), (3, 4, 2)), ((),)) == Cost(120, 600)
    assert SigmoidCrossEntropyLoss().cost(((3, 5), (3, 5)), ((),)) == Cost(0, 60)


@pytest.mark.parametrize("cls", [SoftmaxWithLoss, InfogainLoss])
@pytest.mark.parametrize(
    ("axis", "shapes", "text"),
    [
        (1, ((3, 5), (4,)), "3 items of data, but 4 of labels"),
        (1, ((3, 5), ()), "a bottom without axes"),
        (2, ((3, 5), (3,)), "axis 2 of a bottom with 2 axes"),
        (1, ((3, 5, 4), (3, 5)), "15 labels .3,5. for 12 predictions .3,5,4."),
    ],
)
def test_shapes_that_do_not_fit(cls, axis, shapes, text):
    with raises("E102", text):
        cls(axis=axis).infer((*shapes, (5, 5))[: 3 if cls is InfogainLoss else 2], 1)


def test_infogain_matrices_that_do_not_fit():
    with raises("E102", "expected an infogain matrix of 5x5 for 5 classes, got .5,4."):
        InfogainLoss().infer(((3, 5), (3,), (5, 4)), 1)
    with raises("E101", "the infogain matrix is missing"):
        InfogainLoss().infer(((3, 5), (3,)), 1)
    assert InfogainLoss(source="h").infer(((3, 5), (3,)), 1)[0] == ()


def test_targets_that_do_not_fit():
    with raises("E102", "15 scores .3,5., but 12 targets .3,4."):
        SigmoidCrossEntropyLoss().infer(((3, 5), (3, 4)), 1)
    with raises("E102", "3 items of data, but 5 of labels"):
        SigmoidCrossEntropyLoss().infer(((3, 5), (5, 3)), 1)


def test_files():
    loss = {"ignore_label": 255, "normalization": "FULL"}
    assert round_trip("SoftmaxWithLoss") == SoftmaxWithLoss()
    made = round_trip("SoftmaxWithLoss", loss_param=loss, softmax_param={"axis": 2})
    assert made == SoftmaxWithLoss(255, "FULL", 2)
    assert layer_from("SoftmaxWithLoss", loss_param={"normalize": False}).normalization == "BATCH_SIZE"
    assert layer_from("SoftmaxWithLoss", loss_param={"normalize": True}).normalization == "VALID"
    both = {"normalize": False, "normalization": "NONE"}
    assert layer_from("SoftmaxWithLoss", loss_param=both).normalization == "NONE"
    assert round_trip("SigmoidCrossEntropyLoss") == SigmoidCrossEntropyLoss(None, "BATCH_SIZE")
    assert round_trip("SigmoidCrossEntropyLoss", loss_param=loss) == SigmoidCrossEntropyLoss(255, "FULL")
    assert layer_from("SigmoidCrossEntropyLoss", loss_param={"normalize": True}).normalization == "VALID"
    assert round_trip("InfogainLoss") == InfogainLoss()
    made = round_trip("InfogainLoss", loss_param=loss, infogain_loss_param={"source": "h", "axis": 2})
    assert made == InfogainLoss("h", 2, 255, "FULL")
    with raises("E101", "does not take `normalize`"):
        layer_from("InfogainLoss", loss_param={"normalize": True})


def test_names_and_roles():
    assert v1_name("SoftmaxWithLoss") == "SOFTMAX_LOSS"
    assert v1_name("InfogainLoss") == "INFOGAIN_LOSS"
    assert v1_name("SigmoidCrossEntropyLoss") == "SIGMOID_CROSS_ENTROPY_LOSS"
    assert all(cls.is_loss for cls in (SoftmaxWithLoss, InfogainLoss, SigmoidCrossEntropyLoss))
    assert (SoftmaxWithLoss.no_gradient, InfogainLoss.no_gradient) == ((1,), (1, 2))


def test_sizes_and_traces():
    for layer, more in ((SoftmaxWithLoss(3), ()), (InfogainLoss(ignore_label=3), (MATRIX,))):
        second = (values(2, 5, 7), torch.ones(2, 7).double(), *more)
        resizes(layer, (SCORES, LABELS, *more), second, tops=2)
        traces(layer, SCORES, LABELS, *more, tops=2)
    layer = SigmoidCrossEntropyLoss(1, "VALID")
    resizes(layer, (values(3, 5), values(3, 5, seed=4)), (values(2, 7), values(2, 7, seed=4)))
    traces(layer, values(3, 5), values(3, 5, seed=4))
