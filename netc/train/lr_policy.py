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
    from netc.train.settings import SolverSettings


class Schedule:
    """The learning rate of each iteration.

    >>> from netc.train.settings import SolverSettings
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
        rate = POLICIES[self.settings.lr_policy].rate(self.settings, self)
        return ctypes.c_float(rate).value


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
    """base_lr gamma^k, k = iteration / stepsize rounded down."""
    at.current_step = at.iteration // settings.stepsize
    return settings.base_lr * _power(settings.gamma, at.current_step)


def exp(settings: SolverSettings, at: Schedule) -> float:
    """base_lr gamma^iteration."""
    return settings.base_lr * _power(settings.gamma, at.iteration)


def inv(settings: SolverSettings, at: Schedule) -> float:
    """base_lr (1 + gamma iteration)^-power."""
    return settings.base_lr * _power(1 + settings.gamma * at.iteration, -settings.power)


def multistep(settings: SolverSettings, at: Schedule) -> float:
    """base_lr gamma^k, k = how many of `stepvalue` have been reached; one at most in an iteration."""
    if at.current_step < len(settings.stepvalue) and at.iteration >= settings.stepvalue[at.current_step]:
        at.current_step += 1
        at.stepped = True
    return settings.base_lr * _power(settings.gamma, at.current_step)


def poly(settings: SolverSettings, at: Schedule) -> float:
    """base_lr (1 - iteration / max_iter)^power."""
    return settings.base_lr * _power(1 - at.iteration / settings.max_iter, settings.power)


def sigmoid(settings: SolverSettings, at: Schedule) -> float:
    """base_lr / (1 + e^(-gamma (iteration - stepsize)))."""
    exponent = -settings.gamma * (at.iteration - settings.stepsize)
    return settings.base_lr / (1 + math.exp(exponent)) if exponent < 700 else 0.0


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
