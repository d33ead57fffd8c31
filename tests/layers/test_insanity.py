import numpy as np
import pytest

from netc.layers.insanity import Insanity
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of

CASES = [Case(Insanity(), ((2, 3),), ((4, 3),), source=Source(role="inner"))]


def test_forward():
    x = values(50, 60)
    module = module_of(Insanity(2, 4), (tuple(x.shape),)).double()
    ratio = module.train()(x) / x
    assert (ratio[x > 0] == 1).all()
    assert ((ratio[x < 0] >= 0.25) & (ratio[x < 0] <= 0.5)).all()
    assert ratio[x < 0].std() > 0.05
    ratio = module.eval()(x) / x
    np.testing.assert_allclose(ratio[x < 0], np.log(2) / 2)


def test_files():
    assert round_trip("Insanity", lb=3.0, ub=8.0) == Insanity(3, 8)


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [("E103", "`lb` is 0 and `ub` 10", "Insanity", {"insanity_param": {"lb": 0.0}})],
)
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, message)
