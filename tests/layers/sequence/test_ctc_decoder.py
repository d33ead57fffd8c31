import itertools

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers import layer_classes
from netc.layers.sequence.ctc_decoder import (
    CTCDecoder,
    CTCGreedyDecoder,
    EditDistanceAccuracy,
    IndicatedDecoder,
    LabelsequenceAccuracy,
    edit_distance,
)
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, round_trip, traces, values
from tests.layers.harness import layer_of, run

SCORE, METRIC = (Source(role=role, own_gradient="none") for role in ("score", "metric"))
CASES = [
    Case(CTCGreedyDecoder(), ((5, 2, 4),), ((6, 3, 4),), source=SCORE),
    Case(IndicatedDecoder(), ((5, 2, 4), (5, 2)), ((6, 3, 4), (6, 3)), integers=(1,), source=SCORE),
    Case(CTCDecoder(), ((5, 2, 4), (5, 2)), ((6, 3, 4), (6, 3)), integers=(1,), source=SCORE),
    Case(
        made("LabelsequenceAccuracy"), ((2, 5, 4), (2, 3)), ((3, 6, 4), (3, 2)), integers=(1,), below=4, source=METRIC
    ),
]


def best(path, blank, merges=True):
    kept = [label for label, _ in itertools.groupby(path)] if merges else path
    return [int(label) for label in kept if label != blank]


def distance(a, b):
    """Recursively, as the definition says."""
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))


def scores_of(paths, classes):
    """Scores (t, n, c) whose best classes are `paths`, one row for each sequence."""
    paths = np.array(paths)
    scores = values(*paths.T.shape, classes).numpy() / 10
    for n, t in np.ndindex(paths.shape):
        scores[t, n, paths[n, t]] += 3
    return scores


