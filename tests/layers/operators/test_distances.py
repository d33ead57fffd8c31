"""SquaredL2Distance, L1Distance, DotProduct, CosineSimilarity and the criteria on them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run

A, B, G = reals(4, 6), reals(4, 6, seed=1), reals(4, seed=2)
A[0, 0] = B[0, 0]
SHAPES = [(4, 6), (4, 2, 3)]


def distance(type, a, b, g):
    """The numbers by row, and the gradients; transcribed from `distance_op.cc`, in float64."""
    a, b, g = a.astype(np.float64), b.astype(np.float64), g.astype(np.float64)[:, None]
    if type == "SquaredL2Distance":
        return ((a - b) ** 2).sum(1) / 2, g * (a - b), g * (b - a)
    if type == "L1Distance":
        sign = np.where(np.abs(a - b) > 1e-12, np.sign(a - b), 0)
        return np.abs(a - b).sum(1), g * sign, -g * sign
    dot = (a * b).sum(1)
    if type == "DotProduct":
        return dot, g * b, g * a
    xn, yn = (np.sqrt(np.maximum((x**2).sum(1), 1e-12))[:, None] for x in (a, b))
    dot = dot[:, None]
    da = g / (xn * yn) * b - g * dot / (xn**2 * xn * yn) * a
    db = g / (xn * yn) * a - g * dot / (yn**2 * xn * yn) * b
    return (dot / (xn * yn))[:, 0], da, db


@pytest.mark.parametrize("type", ["SquaredL2Distance", "L1Distance", "DotProduct", "CosineSimilarity"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows(type, shape):
    expected = distance(type, A, B, G)
    np.testing.assert_allclose(run(type, A.reshape(shape), B.reshape(shape)), expected[0], rtol=1e-5, atol=1e-6)
    found = gradients(type, A.reshape(shape), B.reshape(shape), upstream=[G])
    for array, gradient in zip(found, expected[1:]):
        np.testing.assert_allclose(array, gradient.reshape(shape), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("type", ["SquaredL2Distance", "L1Distance", "DotProduct", "CosineSimilarity"])
def test_other_shapes(type):
    """The elements of vectors are rows of their own, and a scalar is one row."""
    columns = run(type, A[:, 1:2], B[:, 1:2])
    np.testing.assert_allclose(run(type, A[:, 1], B[:, 1]), columns)
    np.testing.assert_allclose(run(type, A[0, 1], B[0, 1]), columns[:1])
    assert run(type, A[:0], B[:0]).shape == (0,)
    assert run(type, A[:, :0], B[:, :0]).shape == ((0,) if type == "DotProduct" else (4,))
    with raises("E102"):
        run(type, A, B[:, :5])
    with raises("E107"):
        run(type, ints(1), ints(1))


def test_short_vectors_of_cosine_similarity():
    a, b = np.float32([[0, 0], [1e-7, 0]]), np.float32([[1, 2], [1, 0]])
    expected = distance("CosineSimilarity", a, b, G[:2])
    np.testing.assert_allclose(run("CosineSimilarity", a, b), expected[0], rtol=1e-5)
    for found, gradient in zip(gradients("CosineSimilarity", a, b, upstream=[G[:2]]), expected[1:]):
        np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-12)


def test_small_differences_of_l1_distance_have_no_gradient():
    a, b = np.float32([[1e-13, 1e-6]]), np.float32([[0, 0]])
    assert gradients("L1Distance", a, b, upstream=[[1]])[0].tolist() == [[0, 1]]


def test_margins_of_rankings():
    a, b, y = np.float32([1, 2, 3, 1]), np.float32([2, 1, 0, 0]), ints(1, -1, 1, 1)
    g = np.float32([1, 2, 3, 4])
    assert run("MarginRankingCriterion", a, b, y).tolist() == [2, 2, 0, 0]
    da, db = gradients("MarginRankingCriterion", a, b, y, upstream=[g])
    assert da.tolist() == [-1, 2, 0, -4]  # the last one is at the margin, where the gradient is that of a loss
    assert db.tolist() == [1, -2, 0, 4]
    assert run("MarginRankingCriterion", a, b, y, margin=0.0).tolist() == [1, 1, 0, 0]
    assert run("MarginRankingCriterion", a.reshape(2, 2), b, y).shape == (2, 2)
    assert np.isnan(run("MarginRankingCriterion", a * np.nan, b, y)).all()
    for inputs in ((a, b[:3], y), (a, b, y[:3])):
        with raises("E102", "as many elements"):
            run("MarginRankingCriterion", *inputs)
    with raises("E107"):
        run("MarginRankingCriterion", a, b, y.astype(np.int64))


def test_margins_of_similarities():
    s, y, g = np.float32([0.5, 0.5, 0.25, 0, -1]), ints(1, -1, -1, -1, 1), np.float32([1, 2, 3, 4, 5])
    assert run("CosineEmbeddingCriterion", s, y, margin=0.25).tolist() == [0.5, 0.25, 0, 0, 2]
    assert gradients("CosineEmbeddingCriterion", s, y, upstream=[g], margin=0.25)[0].tolist() == [-1, 2, 3, 0, -5]
    assert run("CosineEmbeddingCriterion", s, y).tolist() == [0.5, 0.5, 0.25, 0, 2]
    with raises("E102", "as many elements"):
        run("CosineEmbeddingCriterion", s, y[:2])
    with raises("E006", "expected a float"):
        described("CosineEmbeddingCriterion", 2, margin=1)
