"""ChannelNorm, compared with NumPy's norm."""

from __future__ import annotations

import numpy as np

from netc.layers.optical_flow.channel_norm import ChannelNorm
from tests.layers.case import PLANES, Case, Source
from tests.layers.contract import gradient, raises, resizes, values
from tests.layers.harness import run

CASES = [Case(ChannelNorm(), *PLANES, source=Source(reads_top="values"))]


def test_norm():
    x = values(2, 3, 4, 5)
    (found,) = run(ChannelNorm(), x)
    np.testing.assert_allclose(found, np.sqrt((x.numpy() ** 2).sum(1, keepdims=True)), rtol=1e-12)


def test_gradient_of_a_zero_vector():
    x = values(1, 2, 3, 2).numpy()
    x[0, :, 1, 1] = 0
    found = gradient(ChannelNorm(), x)
    assert not found[0, :, 1, 1].any()
    np.testing.assert_allclose(found, x / (np.sqrt((x**2).sum(1, keepdims=True)) + 1e-9), rtol=1e-6, atol=1e-12)


def test_contract():
    with raises("E102", "4 axes"):
        ChannelNorm().infer(((2, 3),), 1)
    resizes(ChannelNorm(), (values(2, 3, 4, 5),), (values(1, 2, 7, 3),))
