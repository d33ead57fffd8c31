import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.accuracy import Accuracy
from tests.layers.case import ROWS, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import module_of, run

CASES = [
    Case(made("Accuracy", 2), *ROWS, integers=(1,)),
]


SCORES = values(3, 5, 4, 2)
LABELS = torch.arange(24.0, dtype=torch.float64).reshape(3, 1, 4, 2) * 7 % 5


def counted(scores, labels, axis: int, top_k: int, ignore: int | None) -> tuple[float, list[float]]:
    """Both tops, by sorting each place's scores; no two are equal."""
    moved = np.moveaxis(np.asarray(scores), axis, -1)
    labels = np.asarray(labels).reshape(moved.shape[:-1]).astype(int)
    hits: dict[int, list[bool]] = {c: [] for c in range(moved.shape[-1])}
    for place in np.ndindex(labels.shape):
        if labels[place] != ignore:
            hits[labels[place]].append(labels[place] in np.argsort(-moved[place])[:top_k])
    every = [hit for of_class in hits.values() for hit in of_class]
    return sum(every) / len(every), [np.mean(h) if h else 0.0 for h in hits.values()]


@pytest.mark.parametrize("top_k", [1, 2, 5])
@pytest.mark.parametrize("ignore", [None, 3, 255])
def test_share_of_all_and_of_each_class(top_k, ignore):
    labels = LABELS.clone()
    if ignore is not None:
        labels[0, 0, 0] = ignore
    expected, per_class = counted(SCORES, labels, 1, top_k, ignore)
    accuracy, classes = run(Accuracy(top_k, 1, ignore), SCORES, labels, tops=2)
    assert accuracy == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(classes, per_class, rtol=1e-12)


def test_another_axis():
    labels = torch.arange(30.0).reshape(3, 5, 2) % 4
    expected, per_class = counted(SCORES, labels, 2, 2, None)
    accuracy, classes = run(Accuracy(top_k=2, axis=-2), SCORES, labels, tops=2)
    assert accuracy == pytest.approx(expected)
    np.testing.assert_allclose(classes, per_class)


def test_an_equal_score_counts_as_better():
    scores = np.float32([[1, 1, 0], [2, 1, 2], [0, 0, 3]])
    assert run(Accuracy(), scores, np.float32([0, 1, 2]))[0] == np.float32(1 / 3)
    assert run(Accuracy(top_k=2), scores, np.float32([0, 1, 2]))[0] == np.float32(2 / 3)
    assert run(Accuracy(top_k=3), scores, np.float32([0, 1, 2]))[0] == 1


def test_nothing_counted_is_zero():
    accuracy, classes = run(Accuracy(ignore_label=1), SCORES, torch.ones(3, 4, 2), tops=2)
    assert accuracy == 0
    np.testing.assert_array_equal(classes, 0)


def test_no_gradient():
    out = module_of(Accuracy(), ((3, 5, 4, 2), (3, 1, 4, 2)))(SCORES.clone().requires_grad_(), LABELS)
    assert not out.requires_grad
    assert Accuracy.no_gradient == (0, 1)
    assert not Accuracy.is_loss


def test_labels_out_of_range():
    with raises("E301", "label outside 0 to 4: 6"):
        run(Accuracy(), values(2, 5), torch.tensor([1.0, 6.0]))


@pytest.mark.parametrize(
    ("layer", "shapes", "text"),
    [
        (Accuracy(top_k=6), ((3, 5), (3,)), "`top_k` 6 exceeds 5 classes"),
        (Accuracy(axis=2), ((3, 5), (3,)), "axis 2 of a bottom with 2 axes"),
        (Accuracy(), ((3, 5), (4,)), "4 labels .4. for 3 predictions .3,5."),
    ],
)
def test_shapes_that_do_not_fit(layer, shapes, text):
    with raises("E102", text):
        layer.infer(shapes, 1)


def test_shapes_file_cost():
    assert repr(Accuracy().infer(((3, UNKNOWN), (UNKNOWN,)), 2)) == "((), (?,))"
    assert round_trip("Accuracy") == Accuracy()
    assert round_trip("Accuracy", top_k=3, axis=2, ignore_label=255) == Accuracy(3, 2, 255)
    assert v1_name("Accuracy") == "ACCURACY"
    assert Accuracy().cost(((3, 5), (3,)), ((),)) == Cost(0, 30)


def test_sizes_and_traces():
    second = values(2, 5, 7), torch.ones(2, 7).double()
    resizes(Accuracy(2, 1, 3), (SCORES, LABELS), second, tops=2)
    traces(Accuracy(2, 1, 3), SCORES, LABELS, tops=2)
