import math

import pytest

from netc.ir.fields import Fields
from netc.training.solver.lr_policy import POLICIES, Schedule, jump_after_warm_up
from netc.training.solver.parameters import SolverParameters
from netc.training.solver.settings import SolverSettings

FORMULAS = {
    "fixed": lambda i: 0.3,
    "step": lambda i: 0.3 * 0.7 ** (i // 4),
    "exp": lambda i: 0.3 * 0.7**i,
    "inv": lambda i: 0.3 * (1 + 0.7 * i) ** -1.5,
    "multistep": lambda i: 0.3 * 0.7 ** ((i >= 5) + (i >= 9)),
    "poly": lambda i: 0.3 * (1 - i / 20) ** 1.5,
    "sigmoid": lambda i: 0.3 / (1 + math.exp(-0.7 * (i - 4))),
    "plateau": lambda i: 0.3 * 0.7 ** ((i >= 3) + (i >= 8)),
    "multifixed": lambda i: 0.2 if i <= 6 else 0.1 if i <= 11 else 0.05,
    "cosine": lambda i: 0.3 * (1 + math.cos(math.pi * i / 20)) / 2,
}
LISTS = {"plateau_winsize": (3, 5), "stagelr": (0.2, 0.1, 0.05), "stageiter": (6, 11, 13)}


def schedule(policy, **changes):
    values = {"base_lr": 0.3, "gamma": 0.7, "power": 1.5, "stepsize": 4, "stepvalue": (5, 9), "max_iter": 20}
    loss = changes.pop("loss", lambda: 1.0)
    return Schedule(SolverSettings(lr_policy=policy, **{**values, **LISTS, **changes}), loss)


@pytest.mark.parametrize("policy", POLICIES)
def test_formulas(policy):
    rates = schedule(policy)
    assert [rates(i) for i in range(20)] == pytest.approx([FORMULAS[policy](i) for i in range(20)], rel=1e-6)


def test_rates_are_float32_at_each_step():
    """Caffe's log of such a run says 0.00997011 for iteration 40; in double precision it would end in 10."""
    rate = schedule("inv", base_lr=0.009999999776482582, gamma=9.999999747378752e-05, power=0.75)(40)
    assert f"{rate:g}" == "0.00997011"


def test_multistep_steps_once_per_iteration_and_reports_it():
    rates = schedule("multistep", stepvalue=(2, 2), gamma=0.5)
    found = [(rates(i), rates.stepped, rates.current_step) for i in range(5)]
    assert [rate for rate, _, _ in found] == pytest.approx([0.3, 0.3, 0.15, 0.075, 0.075])
    assert [rest for _, *rest in found] == [[False, 0], [False, 0], [True, 1], [True, 2], [False, 2]]


def test_multistep_continues_from_the_step_of_a_snapshot():
    rates = schedule("multistep", gamma=0.5)
    rates.current_step = 1
    assert rates(7) == pytest.approx(0.15)


def test_beyond_max_iter_poly_is_nan_as_in_c():
    assert math.isnan(schedule("poly")(21))


def test_extremes_do_not_raise():
    assert schedule("exp", gamma=10.0)(10**6) == math.inf
    assert schedule("sigmoid", gamma=1e6)(0) == 0


def test_plateau_counts_from_the_last_lowest_loss_and_its_own_steps():
    losses = iter([5, 4, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    rates = schedule("plateau", gamma=0.1, loss=lambda: next(losses))
    found = [(rates(i), rates.stepped) for i in range(14)]
    assert [i for i, (_, stepped) in enumerate(found) if stepped] == [8, 13], "3 after iteration 5, and 5 after that"
    assert [rate for rate, _ in found] == pytest.approx([0.3] * 8 + [0.03] * 5 + [0.003], rel=1e-6)
    assert (rates.least_loss, rates.last_event) == (2, 13)
    state = rates.state()
    again = schedule("plateau", gamma=0.1, loss=lambda: 2.0)
    again.restore(state)
    again.current_step = 2
    assert again(14) == pytest.approx(0.003)
    assert schedule("plateau").state() == {"least_loss": None, "last_event": 0}


def test_warm_up_is_a_line_and_ramp_up_a_parabola():
    """Intel's GetWarmUpLR; NVIDIA's GetLearningRate of 0.17."""
    line = schedule("fixed", warmup_iter=4, warmup_start_lr=0.1)
    assert [line(i) for i in range(6)] == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3, 0.3])
    parabola = schedule("fixed", rampup_interval=4, rampup_lr=0.1)
    expected = [0.1 + 0.2 * (i / 4) ** 2 for i in range(4)]
    assert [parabola(i) for i in range(6)] == pytest.approx([*expected, 0.3, 0.3])


def test_steps_begin_after_the_warm_up():
    rates = schedule("multistep", warmup_iter=7, stepvalue=(2, 3), gamma=0.5)
    found = [rates(i) for i in range(10)]
    assert found[7:] == pytest.approx([0.15, 0.075, 0.075]), "the first step is taken when the warm-up is over"


@pytest.mark.parametrize("policy", ["poly", "cosine"])
def test_min_lr_is_where_poly_and_cosine_end(policy):
    rates = schedule(policy, min_lr=0.06)
    assert (rates(0), rates(20)) == pytest.approx((0.3, 0.06))
    plain = schedule(policy)(7) / 0.3
    assert rates(7) == pytest.approx(0.06 + 0.24 * plain)


def test_min_lr_bounds_all_others():
    assert schedule("step", min_lr=0.1)(19) == pytest.approx(0.1)
    assert schedule("fixed", min_lr=0.1, warmup_iter=10)(0) == pytest.approx(0.1)


COSINE = {"lr_policy": "cosine", "base_lr": 0.01, "max_iter": 3000, "warmup_iter": 1000}
AFTER = Fields({"policy_after_warmup": True})


def test_intels_cosine_jumps_after_the_warm_up():
    rates = Schedule(SolverParameters(**COSINE))
    assert (rates(999), rates(1000)) == (pytest.approx(0.00999), pytest.approx(0.0075))
    assert jump_after_warm_up(SolverParameters(**COSINE)) == pytest.approx(0.0075)


def test_a_policy_after_the_warm_up_starts_at_base_lr_and_ends_at_max_iter():
    settings = SolverParameters(**COSINE, netc_param=AFTER)
    rates, late = Schedule(settings), Schedule(SolverParameters(lr_policy="cosine", base_lr=0.01, max_iter=2000))
    found = [rates(iteration) for iteration in range(1000, 3001, 250)]
    assert found == [late(iteration) for iteration in range(0, 2001, 250)]
    assert (found[0], found[4], found[-1]) == (pytest.approx(0.01), pytest.approx(0.005), 0)
    assert rates(500) == pytest.approx(0.005), "the warm-up itself is unchanged"
    assert jump_after_warm_up(settings) is None


@pytest.mark.parametrize(
    ("values", "jump"),
    [
        ({"lr_policy": "poly", "power": 1.0}, 0.9),
        ({"lr_policy": "poly", "power": 1.0, "rampup_interval": 100, "warmup_iter": 0}, 0.9),
        ({"lr_policy": "step", "gamma": 0.5, "stepsize": 50}, 0.25),
        ({"lr_policy": "multistep", "gamma": 0.5, "stepvalue": (60,)}, 0.5),
        ({"lr_policy": "multistep", "gamma": 0.5, "stepvalue": (100,)}, 0.5),
        ({"lr_policy": "exp", "gamma": 0.999}, 0.999**100),
        ({"lr_policy": "step", "gamma": 0.5, "stepsize": 200}, None),
        ({"lr_policy": "multistep", "gamma": 0.5, "stepvalue": (600,)}, None),
        ({"lr_policy": "fixed"}, None),
        ({"lr_policy": "poly", "power": 1.0, "warmup_iter": 0}, None),
        ({"lr_policy": "poly", "power": 1.0, "warmup_iter": 1000}, None),
    ],
)
def test_jumps_are_found_for_every_policy(values, jump):
    settings = SolverParameters(**{"base_lr": 1.0, "max_iter": 1000, "warmup_iter": 100, **values})
    assert jump_after_warm_up(settings) == (jump and pytest.approx(jump))


def test_steps_count_from_the_end_of_the_warm_up():
    values = {"lr_policy": "multistep", "base_lr": 1.0, "gamma": 0.5, "stepvalue": (3,), "warmup_iter": 4}
    rates = Schedule(SolverParameters(**values, max_iter=20, netc_param=AFTER))
    assert [rates(iteration) for iteration in range(9)] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5]
