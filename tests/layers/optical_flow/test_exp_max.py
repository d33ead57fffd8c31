"""ExpMax, compared with a transcription of LiteFlowNet's kernel for one image."""

from __future__ import annotations

import numpy as np
import pytest

from netc.layers.optical_flow.exp_max import ExpMax
from tests.layers.case import PLANES, Case, Source
from tests.layers.contract import gradient, raises, round_trip, values
from tests.layers.harness import layer_from, run

CASES = [
    Case(ExpMax(2.0, 0.5, 0.3), *PLANES, source=Source(reads_top="values", own_gradient="the maximum is a constant"))
]


@pytest.mark.parametrize("base", [-1.0, 2.5])
def test_forward_and_backward(base):
    layer = round_trip("ExpMax", base=base, scale=0.7, shift=-0.4)
    x = values(2, 3, 4, 5).numpy()
    log = 1 if base == -1 else np.log(base)
    expected = np.exp(log * (0.7 * (x - x.max(1, keepdims=True)) - 0.4))
    np.testing.assert_allclose(run(layer, x)[0], expected, rtol=1e-9)
    np.testing.assert_allclose(gradient(layer, x), expected * log * 0.7, rtol=1e-9)


def test_errors():
    with raises("E103", "it must be positive"):
        layer_from("ExpMax", base=-2.0)
    with raises("E102", "at least 2 axes"):
        ExpMax().infer(((3,),), 1)
