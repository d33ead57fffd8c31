import numpy as np
import pytest

from netc.layers.flip import Flip
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import run

CASES = [
    Case(Flip(), ((2, 3, 4, 5),), ((1, 2, 3, 2),), source=Source(places_lost=True)),
    Case(Flip((1,)), ((2, 3),), ((4, 2, 2),), source=Source()),
]


@pytest.mark.parametrize("axes", [(), (2,), (3,), (2, 3), (1,)])
def test_forward(axes):
    x = values(2, 3, 4, 5).numpy()
    np.testing.assert_array_equal(run(Flip(axes), x)[0], np.flip(x, axes))


def test_files():
    assert round_trip("Flip") == Flip()
    assert round_trip("Flip", flip_width=False, flip_height=True) == Flip((2,))
    assert round_trip("Flip", axis=1) == Flip((1,))


def test_shapes():
    with raises("E102", "expected|bottom|axis|labels"):
        Flip().infer(((4, 5),), 1)
