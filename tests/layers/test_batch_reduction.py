"""BatchReduction, compared with a transcription of the fork's loops."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.batch_reduction import BatchReduction
from tests.layers.case import Case, Source
from tests.layers.contract import gradient, raises, resizes, values
from tests.layers.harness import layer_of, run

WHOLE = {
    f"batch_reduction_param.reduction_param.{name}": {"batch_reduction_param": {"reduction_param": {name: value}}}
    for name, value in {"operation": "MEAN", "axis": 2}.items()
}
CASES = [
    Case(BatchReduction((1, 2), "MEAN", 1), ((2, 5, 3),), ((3, 5, 2),), source=Source(places_lost=True)),
    Case(BatchReduction(axis=1), ((2, 5, 3),), ((3, 4, 2),), source=Source(places_lost=True)),
]


def reduced(x, levels, mean):
    """The top along the first axis, and the gradient of its sum."""
    ticks, at, rows, slopes = [level**2 for level in levels], 0, [], np.empty_like(x)
    for tick in ticks:
        factor = 1 / tick if mean else 1
        rows.append(sum(factor * x[at + t] for t in range(tick)))
        slopes[at : at + tick] = factor
        at += tick
    return np.stack(rows), slopes


@pytest.mark.parametrize("operation", ["SUM", "MEAN"])
def test_levels(operation):
    fields = {"level": [2, 1, 3], "reduction_param": {"operation": operation, "axis": 0}}
    layer = layer_of("BatchReduction", {"batch_reduction_param": fields})
    assert layer_of("BatchReduction", {"batch_reduction_param": layer.to_caffe()}) == layer
    x = values(14, 2, 3).numpy()
    expected, slopes = reduced(x, (2, 1, 3), operation == "MEAN")
    np.testing.assert_allclose(run(layer, x)[0], expected, rtol=1e-12)
    np.testing.assert_allclose(gradient(layer, x), slopes)


@pytest.mark.parametrize("levels", [(), (1,)])
def test_a_whole_axis(levels):
    x = values(2, 5, 3).numpy()
    np.testing.assert_allclose(run(BatchReduction(levels, "MEAN", 1), x)[0], x.mean(1), rtol=1e-12)
    resizes(BatchReduction(levels, "SUM", 1), (values(2, 5, 3),), (values(1, 4, 6),))


def test_shapes():
    assert BatchReduction((1, 2)).infer(((UNKNOWN, 3),), 1) == ((2, 3),)
    with raises("E102", "axis 0 has 6 elements, the levels take 5"):
        BatchReduction((1, 2)).infer(((6, 3),), 1)
    with raises("E103", "does not support `ASUM`"):
        layer_of("BatchReduction", {"batch_reduction_param": {"reduction_param": {"operation": "ASUM"}}})
    with raises("E103", "must be positive"):
        layer_of("BatchReduction", {"batch_reduction_param": {"level": [2, 0]}})
