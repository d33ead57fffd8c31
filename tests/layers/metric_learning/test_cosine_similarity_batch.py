import itertools

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.metric_learning.cosine_similarity_batch import CosineSimilarityBatch
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import module_of, shapes_of

ROWS = ((4, 5), (4,)), ((3, 5), (3,))
CASES = [
    Case(CosineSimilarityBatch(), *ROWS, tops=3, integers=(1,), source=Source()),
    Case(
        CosineSimilarityBatch(2.0, 0.0, eliminate_pos=True),
        *ROWS,
        tops=3,
        integers=(1,),
        source=Source(own_gradient="0 where the pair does not count"),
    ),
    Case(
        CosineSimilarityBatch(eliminate_neg_same_camera=True),
        ((4, 5), (4,), (4, 1)),
        ((3, 5), (3,), (3, 1)),
        tops=3,
        integers=(1, 2),
        source=Source(own_gradient="0 where the pair does not count"),
    ),
]


def transcription(x, labels, cameras, layer, dy):
    """The tops, and the gradient by the loops of the layer's code."""
    tops, gradient = ([], [], []), np.zeros_like(x)
    dots = x @ x.T
    for k, (i, j) in enumerate(itertools.combinations(range(len(x)), 2)):
        length = np.sqrt(dots[i, i] * dots[j, j])
        alike, near = labels[i] == labels[j], cameras[i] == cameras[j]
        gone = layer.eliminate_pos or (layer.eliminate_pos_same_camera and near)
        if not alike:
            gone = layer.eliminate_neg or (layer.eliminate_neg_same_camera and near)
        row = dots[i, j] / length, int(layer.pos_label if alike else layer.neg_label), float(not gone)
        for top, value in zip(tops, row):
            top.append(value)
        for one, other in ((i, j), (j, i)):
            slope = x[other] / length - dots[i, j] / dots[one, one] * x[one] / length
            gradient[one] += dy[k] * row[2] * slope
    return *map(np.array, tops), gradient


@pytest.mark.parametrize(
    "flags", [(), ("eliminate_pos",), ("eliminate_neg", "eliminate_pos_same_camera"), ("eliminate_neg_same_camera",)]
)
def test_values_and_gradients(flags):
    layer = CosineSimilarityBatch(1.9, -1.9, **dict.fromkeys(flags, True))
    x, dy = values(6, 4).requires_grad_(), values(15, seed=9)
    labels, cameras = torch.tensor([0, 1, 0, 1, 1, 2]), torch.tensor([0, 0, 0, 1, 0, 1])
    tops = module_of(layer, shapes_of((x, labels, cameras)), 3)(x, labels, cameras)
    tops[0].backward(dy.reshape(15, 1, 1, 1))
    found = transcription(x.detach().numpy(), labels.numpy(), cameras.numpy(), layer, dy.numpy())
    for top, expected in zip((*(top.detach().flatten() for top in tops), x.grad), found):
        np.testing.assert_allclose(top, expected, rtol=1e-9, atol=1e-12)


def test_two_tops_ignore_the_flags():
    x = values(3, 4).requires_grad_()
    module = module_of(CosineSimilarityBatch(eliminate_pos=True), ((3, 4), (3,)), 2)
    module(x, torch.zeros(3))[0].sum().backward()
    assert x.grad.any()


def test_files_and_shapes():
    assert round_trip("CosineSimilarityBatch", pos_label=3.0, eliminate_neg=True) == CosineSimilarityBatch(
        3.0, eliminate_neg=True
    )
    assert repr(CosineSimilarityBatch().infer(((UNKNOWN, 3), (UNKNOWN,)), 2)[0]) == "(?, 1, 1, 1)"
    with raises("E101", "needs a third bottom"):
        CosineSimilarityBatch(eliminate_pos_same_camera=True).infer(((3, 4), (3,)), 3)
    with raises("E102", r"expected vectors \(n, c\), got \[3,4,2\]"):
        CosineSimilarityBatch().infer(((3, 4, 2), (3,)), 3)
    with raises("E102", "3 items of data, but 4 of labels"):
        CosineSimilarityBatch().infer(((3, 4), (4,)), 3)
