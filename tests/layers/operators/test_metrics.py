"""Accuracy, MultiClassAccuracy, Perplexity."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import ints, raises, reals, run

SCORES = np.round(reals(40, 6) * 2)  # with ties
LABELS = np.random.default_rng(1).integers(0, 6, 40).astype(np.int32)


@pytest.mark.parametrize("top_k", [1, 2, 5, 6])
def test_accuracy(top_k):
    best = np.argsort(-SCORES, axis=1, kind="stable")[:, :top_k]
    expected = np.mean([label in row for label, row in zip(LABELS, best)])
    found = run("Accuracy", SCORES, LABELS, top_k=top_k)
    assert found.shape == ()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_accuracy_by_class():
    accuracies, amounts = run("MultiClassAccuracy", SCORES, LABELS % 5, outputs=2)
    right = SCORES.argmax(1) == LABELS % 5
    assert amounts.tolist() == [int((c == LABELS % 5).sum()) for c in range(6)]
    np.testing.assert_allclose(accuracies[:5], [right[c == LABELS % 5].mean() for c in range(5)], rtol=1e-6)
    assert accuracies[5] == 0


def test_scores_that_are_not_numbers():
    """NaN is never larger than another score, and neither is minus infinity than the lowest number."""
    scores = np.float32([[np.nan, 1], [1, np.nan], [-np.inf, -np.inf]])
    accuracies, amounts = run("MultiClassAccuracy", scores, ints(1, 0, 0), outputs=2)
    assert accuracies.tolist() == [1, 1]
    assert amounts.tolist() == [2, 1]


def test_perplexity():
    p = np.random.default_rng(1).uniform(0.1, 1, 7).astype(np.float32)
    np.testing.assert_allclose(run("Perplexity", p), np.prod(p.astype(np.float64) ** (-1 / 7)), rtol=1e-5)
    assert run("Perplexity", p[:0]) == 1


@pytest.mark.parametrize("type", ["Accuracy", "MultiClassAccuracy"])
def test_what_is_refused(type):
    outputs = 1 if type == "Accuracy" else 2
    for label in (6, -1):
        with raises("E301", "label outside 0 to 5"):
            run(type, SCORES[:1], ints(label), outputs=outputs)
    for inputs in ((SCORES, LABELS[:, None]), (SCORES, LABELS[:3]), (SCORES[..., None], LABELS)):
        with raises("E102"):
            run(type, *inputs, outputs=outputs)
    with raises("E107", "int64"):
        run(type, SCORES, LABELS.astype(np.int64), outputs=outputs)
    with raises("E102"):
        run("Perplexity", SCORES)
