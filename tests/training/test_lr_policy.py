import math

import pytest

from netc.training.lr_policy import POLICIES, Schedule
from netc.training.settings import SolverSettings

FORMULAS = {
    "fixed": lambda i: 0.3,
    "step": lambda i: 0.3 * 0.7 ** (i // 4),
    "exp": lambda i: 0.3 * 0.7**i,
    "inv": lambda i: 0.3 * (1 + 0.7 * i) ** -1.5,
    "multistep": lambda i: 0.3 * 0.7 ** ((i >= 5) + (i >= 9)),
    "poly": lambda i: 0.3 * (1 - i / 20) ** 1.5,
    "sigmoid": lambda i: 0.3 / (1 + math.exp(-0.7 * (i - 4))),
}


def schedule(policy, **changes):
    values = {"base_lr": 0.3, "gamma": 0.7, "power": 1.5, "stepsize": 4, "stepvalue": (5, 9), "max_iter": 20}
    return Schedule(SolverSettings(lr_policy=policy, **{**values, **changes}))


@pytest.mark.parametrize("policy", POLICIES)
def test_formulas(policy):
    rates = schedule(policy)
    assert [rates(i) for i in range(20)] == pytest.approx([FORMULAS[policy](i) for i in range(20)], rel=1e-6)


def test_rates_are_float32_at_each_step():
    """Caffe's log of such a run says 0.00997011 for iteration 40; in double precision it would end in 10."""
    rate = schedule("inv", base_lr=0.009999999776482582, gamma=9.999999747378752e-05, power=0.75)(40)
    assert f"{rate:g}" == "0.00997011"


def test_multistep_steps_once_an_iteration_and_tells():
    rates = schedule("multistep", stepvalue=(2, 2), gamma=0.5)
    found = [(rates(i), rates.stepped, rates.current_step) for i in range(5)]
    assert [rate for rate, _, _ in found] == pytest.approx([0.3, 0.3, 0.15, 0.075, 0.075])
    assert [rest for _, *rest in found] == [[False, 0], [False, 0], [True, 1], [True, 2], [False, 2]]


def test_multistep_goes_on_from_a_snapshots_step():
    rates = schedule("multistep", gamma=0.5)
    rates.current_step = 1
    assert rates(7) == pytest.approx(0.15)


def test_beyond_max_iter_poly_is_no_number_as_in_c():
    assert math.isnan(schedule("poly")(21))


def test_extremes_do_not_raise():
    assert schedule("exp", gamma=10.0)(10**6) == math.inf
    assert schedule("sigmoid", gamma=1e6)(0) == 0
