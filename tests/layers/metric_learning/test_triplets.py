import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.fields import Fields
from netc.layers._registry import LayerUse, choose
from netc.layers.metric_learning.triplets import IndexedTripletLoss, SampleTriplet, TripletLoss
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, run

WHOLE = {
    "sample_triplet_param.sample_num": {"sample_triplet_param": {"label_num": 2, "sample_num": 3}},
}
CASES = [
    Case(TripletLoss(3.0), ((3, 4),) * 3, ((2, 3, 2),) * 3, source=Source()),
    Case(IndexedTripletLoss(3.0), ((4, 3), (2, 3)), ((5, 3), (3, 3, 1, 1)), integers=(1,), below=4, source=Source()),
    Case(SampleTriplet(2, 2), ((4, 3),), ((4, 5),), source=Source(own_gradient="none")),
]


def hinge(a, p, n, margin):
    return max(0, margin + ((a - p) ** 2).sum() - ((a - n) ** 2).sum())


def test_three_bottoms():
    anchors, near, far = (values(4, 3, seed=seed).numpy() for seed in range(3))
    expected = sum(hinge(*rows, 0.7) for rows in zip(anchors, near, far)) / 8
    assert run(TripletLoss(0.7), anchors, near, far)[0] == pytest.approx(expected)


def test_by_index():
    x, triplets = values(4, 3).numpy(), np.array([[0, 1, 2], [3, 2, 0]], float)
    expected = (hinge(x[0], x[1], x[2], 1) + hinge(x[3], x[2], x[0], 1)) / 2
    assert run(IndexedTripletLoss(), x, triplets)[0] == pytest.approx(expected)
    assert run(IndexedTripletLoss(), x, np.empty((0, 3)))[0] == 0


def test_hardest():
    x = values(6, 4).numpy()
    (found,) = run(SampleTriplet(2, 3), x)
    assert found.shape == (12, 3, 1, 1)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for a, p, n in found.reshape(-1, 3).astype(int):
        others = [i for i in range(6) if i // 3 != a // 3]
        assert p != a
        assert p // 3 == a // 3
        assert n == max(others, key=lambda i: unit[a] @ unit[i])


def test_random():
    torch.manual_seed(1)
    x, counts = values(6, 4).numpy(), np.array([2.0, 3.0, 1.0])
    classes = np.array([0, 0, 1, 1, 1, 2])
    (found,) = run(SampleTriplet(alpha=0.5), x, counts)
    rows = found.reshape(-1, 3).astype(int)
    for a, p, n in rows:
        assert classes[a] == classes[p] != classes[n]
        assert a < p
        assert ((x[a] - x[n]) ** 2).sum() < ((x[a] - x[p]) ** 2).sum() + 0.5
    near = np.zeros((4, 2)), np.array([2.0, 2.0])
    assert len(run(SampleTriplet(), *near)[0]) == 2
    assert run(SampleTriplet(), x, np.zeros(3))[0].shape == (0, 3, 1, 1)
    far = np.array([[0.0], [0], [9], [9]]), np.array([2.0, 2.0])
    assert run(SampleTriplet(), *far)[0].shape == (0, 3, 1, 1)


def test_files():
    assert round_trip("SampleTriplet", label_num=2, sample_num=4) == SampleTriplet(2, 4)
    for bottoms, cls in ((3, TripletLoss), (2, IndexedTripletLoss)):
        use = LayerUse(Fields({}), bottoms, 1)
        assert choose("TripletLoss", use).cls is cls


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [("E103", "`label_num` is 1", "SampleTriplet", {"sample_triplet_param": {"label_num": 1, "sample_num": 2}})],
)
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, message)


def test_shapes():
    assert SampleTriplet().infer(((6, 8), (3,)), 1) == ((UNKNOWN, 3, 1, 1),)
    with raises("E020", "expected a second bottom"):
        SampleTriplet().infer(((6, 8),), 1)
    with raises("E102", "expected|bottom|axis|labels"):
        SampleTriplet(2, 2).infer(((6, 8),), 1)
    with raises("E102", "expected|bottom|axis|labels"):
        TripletLoss().infer(
            (
                (6, 8),
                (6, 8),
                (6, 7),
            ),
            1,
        )
    with raises("E102", "expected|bottom|axis|labels"):
        IndexedTripletLoss().infer(
            (
                (6, 8),
                (4, 2),
            ),
            1,
        )