PATHS = [[1, 1, 0, 1, 2], [0, 0, 3, 3, 3], [2, 3, 2, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("blank", [0, 2, -1])
@pytest.mark.parametrize("merges", [True, False])
def test_decoder(blank, merges):
    layer = CTCGreedyDecoder(blank, merges)
    (found,) = run(layer, scores_of(PATHS, 4))
    for row, path in zip(found.reshape(4, 5), PATHS):
        labels = best(path, 3 if blank < 0 else blank, merges)
        assert row.tolist() == labels + [-1] * (5 - len(labels))
    traces(layer, torch.from_numpy(scores_of(PATHS, 4)))


def test_accuracy():
    labels = np.array([[1, 1, 2, 0], [3, 1, 0, 0], [3, 2, 0, 0], [0, 0, 0, 0]])
    (found,) = run(EditDistanceAccuracy(), scores_of(PATHS, 4), labels)
    wanted = [[1, 1, 2], [3, 1], [3, 2], []]
    decoded = [best(path, 0) for path in PATHS]
    errors = [distance(a, b) / max(len(a), len(b), 1) for a, b in zip(decoded, wanted)]
    assert found.shape == (1, 2, 1, 1)
    np.testing.assert_allclose(found.ravel(), [1 - np.mean(errors), 1 / 4])
    labels[:, 1:] = -1  # the end of the labels
    (found,) = run(EditDistanceAccuracy(), scores_of(PATHS, 4), labels)
    errors = [distance(a, b[:1]) / max(len(a), len(b[:1]), 1) for a, b in zip(decoded, wanted)]
    np.testing.assert_allclose(found.ravel()[0], 1 - np.mean(errors))


def test_edit_distance():
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 3, (20, 5)), generator.integers(0, 3, (20, 4))
    lengths, others = generator.integers(0, 6, 20), generator.integers(0, 5, 20)
    found = edit_distance(*map(torch.from_numpy, (first, lengths, second, others)))
    rows = zip(first.tolist(), lengths, second.tolist(), others)
    assert found.tolist() == [distance(a[:i], b[:j]) for a, i, b, j in rows]


def test_indicators():
    scores = scores_of(PATHS, 4)
    indicators = np.array([[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]])
    steps = [5, 3, 2, 1]
    decoded = [best(path[:count], 0) for path, count in zip(PATHS, steps)]
    labels, total = run(IndicatedDecoder(0), scores, indicators, tops=2)
    for n, row in enumerate(labels.reshape(4, 5)):
        assert row.tolist() == decoded[n] + [-1] * (5 - len(decoded[n]))
        assert total[n, 0, 0, 0] == pytest.approx(-scores[: steps[n], n].max(1).sum())
    targets = np.full((5, 4), -1)
    for n, row in enumerate([[1, 1, 2], [3], [2, 0], []]):
        targets[: len(row), n] = row
    labels, total, accuracy = run(IndicatedDecoder(0), scores, indicators, targets, tops=3)
    assert accuracy.item() == pytest.approx(3 / 4)
    labels, accuracy = run(IndicatedDecoder(0), scores, indicators, targets, tops=2)
    assert accuracy.item() == pytest.approx(3 / 4)


@pytest.mark.parametrize("blank", [0, -1])
@pytest.mark.parametrize("merges", [True, False])
def test_product_and_edit_distance(blank, merges):
    scores, steps = scores_of(PATHS, 4), [5, 3, 1, 4]
    indicators = np.ones((5, 4))
    for n, step in enumerate(steps):
        indicators[0, n] = 0
        if step < 5:
            indicators[step, n] = 0
    decoded = [best(path[:step], 3 if blank < 0 else blank, merges) for path, step in zip(PATHS, steps)]
    wanted = [[1, 1, 2], [3, 0, 2, 1], [], [2]]
    targets = np.full((5, 4), -1)
    for n, row in enumerate(wanted):
        targets[: len(row), n] = row
    errors = [distance(a, b) / max(len(a), len(b), 1) for a, b in zip(decoded, wanted)]
    layer = CTCDecoder(blank, merges)
    labels, product, accuracy = run(layer, scores, indicators, targets, tops=3)
    for n, row in enumerate(labels.reshape(4, 5)):
        assert row.tolist() == decoded[n] + [-1] * (5 - len(decoded[n]))
        assert product[n, 0, 0, 0] == pytest.approx(scores[: steps[n], n].max(1).prod())
    assert accuracy.item() == pytest.approx(1 - np.mean(errors))
    assert run(layer, scores, indicators, targets, tops=2)[1] == pytest.approx(accuracy)
    np.testing.assert_allclose(run(layer, scores, indicators, tops=2)[1], product)


def test_labelsequence_accuracy():
    labels = np.array([[1, 1, 2, 0], [0, 3, 0, 0], [3, 2, 0, 0], [0, 0, 0, 0]])
    scores = scores_of(PATHS, 4).transpose(1, 0, 2)
    assert run(LabelsequenceAccuracy(), scores, labels)[0] == pytest.approx(3 / 4)
    long = np.pad(labels, ((0, 0), (0, 4)))
    assert run(LabelsequenceAccuracy(), scores, long)[0] == pytest.approx(3 / 4)
    long[0, 6] = 2
    assert run(LabelsequenceAccuracy(), scores, long)[0] == pytest.approx(2 / 4)


def test_meanings(graph_from):
    text = 'layer { name: "d" type: "CTCGreedyDecoder" bottom: "x" %s top: "y" }'
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }} '
        for name, dims in (("x", "dim: 5 dim: 5 dim: 4"), ("label", "dim: 5 dim: 5"), ("indicators", "dim: 5 dim: 5"))
    )
    kinds = {
        "": CTCGreedyDecoder,
        'bottom: "label"': EditDistanceAccuracy,
        'bottom: "indicators"': IndicatedDecoder,
        'bottom: "indicators" bottom: "label"': IndicatedDecoder,
    }
    for bottoms, kind in kinds.items():
        assert type(graph_from(inputs + text % bottoms).nodes[-1].layer) is kind
    assert len(layer_classes("CTCGreedyDecoder")) == 2


def test_files_and_shapes():
    assert round_trip("CTCGreedyDecoder", blank_index=3) == CTCGreedyDecoder(3)
    assert round_trip("CTCDecoder", blank_index=3, ctc_merge_repeated=False) == CTCDecoder(3, False)
    assert round_trip("LabelsequenceAccuracy", blank_label=3) == LabelsequenceAccuracy(3)
    assert layer_of("CTCGreedyDecoder", {"bottom": ["x", "y"]}) == EditDistanceAccuracy()
    assert repr(CTCGreedyDecoder().infer(((UNKNOWN, 2, 4),), 1)) == "((2, ?, 1, 1),)"
    with raises("E102", "expected one row of labels for each of 3 sequences"):
        EditDistanceAccuracy().infer(((5, 3, 4), (2, 4)), 1)
    with raises("E102", r"expected \[5,3\] as the scores have, got \[3,5\]"):
        IndicatedDecoder().infer(((5, 3, 4), (3, 5)), 1)
    with raises("E020", "expected a third bottom with targets for 3 tops"):
        IndicatedDecoder().infer(((5, 3, 4), (5, 3)), 3)
    with raises("E102", r"expected scores \(n, t, c\) and labels \(n, length\)"):
        LabelsequenceAccuracy().infer(((5, 3, 4), (3, 5)), 1)
