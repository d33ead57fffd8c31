import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.axpy import Axpy
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, traces, values
from tests.layers.harness import run

CASES = [
    Case(made("Axpy"), ((2, 3), (2, 3, 4, 5), (2, 3, 4, 5)), ((3, 2), (3, 2, 7), (3, 2, 7)), source=Source()),
    Case(
        made("Axpy"),
        ((2, 3, 1, 1), (2, 3, 4), (2, 3, 4)),
        ((1, 4, 1, 1), (1, 4), (1, 4)),
        source=Source(places_lost=True),
    ),
]


def test_formula():
    factors, scaled, added = values(2, 3, 1, 1).numpy(), values(2, 3, 4, 5).numpy(), values(2, 3, 4, 5, seed=4).numpy()
    np.testing.assert_allclose(run(Axpy(), factors, scaled, added)[0], factors * scaled + added, rtol=1e-13)
    np.testing.assert_allclose(
        run(Axpy(), factors.reshape(2, 3), scaled, added)[0], factors * scaled + added, rtol=1e-13
    )


def test_sizes_and_traces():
    small = values(2, 3), values(2, 3, 4, 5), values(2, 3, 4, 5, seed=4)
    large = values(4, 6), values(4, 6, 2), values(4, 6, 2, seed=4)
    resizes(Axpy(), small, large)
    traces(Axpy(), *small)


def test_cost_and_unknown_extents():
    assert Axpy().cost((), ((2, 3, 4, 5),)) == Cost(0, 240)
    assert repr(Axpy().infer(((2, UNKNOWN), (2, 3, UNKNOWN), (2, 3, 7)), 1)) == "((2, 3, ?),)"


@pytest.mark.parametrize(
    ("text", "bottoms"),
    [
        (r"at least 2 axes, got \[2\]", ((2, 3), (2,), (2,))),
        (r"different shapes: \[2,3,4\], \[2,3,5\]", ((2, 3), (2, 3, 4), (2, 3, 5))),
        (r"factors of shape \[2,4\] for a bottom of shape \[2,3,4\]", ((2, 4), (2, 3, 4), (2, 3, 4))),
        (r"factors of shape \[2,3,4\] for", ((2, 3, 4), (2, 3, 4), (2, 3, 4))),
        (r"factors of shape \[2,3,1,2\] for", ((2, 3, 1, 2), (2, 3, 4), (2, 3, 4))),
    ],
)
def test_mismatches(text, bottoms):
    with raises("E102", text):
        Axpy().infer(bottoms, 1)
