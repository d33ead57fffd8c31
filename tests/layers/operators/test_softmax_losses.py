"""SoftmaxWithLoss, SpatialSoftmaxWithLoss."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(5, 4) * 3
LABELS = ints(3, 0, 1, 1, 2)
SOFT = np.random.default_rng(2).dirichlet(np.ones(4), 5).astype(np.float32)
WEIGHTS = np.array([1, 0, 2, 0.5, 1], np.float32)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def reference(x, labels, weights=None, upstream=1.0, scale=1.0, average_by_batch_size=False):
    """Probabilities, loss and gradient; transcribed from `softmax_with_loss_op.cc`, in float64."""
    x = x.astype(np.float64)
    p = softmax(x)
    weights = np.ones(len(x)) if weights is None else weights.astype(np.float64)
    loss, gradient = 0.0, p.copy()
    for i in range(len(x)):
        if labels.dtype.kind == "i":
            shifted = x[i] - x[i].max()
            loss -= (shifted[labels[i]] - np.log(np.exp(shifted).sum())) * weights[i]
            gradient[i, labels[i]] -= 1
        else:
            loss -= (np.log(np.maximum(p[i], 1e-20)) * labels[i]).sum() * weights[i]
            gradient[i] -= labels[i]
        gradient[i] *= weights[i]
    total = weights.sum()
    if total == 0:
        return p, 0.0, gradient
    count = len(x) if average_by_batch_size else total
    return p, loss * scale / count, gradient * scale / count * upstream


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"scale": 2.5}, {"average_by_batch_size": 1}])
def test_loss_and_gradient(arguments, soft, weighted):
    labels = SOFT if soft else LABELS
    inputs = (X, labels, WEIGHTS) if weighted else (X, labels)
    p, loss, gradient = reference(*inputs, upstream=0.7, **arguments)
    if soft:
        arguments = {**arguments, "label_prob": 1}
    found = run("SoftmaxWithLoss", *inputs, outputs=2, **arguments)
    np.testing.assert_allclose(found[0], p, rtol=1e-5)
    np.testing.assert_allclose(found[1], loss, rtol=1e-5)
    found = gradients("SoftmaxWithLoss", *inputs, outputs=2, upstream=[X, 0.7], **arguments)
    np.testing.assert_allclose(found[0], gradient, rtol=1e-4, atol=1e-7)
    assert found[1:] == [None] * len(found[1:])


@pytest.mark.parametrize("soft", [False, True])
def test_logits_far_apart(soft):
    """The logarithm of a label's own probability is exact; those of a distribution end at 1e-20."""
    x = np.array([[1000, 0, -1000], [-80, 80, 0]], np.float32)
    labels = np.array([[0, 0.5, 0.5], [1, 0, 0]], np.float32) if soft else ints(2, 0)
    _, loss, gradient = reference(x, labels)
    arguments = {"label_prob": 1} if soft else {}
    np.testing.assert_allclose(run("SoftmaxWithLoss", x, labels, outputs=2, **arguments)[1], loss, rtol=1e-6)
    found = gradients("SoftmaxWithLoss", x, labels, outputs=2, upstream=[x, 1], **arguments)
    np.testing.assert_allclose(found[0], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (5,)), (1, (5, 1)), (2, (5, 2)), (2, (5, 2, 1)), (0, (1,)), (-1, (5, 2))]
)
def test_all_axes_from_the_axis_are_classes(axis, shape):
    x = reals(5, 2, 3)
    rows = int(np.prod(x.shape[: axis % 3])) if axis else 1
    labels = (np.arange(rows) % 3).astype(np.int32)
    p, loss, _ = reference(x.reshape(rows, -1), labels)
    found = run("SoftmaxWithLoss", x, labels.reshape(shape), outputs=2, axis=axis)
    np.testing.assert_allclose(found[0], p.reshape(x.shape), rtol=1e-5)
    np.testing.assert_allclose(found[1], loss, rtol=1e-5)


def test_weights_of_0_and_no_rows():
    found = run("SoftmaxWithLoss", X, LABELS, WEIGHTS * 0, outputs=2)
    assert found[1] == 0
    (gradient, *_) = gradients("SoftmaxWithLoss", X, LABELS, WEIGHTS * 0, outputs=2, upstream=[X, 1])
    assert not gradient.any()
    assert run("SoftmaxWithLoss", X[:0], LABELS[:0], outputs=2)[1] == 0


