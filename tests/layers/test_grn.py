import numpy as np

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.grn import GRN
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import gradcheck, run

CASES = [Case(made("GRN", 0.5), ((2, 3, 2, 2),), ((3, 4, 5),), source=Source())]


def test_formula():
    x = values(2, 3, 4, 5).numpy()
    for bias in (0.0, 0.7):
        expected = x / np.sqrt((x**2).sum(1, keepdims=True) + bias)
        np.testing.assert_allclose(run(GRN(bias), x)[0], expected, rtol=1e-12)
    assert gradcheck(GRN(), (2, 3, 4))


def test_sizes_traces_and_file():
    resizes(GRN(0.5), (values(2, 3, 4, 5),), (values(3, 2, 7),))
    traces(GRN(0.5), values(2, 3, 4, 5))
    assert round_trip("GRN", bias=0.5) == GRN(0.5)
    assert round_trip("GRN") == GRN(0)
    assert GRN().cost((), ((2, 3),)) == Cost(0, 18)
    assert repr(GRN().infer(((2, UNKNOWN),), 1)) == "((2, ?),)"
    with raises("E102", "at least 2 axes"):
        GRN().infer(((2,),), 1)
