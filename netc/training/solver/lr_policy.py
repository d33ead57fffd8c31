"""Learning rate policies (`sgd_solver.cpp`, GetLearningRate) of BVLC's Caffe and its forks. Never imports torch.

A policy is a function of the settings and of the schedule's state, registered under its name with the fields that it
requires.
"""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netc.training.solver.parameters import SolverParameters


class Schedule:
    """The learning rate of each iteration.

    >>> from netc.training.solver.parameters import SolverParameters
    >>> schedule = Schedule(SolverParameters(lr_policy="multistep", base_lr=1, gamma=0.5, stepvalue=(2, 3)))
    >>> [schedule(iteration) for iteration in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    def __init__(self, settings: SolverParameters, loss: Callable[[], float] = lambda: math.inf) -> None:
        self.loss = loss
        self.use(settings)
        self.least_loss = math.inf
        """The minimum averaged loss so far, used by policy `plateau`."""
        self.last_event = 0
        """The iteration of the latest new minimum or step."""
        self.iteration = 0
        """The iteration, as the policy counts."""
        self.current_step = 0
        """Number of steps so far; part of a snapshot."""
        self.stepped = False
        """Whether the last call started a step, which is logged."""

    def use(self, settings: SolverParameters) -> None:
        """Follow other settings from the next iteration on."""
        self.settings = settings
        self.warm_up_iterations = max(settings.warmup_iter, settings.rampup_interval)
        self._offset = self.warm_up_iterations if settings.options.policy_after_warmup else 0
        """The iteration that the policy takes for the first."""
        last = max(1, settings.max_iter - self._offset)
        self._policy_settings = dataclasses.replace(settings, max_iter=last) if self._offset else settings

    def peek(self, iteration: int) -> float:
        """Return the rate of an iteration without changing the state of the policy.

        >>> from netc.training.solver.parameters import SolverParameters
        >>> schedule = Schedule(SolverParameters(lr_policy="step", base_lr=1, gamma=0.5, stepsize=1))
        >>> schedule.peek(2), schedule.current_step
        (0.25, 0)
        """
        return copy.copy(self)(iteration)

    def __call__(self, iteration: int) -> float:
        """Return the rate, rounded to float32 as in Caffe. Call once per iteration, in order: policies have state."""
        self.iteration, self.stepped = iteration - self._offset, False
        settings = self.settings
        if iteration < settings.warmup_iter:
            rate = warm_up(settings, iteration)
        elif iteration < settings.rampup_interval:
            rate = ramp_up(settings, iteration)
        else:
            rate = POLICIES[settings.lr_policy].rate(self._policy_settings, self)
        return max(single(rate), single(settings.min_lr))

    def state(self) -> dict[str, Any]:
        """Return the state that Caffe's solver state does not contain, as plain JSON."""
        least = self.least_loss if math.isfinite(self.least_loss) else None
        return {"least_loss": least, "last_event": self.last_event}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state returned by `state`."""
        self.least_loss = math.inf if state["least_loss"] is None else state["least_loss"]
        self.last_event = state["last_event"]


@dataclass(frozen=True)
class Policy:
    """A learning rate policy."""

    rate: Callable[[SolverParameters, Schedule], float]
    """Returns the learning rate of the schedule's iteration."""
    required: tuple[str, ...]
    """Fields of the solver that must be set, else E602."""
    expected: tuple[str, ...] = ()
    """Fields that should be set, else W602: Caffe then reads 0, or never steps."""


POLICIES: dict[str, Policy] = {}
"""The policies, by the value of `lr_policy`."""
Rate = Callable[[SolverParameters, "Schedule"], float]


def policy(*required: str, expected: tuple[str, ...] = ()) -> Callable[[Rate], Rate]:
    """Register a function as the policy with its name; see `Policy` for the fields of the solver that it reads."""

    def add(function: Rate) -> Rate:
        POLICIES[function.__name__] = Policy(function, required, expected)
        return function

    return add


@policy("base_lr")
def fixed(settings: SolverParameters, at: Schedule) -> float:
    """The rate base_lr."""
    return settings.base_lr


@policy("base_lr", "stepsize", expected=("gamma",))
def step(settings: SolverParameters, at: Schedule) -> float:
    """The rate base_lr gamma^k, k = iteration / stepsize rounded down."""
    at.current_step = at.iteration // settings.stepsize
    return settings.base_lr * _power(settings.gamma, at.current_step)


@policy("base_lr", expected=("gamma",))
def exp(settings: SolverParameters, at: Schedule) -> float:
    """The rate base_lr gamma^iteration."""
    return settings.base_lr * _power(settings.gamma, at.iteration)


@policy("base_lr", expected=("gamma", "power"))
def inv(settings: SolverParameters, at: Schedule) -> float:
    """The rate base_lr (1 + gamma iteration)^-power."""
    base = single(1 + single(settings.gamma * at.iteration))
    return settings.base_lr * single(_power(base, -settings.power))


@policy("base_lr", expected=("gamma", "stepvalue"))
def multistep(settings: SolverParameters, at: Schedule) -> float:
    """The rate base_lr gamma^k, k = number of `stepvalue` entries reached; at most one more per iteration."""
    if at.current_step < len(settings.stepvalue) and at.iteration >= settings.stepvalue[at.current_step]:
        at.current_step += 1
        at.stepped = True
    return settings.base_lr * _power(settings.gamma, at.current_step)


