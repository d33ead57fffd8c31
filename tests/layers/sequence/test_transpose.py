import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.sequence.transpose import Transpose
from tests.layers.case import Case, Source, made
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, values
from tests.layers.harness import run

WHOLE = {"transpose_param.dim": {"transpose_param": {"dim": [1, 0]}}}
CASES = [
    Case(made("Transpose", (2, 0, 1)), ((2, 3, 5),), ((4, 3, 2),), source=Source()),
    Case(made("Transpose", (0, 2, 3, 1)), ((2, 3, 5, 4),), ((4, 3, 2, 3),), source=Source()),
]


def test_forward_and_backward():
    x = values(2, 3, 5, 4).numpy()
    np.testing.assert_array_equal(run(Transpose((3, 0, 2, 1)), x)[0], x.transpose(3, 0, 2, 1))
    weights = values(4, 2, 5, 3).numpy()
    np.testing.assert_array_equal(gradient(Transpose((3, 0, 2, 1)), x, weights), weights.transpose(1, 3, 2, 0))
    traces(Transpose((3, 0, 2, 1)), values(2, 3, 5, 4))
    resizes(Transpose((1, 0)), (values(2, 3),), (values(4, 1),))


def test_files_and_shapes():
    assert round_trip("Transpose", dim=[1, 0]) == Transpose((1, 0))
    assert repr(Transpose((1, 2, 0)).infer(((2, UNKNOWN, 5),), 1)) == "((?, 5, 2),)"
    with raises("E103", "`dim` is 0 0: it must contain each axis from 0 exactly once"):
        Transpose((0, 0))
    with raises("E102", "2 entries in `dim` for 3 axes"):
        Transpose((1, 0)).infer(((2, 3, 4),), 1)


@pytest.mark.parametrize("dim", [(-1, 0), (1, 2)])
def test_axes_that_do_not_exist(dim):
    with raises("E103", "it must contain each axis"):
        Transpose(dim)
