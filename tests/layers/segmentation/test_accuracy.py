"""SegAccuracy and EltwiseAccuracy, compared with counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError, Source
from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.accuracy import EltwiseAccuracy, SegAccuracy
from tests.layers import case as cases
from tests.layers.case import Case
from tests.layers.contract import raises, round_trip, traces
from tests.layers.harness import layer_from, module_of, run

LABELS = ((2, 3, 2, 4), (2, 1, 2, 4)), ((1, 4, 3, 3), (1, 1, 3, 3))
CASES = [
    Case(SegAccuracy(), *LABELS, integers=(1,), below=3, source=cases.Source(role="metric")),
    Case(EltwiseAccuracy(2), *LABELS, integers=(1,), below=3, source=cases.Source(role="metric")),
]  # fmt: skip


def counts(scores, labels, ignored):
    matrix = np.zeros((scores.shape[1],) * 2)
    for n, h, w in np.ndindex(len(scores), *scores.shape[2:]):
        if labels[n, 0, h, w] not in ignored:
            pairs = sorted((score, c) for c, score in enumerate(scores[n, :, h, w]))
            matrix[int(labels[n, 0, h, w]), pairs[-1][1]] += 1
    return matrix


def measures(matrix):
    hits, labeled, union = matrix.diagonal(), matrix.sum(1), matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    recall = [h / n for h, n in zip(hits, labeled) if n]
    jaccard = [1 if h == u else h / u for h, u in zip(hits, union)]
    return [hits.sum() / matrix.sum(), np.mean(recall), np.mean(jaccard)]


def example(seed=1):
    random = np.random.default_rng(seed)
    scores = random.integers(0, 4, (2, 5, 3, 6)).astype(np.float64)  # with equal ones
    return scores, random.choice([0, 1, 3, 4, 255], (2, 1, 3, 6)).astype(np.float64)


def test_measures_of_a_confusion_matrix():
    scores, labels = example()
    layer = round_trip("SegAccuracy", ignore_label=[255, 4])
    (top,) = run(layer, scores, labels)
    assert top.shape == (1, 1, 1, 3)
    np.testing.assert_allclose(top.ravel(), measures(counts(scores, labels, (255, 4))))


def test_counts_accumulate_without_reset():
    layer = round_trip("SegAccuracy", ignore_label=[255], reset=False)
    module = module_of(layer, ((2, 5, 3, 6), (2, 1, 3, 6))).double().eval()
    total = 0
    for seed in range(3):
        scores, labels = example(seed)
        total = total + counts(scores, labels, (255,))
        found = module(torch.tensor(scores), torch.tensor(labels)).numpy().ravel()
        np.testing.assert_allclose(found, measures(total))


def test_nothing_to_count():
    labels = np.full((1, 1, 2, 2), 255.0)
    scores = np.zeros((1, 3, 2, 2))
    assert run(SegAccuracy(ignore_label=(255,)), scores, labels)[0].ravel().tolist() == [0, 0, 1]
    assert run(EltwiseAccuracy(ignore_label=(255,)), scores, labels)[0].ravel().tolist() == [0]


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_eltwise_accuracy(top_k):
    scores, labels = example()
    hits = [
        labels[n, 0, h, w] in [c for _, c in sorted((s, c) for c, s in enumerate(scores[n, :, h, w]))[-top_k:]]
        for n, h, w in np.ndindex(2, 3, 6)
        if labels[n, 0, h, w] != 255
    ]
    layer = round_trip("EltwiseAccuracy", top_k=top_k, ignore_label=[255])
    np.testing.assert_allclose(run(layer, scores, labels)[0].ravel(), [np.mean(hits)])


def test_a_label_beyond_the_classes_is_an_error():
    net = netc.load(Source("net", NET))
    with pytest.raises(NetcError, match="label outside 0 to 1") as caught:
        net(torch.zeros(1, 2, 1, 2), torch.tensor([1.0, 255]).view(1, 1, 1, 2))
    assert caught.value.diagnostics[0].code == "E301"


NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 1 dim: 2 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 dim: 1 dim: 1 dim: 2 } } }
layer { name: "acc" type: "SegAccuracy" bottom: "x" bottom: "label" top: "acc" }
"""


def test_shapes_and_traces():
    unknown = ((UNKNOWN, 3, 4, 5), (2, 1, UNKNOWN, 5))
    assert SegAccuracy().infer(unknown, 1) == ((1, 1, 1, 3),)
    traces(SegAccuracy(), torch.rand(1, 3, 2, 2), torch.ones(1, 1, 2, 2))
    traces(EltwiseAccuracy(2), torch.rand(1, 3, 2, 2), torch.ones(1, 1, 2, 2))
    with raises("E102", "got .* and .2,1,4."):
        SegAccuracy().infer(((2, 3, 4, 5), (2, 1, 4)), 1)
    with raises("E102", "`top_k` 4 exceeds 3 classes"):
        EltwiseAccuracy(4).infer(((2, 3, 4, 5), (2, 1, 4, 5)), 1)
    with raises("E103", "`top_k` is 0"):
        layer_from("EltwiseAccuracy", top_k=0)
