"""Learning rate policies (`sgd_solver.cpp`, GetLearningRate). Never imports torch.

A policy is a function of the settings and of the schedule's state, and the names of the fields that it cannot do
without; `POLICIES` is the list of them.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netc.training.settings import SolverSettings


class Schedule:
    """The learning rate of each iteration.

    >>> from netc.training.settings import SolverSettings
    >>> schedule = Schedule(SolverSettings(lr_policy="multistep", base_lr=1, gamma=0.5, stepvalue=(2, 3)))
    >>> [schedule(iteration) for iteration in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    def __init__(self, settings: SolverSettings) -> None:
        self.settings = settings
        self.iteration = 0
        self.current_step = 0
        """How often the rate has stepped down; part of a snapshot."""
        self.stepped = False
        """Whether the last call began a step of which the log tells."""

    def __call__(self, iteration: int) -> float:
        """The rate, as a float32 as in Caffe. Asked for once an iteration, in order: a policy may keep state."""
        self.iteration, self.stepped = iteration, False
        return single(POLICIES[self.settings.lr_policy].rate(self.settings, self))


@dataclass(frozen=True)
class Policy:
    """A rule for the rate."""

    rate: Callable[[SolverSettings, Schedule], float]
    needs: tuple[str, ...] = ()
    """Fields of the solver without which it makes no sense."""


def fixed(settings: SolverSettings, at: Schedule) -> float:
    """Always base_lr."""
    return settings.base_lr


def step(settings: SolverSettings, at: Schedule) -> float:
    """The rate base_lr gamma^k, k = iteration / stepsize rounded down."""
    at.current_step = at.iteration // settings.stepsize
    return settings.base_lr * _power(settings.gamma, at.current_step)


def exp(settings: SolverSettings, at: Schedule) -> float:
    """The rate base_lr gamma^iteration."""
    return settings.base_lr * _power(settings.gamma, at.iteration)


def inv(settings: SolverSettings, at: Schedule) -> float:
    """The rate base_lr (1 + gamma iteration)^-power."""
    base = single(1 + single(settings.gamma * at.iteration))
    return settings.base_lr * single(_power(base, -settings.power))


def multistep(settings: SolverSettings, at: Schedule) -> float:
    """The rate base_lr gamma^k, k = how many of `stepvalue` have been reached; one at most in an iteration."""
    if at.current_step < len(settings.stepvalue) and at.iteration >= settings.stepvalue[at.current_step]:
        at.current_step += 1
        at.stepped = True
    return settings.base_lr * _power(settings.gamma, at.current_step)


def poly(settings: SolverSettings, at: Schedule) -> float:
    """The rate base_lr (1 - iteration / max_iter)^power."""
    base = single(1 - single(at.iteration / settings.max_iter))
    return settings.base_lr * single(_power(base, settings.power))


def sigmoid(settings: SolverSettings, at: Schedule) -> float:
    """The rate base_lr / (1 + e^(-gamma (iteration - stepsize)))."""
    exponent = single(-settings.gamma * (at.iteration - settings.stepsize))
    grown = single(math.exp(exponent)) if exponent < 700 else math.inf
    return settings.base_lr * single(1 / single(1 + grown))


def single(value: float) -> float:
    """The nearest float32: Caffe rounds at each of these places, and its logs show it.

    >>> single(0.1)
    0.10000000149011612
    """
    return ctypes.c_float(value).value


def _power(base: float, exponent: float) -> float:
    """As C's pow, whose results are never complex and whose overflow is infinite."""
    try:
        result = base**exponent
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return result if isinstance(result, float | int) else math.nan


POLICIES: dict[str, Policy] = {
    "fixed": Policy(fixed),
    "step": Policy(step, ("gamma", "stepsize")),
    "exp": Policy(exp, ("gamma",)),
    "inv": Policy(inv, ("gamma", "power")),
    "multistep": Policy(multistep, ("gamma", "stepvalue")),
    "poly": Policy(poly, ("power", "max_iter")),
    "sigmoid": Policy(sigmoid, ("gamma", "stepsize")),
}
"""By the name that `lr_policy` gives."""