@policy("base_lr", "max_iter", expected=("power",))
def poly(settings: SolverParameters, at: Schedule) -> float:
    """The rate (base_lr - min_lr) (1 - iteration / max_iter)^power + min_lr; only NVIDIA's Caffe has `min_lr`."""
    base = single(1 - single(at.iteration / settings.max_iter))
    return (settings.base_lr - settings.min_lr) * single(_power(base, settings.power)) + settings.min_lr


@policy("base_lr", "max_iter")
def cosine(settings: SolverParameters, at: Schedule) -> float:
    """The rate (base_lr - min_lr) (1 + cos(pi iteration / max_iter)) / 2 + min_lr (Loshchilov and Hutter 2017)."""
    share = (1 + math.cos(math.pi * min(1.0, at.iteration / settings.max_iter))) / 2
    return (settings.base_lr - settings.min_lr) * share + settings.min_lr


@policy("base_lr", "plateau_winsize", expected=("gamma",))
def plateau(settings: SolverParameters, at: Schedule) -> float:
    """The rate base_lr gamma^k; k increases after `plateau_winsize[k]` iterations without a new minimum of the loss.

    Reference: `sgd_solver.cpp` of Intel's and SSD's Caffe.
    """
    loss = at.loss()
    if loss < at.least_loss:
        at.least_loss, at.last_event = loss, at.iteration
    windows = settings.plateau_winsize
    if at.current_step < len(windows) and at.iteration >= at.last_event + windows[at.current_step]:
        at.current_step += 1
        at.last_event, at.stepped = at.iteration, True
    return settings.base_lr * _power(settings.gamma, at.current_step)


@policy("stagelr", "stageiter")
def multifixed(settings: SolverParameters, at: Schedule) -> float:
    """The rate of the first stage whose `stageiter` has not passed, or of the last stage (Intel's Caffe)."""
    stages = (rate for rate, last in zip(settings.stagelr, settings.stageiter) if at.iteration <= last)
    return next(stages, settings.stagelr[-1])


def jump_after_warm_up(settings: SolverParameters) -> float | None:
    """Return the rate with which the policy begins if it differs by more than 1% from the end of the warm-up.

    In Caffe's forks a policy counts from iteration 0, so that `cosine` and `poly` have decayed when the warm-up ends.
    """
    schedule = Schedule(settings)
    end = schedule.warm_up_iterations
    if not 0 < end < settings.max_iter:
        return None
    rate = schedule(end)
    return rate if abs(rate - settings.base_lr) > 0.01 * settings.base_lr else None


def warm_up(settings: SolverParameters, iteration: int) -> float:
    """Interpolate linearly from `warmup_start_lr` to `base_lr` (Intel's Caffe)."""
    whole = settings.warmup_iter
    return (iteration * settings.base_lr + (whole - iteration) * settings.warmup_start_lr) / whole


def ramp_up(settings: SolverParameters, iteration: int) -> float:
    """Interpolate quadratically from `rampup_lr` to `base_lr` (NVIDIA's Caffe 0.17; linearly in older versions)."""
    share = single(iteration / settings.rampup_interval)
    return settings.rampup_lr + (settings.base_lr - settings.rampup_lr) * share * share


@policy("base_lr", expected=("gamma", "stepsize"))
def sigmoid(settings: SolverParameters, at: Schedule) -> float:
    """The rate base_lr / (1 + e^(-gamma (iteration - stepsize)))."""
    exponent = single(-settings.gamma * (at.iteration - settings.stepsize))
    grown = single(math.exp(exponent)) if exponent < 700 else math.inf
    return settings.base_lr * single(1 / single(1 + grown))


def momentum_at(settings: SolverParameters, iteration: int, rate: float) -> float:
    """The momentum of an iteration with a learning rate (`sgd_solver.cpp` of NVIDIA's Caffe 0.17, GetMomentum).

    >>> from netc.training.solver.parameters import SolverParameters
    >>> poly = SolverParameters(momentum_policy="poly", momentum=0.5, max_momentum=0.9, max_iter=4, momentum_power=2)
    >>> [round(momentum_at(poly, iteration, 0.1), 6) for iteration in (0, 2, 4)]
    [0.5, 0.6, 0.9]
    """
    if settings.momentum_policy == "poly":
        share = _power(iteration / settings.max_iter, settings.momentum_power)
        return single(settings.momentum + (settings.max_momentum - settings.momentum) * share)
    if settings.momentum_policy == "opt":
        momentum = (1 - 0.5 * math.sqrt(rate)) ** 2
        return single(min(settings.max_momentum, momentum) if "max_momentum" in settings.fields else momentum)
    return settings.momentum


def single(value: float) -> float:
    """Round to float32, as Caffe does at each of these points, which is visible in its logs.

    >>> single(0.1)
    0.10000000149011612
    """
    return ctypes.c_float(value).value


def _power(base: float, exponent: float) -> float:
    """As C's `pow`: never complex, and infinite on overflow."""
    try:
        result = base**exponent
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return result if isinstance(result, float | int) else math.nan