def test_softmax_with_loss_refuses():
    for bad in (4, -1):
        with raises("E301", "label outside 0 to 3"):
            run("SoftmaxWithLoss", X, np.where(LABELS == 3, bad, LABELS).astype(np.int32), outputs=2)
    with raises("E301", "do not sum to 1"):
        run("SoftmaxWithLoss", X, SOFT * 0.9, outputs=2, label_prob=1)
    with raises("E301", "negative probability"):
        run("SoftmaxWithLoss", X, SOFT * 3 - 0.5, outputs=2, label_prob=1)
    with raises("E107", "int64"):
        run("SoftmaxWithLoss", X, LABELS.astype(np.int64), outputs=2)
    with raises("E107"):
        run("SoftmaxWithLoss", X, SOFT.astype(np.int32), outputs=2, label_prob=1)
    for labels in (LABELS[:4], SOFT.astype(np.int32), LABELS[None]):
        with raises("E102", "one label per row"):
            run("SoftmaxWithLoss", X, labels, outputs=2)
    with raises("E102", "probabilities per row"):
        run("SoftmaxWithLoss", X, SOFT[:, :3], outputs=2, label_prob=1)
    with raises("E102", "weights for 5 rows"):
        run("SoftmaxWithLoss", X, LABELS, WEIGHTS[:4], outputs=2)
    for type in ("SoftmaxWithLoss", "SpatialSoftmaxWithLoss"):
        with raises("E103", "negative"):
            described(type, 2, 2, scale=-1.0)
        with raises("E103", "NCHW"):
            described(type, 2, 2, order="NHWC")


PIXELS = reals(2, 3, 4, 5)
PIXEL_LABELS = np.random.default_rng(3).integers(-1, 3, (2, 4, 5)).astype(np.int32)


def spatial(x, labels, weights=None, scale=1.0):
    """Probabilities, loss and gradient; transcribed from `spatial_softmax_with_loss_op.cc`, in float64."""
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]).astype(np.float64)
    p, flat = softmax(rows), labels.ravel()
    weights = np.ones(len(flat)) if weights is None else weights.ravel().astype(np.float64)
    loss, total, gradient = 0.0, 0.0, p.copy()
    for i, label in enumerate(flat):
        if label == -1:
            gradient[i] = 0
            continue
        total += weights[i]
        loss -= np.log(max(p[i, label], 1e-20)) * weights[i]
        gradient[i, label] -= 1
        gradient[i] *= weights[i]
    gradient = gradient * scale / total if total > 0 else gradient
    shape = (x.shape[0], *x.shape[2:], x.shape[1])
    back = (np.moveaxis(array.reshape(shape), -1, 1) for array in (p, gradient))
    return next(back), loss / total if total else 0.0, next(back)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_pixels(scale, weighted):
    inputs = (PIXELS, PIXEL_LABELS, np.abs(reals(2, 4, 5))) if weighted else (PIXELS, PIXEL_LABELS)
    p, loss, gradient = spatial(*inputs, scale=scale)
    found = run("SpatialSoftmaxWithLoss", *inputs, outputs=2, scale=scale)
    np.testing.assert_allclose(found[0], p, rtol=1e-5)
    np.testing.assert_allclose(found[1], loss, rtol=1e-5)
    found = gradients("SpatialSoftmaxWithLoss", *inputs, outputs=2, upstream=[PIXELS, 0.5], scale=scale)
    np.testing.assert_allclose(found[0], gradient * 0.5, rtol=1e-4, atol=1e-7)
    assert found[1:] == [None] * len(found[1:])


def test_pixels_that_are_all_ignored_or_improbable():
    labels = np.full((1, 1, 1), -1, np.int32)
    x = np.array([100, -100, 0], np.float32).reshape(1, 3, 1, 1)
    assert run("SpatialSoftmaxWithLoss", x, labels, outputs=2)[1] == 0
    assert not gradients("SpatialSoftmaxWithLoss", x, labels, outputs=2, upstream=[x, 1])[0].any()
    np.testing.assert_allclose(run("SpatialSoftmaxWithLoss", x, labels + 2, outputs=2)[1], -np.log(1e-20), rtol=1e-6)
    found = gradients("SpatialSoftmaxWithLoss", x, labels + 2, outputs=2, upstream=[x, 1])
    np.testing.assert_allclose(found[0].ravel(), [1, -1, 0], atol=1e-7)


def test_spatial_refuses():
    for bad in (-2, 3):
        with raises("E301", "label outside 0 to 2"):
            run("SpatialSoftmaxWithLoss", PIXELS, np.full_like(PIXEL_LABELS, bad), outputs=2)
    with raises("E102", "4 axes"):
        run("SpatialSoftmaxWithLoss", X, LABELS, outputs=2)
    with raises("E102", r"expected \[2,4,5\]"):
        run("SpatialSoftmaxWithLoss", PIXELS, PIXEL_LABELS[:, :2], outputs=2)
    with raises("E102", "one per label"):
        run("SpatialSoftmaxWithLoss", PIXELS, PIXEL_LABELS, WEIGHTS, outputs=2)
    with raises("E107"):
        run("SpatialSoftmaxWithLoss", PIXELS, PIXEL_LABELS.astype(np.int64), outputs=2)
