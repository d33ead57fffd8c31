"""EltwiseProduct."""

from __future__ import annotations

import numpy as np

from netc.ir.dims import UNKNOWN
from netc.layers.volumes.eltwise_product import EltwiseProduct
from tests.layers.case import Case, Source
from tests.layers.contract import raises, values
from tests.layers.harness import run

CASES = [Case(EltwiseProduct(), ((2, 3, 4),) * 3, ((5, 2),) * 3, source=Source(reads_top="values"))]


def test_product():
    one, two, three = (values(2, 3, 4, seed=seed).numpy() for seed in (1, 2, 3))
    np.testing.assert_allclose(run(EltwiseProduct(), one, two, three)[0], one * two * three)


def test_shapes():
    assert EltwiseProduct().infer(((2, UNKNOWN), (2, 3)), 1) == ((2, 3),)
    with raises("E102", "differ at axis 1"):
        EltwiseProduct().infer(((2, 4), (2, 3)), 1)
