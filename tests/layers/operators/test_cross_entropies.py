"""LabelCrossEntropy, CrossEntropy, SigmoidCrossEntropyWithLogits, AveragedLoss, MakeTwoClass."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run

P = np.random.default_rng(0).dirichlet(np.ones(4), 3).astype(np.float32)
P[0, 0] = 1e-25
SOFT = np.random.default_rng(1).dirichlet(np.ones(4), 3).astype(np.float32)
LABELS, G = ints(0, 2, 3), reals(3)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_labels(shape):
    found = run("LabelCrossEntropy", P, LABELS.reshape(shape))
    own = np.maximum(P[range(3), LABELS], 1e-20)
    np.testing.assert_allclose(found, -np.log(own), rtol=1e-6)
    expected = np.zeros_like(P)
    expected[range(3), LABELS] = -G / own
    (gradient,) = gradients("LabelCrossEntropy", P, LABELS.reshape(shape), upstream=[G])
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_distributions():
    clipped = np.maximum(P, 1e-20)
    np.testing.assert_allclose(run("CrossEntropy", P, SOFT), -(SOFT * np.log(clipped)).sum(1), rtol=1e-6)
    gradient, none = gradients("CrossEntropy", P, SOFT, upstream=[G])
    np.testing.assert_allclose(gradient, -G[:, None] * SOFT / clipped, rtol=1e-5)
    assert none is None


def test_a_vector_is_one_row():
    np.testing.assert_allclose(run("LabelCrossEntropy", P[1], ints(2)), -np.log(P[1, 2:3]), rtol=1e-6)
    with raises("E102"):
        run("LabelCrossEntropy", P[1], LABELS)
    np.testing.assert_array_equal(run("CrossEntropy", P[1], SOFT[1:2]), run("CrossEntropy", P, SOFT)[1:2])
    assert run("CrossEntropy", P[:, 1:2], SOFT[:, 0]).shape == (3,)
    images = P.reshape(3, 2, 2)
    np.testing.assert_array_equal(run("LabelCrossEntropy", images, LABELS), run("LabelCrossEntropy", P, LABELS))


def test_cross_entropies_refuse():
    with raises("E301", "label outside 0 to 3: 4"):
        run("LabelCrossEntropy", P, LABELS + 1)
    with raises("E107", "int64"):
        run("LabelCrossEntropy", P, LABELS.astype(np.int64))
    for labels in (LABELS[:2], ints(0, 1, 2, 3, 0, 1).reshape(3, 2)):
        with raises("E102", "labels have shape"):
            run("LabelCrossEntropy", P, labels)
    for label in (1.5, -0.1, np.nan):
        with raises("E301", "label outside 0 to 1"):
            run("CrossEntropy", P, np.full_like(P, label))
    for p, labels in ((P, SOFT[:, :3]), (P, SOFT.reshape(3, 2, 2)), (P[1], SOFT[1]), (P, SOFT[:, 0])):
        with raises("E102", "labels have shape"):
            run("CrossEntropy", p, labels)
    with raises("E102", "scalar"):
        run("CrossEntropy", P[0, 0], P[0, 0])


LOGITS = np.array([[-2.5, 0, 3], [100, -100, 0.5]], np.float32)
TARGETS = np.array([[1, 0, 0.25], [0, 1, 1]], np.float32)


def sigmoid_loss(x, t, variant):
    """The loss and its derivative by element; transcribed from `cross_entropy_op.cc`, in float64."""
    x, t = x.astype(np.float64), t.astype(np.float64)
    positive = x >= 0
    log = np.log(1 + np.exp(x - 2 * x * positive))
    with np.errstate(over="ignore"):
        if variant == "log_D_trick":
            return -(2 * t - 1) * (x - (x * positive + log)), -(2 * t - 1) / (1 + np.exp(x))
        s = 1 / (1 + np.exp(-x))
    if variant == "unjoined_lr_loss":
        return -(x * t + (t - 1) * x * positive - (1 - t) * log), -(t - (1 - t) * s)
    return -(x * (t - positive) - log), -(t - s)


@pytest.mark.parametrize("variant", ["", "log_D_trick", "unjoined_lr_loss", "weighted"])
def test_sigmoids(variant):
    loss, derivative = sigmoid_loss(LOGITS, TARGETS, variant)
    type, inputs, arguments = "SigmoidCrossEntropyWithLogits", (LOGITS, TARGETS), {}
    if variant == "weighted":
        weights = np.abs(reals(2, 3))
        type, inputs = "WeightedSigmoidCrossEntropyWithLogits", (*inputs, weights)
        loss, derivative = loss * weights, derivative * weights
    elif variant:
        arguments = {variant: 1}
    np.testing.assert_allclose(run(type, *inputs, **arguments), loss.mean(1), rtol=1e-5)
    g = np.array([2, -3], np.float32)
    found = gradients(type, *inputs, upstream=[g], **arguments)
    np.testing.assert_allclose(found[0], g[:, None] * derivative / 3, rtol=1e-5, atol=1e-7)
    assert found[1:] == [None] * len(found[1:])


def test_sigmoids_of_other_shapes():
    scalar = run("SigmoidCrossEntropyWithLogits", LOGITS[0, 2], TARGETS[0, 2])
    np.testing.assert_allclose(scalar, sigmoid_loss(LOGITS[0, 2], TARGETS[0, 2], "")[0], rtol=1e-5)
    assert run("SigmoidCrossEntropyWithLogits", LOGITS[None], TARGETS[None]).shape == (1, 2)
    with raises("E101", "exclude"):
        described("SigmoidCrossEntropyWithLogits", 2, log_D_trick=1, unjoined_lr_loss=1)
    with raises("E102"):
        run("SigmoidCrossEntropyWithLogits", LOGITS, TARGETS[:1])
    with raises("E102"):
        run("WeightedSigmoidCrossEntropyWithLogits", LOGITS, TARGETS, TARGETS[:1])


def test_the_mean():
    x = reals(2, 3)
    np.testing.assert_allclose(run("AveragedLoss", x), x.mean(), rtol=1e-5)
    np.testing.assert_allclose(gradients("AveragedLoss", x, upstream=[3])[0], np.full((2, 3), 0.5))
    assert run("AveragedLoss", reals(0)) == 0
    with raises("E107"):
        run("AveragedLoss", ints(1))


def test_two_classes():
    np.testing.assert_array_equal(run("MakeTwoClass", P), np.stack([1 - P, P], -1))
    g = reals(3, 4, 2)
    np.testing.assert_allclose(gradients("MakeTwoClass", P, upstream=[g])[0], g[..., 1] - g[..., 0])
