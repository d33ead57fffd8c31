import numpy as np
import pytest

from netc.layers.insanity import Insanity
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of

CASES = [
    Case(
        Insanity(lb, ub),
        ((2, 3),),
        ((4, 3),),
        source=Source(role="inner", in_place=True, reads_top_in_place="sign" if lb > 0 else None),
    )
    for lb, ub in ((5, 10), (-3, -2))
]


def test_forward():
    x = values(50, 60)
    module = module_of(Insanity(2, 4), (tuple(x.shape),)).double()
    ratio = module.train()(x) / x
    assert (ratio[x > 0] == 1).all()
    assert ((ratio[x < 0] >= 0.25) & (ratio[x < 0] <= 0.5)).all()
    assert ratio[x < 0].std() > 0.05
    ratio = module.eval()(x) / x
    np.testing.assert_allclose(ratio[x < 0], np.log(2) / 2)


@pytest.mark.parametrize(("lb", "ub"), [(-3, -2), (-2, 5)])
def test_negative_bounds(lb, ub):
    x = values(5, 6)
    ratio = module_of(Insanity(lb, ub), (tuple(x.shape),)).double().eval()(x) / x
    np.testing.assert_allclose(ratio[x < 0], (np.log(abs(ub)) - np.log(abs(lb))) / (ub - lb))


def test_files():
    assert round_trip("Insanity", lb=3.0, ub=8.0) == Insanity(3, 8)


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [
        ("E103", "`lb` is 0 and `ub` 10", "Insanity", {"insanity_param": {"lb": 0.0}}),
        ("E103", "`lb` is 11 and `ub` 10", "Insanity", {"insanity_param": {"lb": 11.0}}),
    ],
)
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, message)


def test_shape():
    with raises("E102", r"at least 2 axes, got \[3\]"):
        Insanity().infer(((3,),), 1)
