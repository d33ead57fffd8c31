"""The policies of Caffe2's LearningRate: the factor of the base rate as a function of the iteration.

A policy is a value whose fields are the arguments of the operator, by name. Reference: `learning_rate_op.h` for the
arguments and their defaults, `learning_rate_functors.h` for the functions.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from netc.ir.operator import Operator

P = TypeVar("P", bound="type[RatePolicy]")

POLICIES: dict[str, type[RatePolicy]] = {}
"""The policies by the name in the argument `policy`."""


def policy(name: str) -> Callable[[P], P]:
    """Class decorator: register a policy."""

    def add(cls: P) -> P:
        POLICIES[name] = cls
        return cls

    return add


@dataclass(frozen=True)
class RatePolicy(ABC):
    """A learning rate policy."""

    @classmethod
    def read(cls, operator: Operator, prefix: str = "") -> Self:
        """The policy whose arguments an operator sets, with `prefix` before their names."""
        readers: dict[str, Callable[[str, Any], Any]] = {
            "int": operator.integer,
            "float": operator.real,
            "bool": operator.flag,
        }
        values = {f.name: readers[str(f.type)](prefix + f.name, f.default) for f in dataclasses.fields(cls)}
        found = cls(**values)
        for name in found.positive():
            if values[name] <= 0:
                operator.fail(f"`{prefix}{name}: {values[name]}` is not positive", prefix + name)
        return found

    def positive(self) -> tuple[str, ...]:
        """The arguments that must be positive."""
        return ()

    @abstractmethod
    def factor(self, iteration: int, base: float) -> float:
        """The factor of the rate `base` in an iteration."""


@policy("fixed")
@dataclass(frozen=True)
class FixedRate(RatePolicy):
    """1."""

    def factor(self, iteration: int, base: float) -> float:
        """1."""
        return 1.0


@policy("alter")
@dataclass(frozen=True)
class AlterRate(RatePolicy):
    """1 and 0 in turn, for the numbers of iterations given."""

    active_first: bool = True
    active_period: int = -1
    inactive_period: int = -1

    def positive(self) -> tuple[str, ...]:
        """Both periods."""
        return ("active_period", "inactive_period")

    def factor(self, iteration: int, base: float) -> float:
        """1 in an active period."""
        first = self.active_period if self.active_first else self.inactive_period
        is_first = iteration % (self.active_period + self.inactive_period) < first
        return float(is_first == self.active_first)


@policy("step")
@dataclass(frozen=True)
class StepRate(RatePolicy):
    """gamma^floor(iteration / stepsize)."""

    stepsize: int = 0
    gamma: float = 0.0

    def positive(self) -> tuple[str, ...]:
        """The number of iterations that a rate is kept."""
        return ("stepsize",)

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        return power(self.gamma, iteration // self.stepsize)


@policy("exp")
@dataclass(frozen=True)
class ExpRate(RatePolicy):
    """gamma^iteration."""

    gamma: float = 0.0

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        return power(self.gamma, iteration)


@policy("inv")
@dataclass(frozen=True)
class InvRate(RatePolicy):
    """(1 + gamma iteration)^-power."""

    gamma: float = 0.0
    power: float = 0.0

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        return power(1 + self.gamma * iteration, -self.power)


@policy("poly")
@dataclass(frozen=True)
class PolyRate(RatePolicy):
    """(1 - iteration / max_iter)^power; NaN past `max_iter`, unless the power is an integer."""

    max_iter: int = -1
    power: float = 0.0

    def factor(self, iteration: int, base: float) -> float:
        """Caffe2 stores `max_iter` without a sign: a negative one is as good as infinite."""
        if self.max_iter == 0:
            return math.nan if iteration == 0 else power(-math.inf, self.power)
        return power(1 - iteration / (self.max_iter % 2**64), self.power)


@policy("linearWarmup")
@dataclass(frozen=True)
class LinearWarmupRate(RatePolicy):
    """From `start_multiplier` to 1 in `num_iter` iterations, in equal steps."""

    start_multiplier: float = 0.0
    num_iter: int = 0

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        if iteration >= self.num_iter:
            return 1.0
        return self.start_multiplier + (1 - self.start_multiplier) * iteration / self.num_iter


@policy("constantWarmup")
@dataclass(frozen=True)
class ConstantWarmupRate(RatePolicy):
    """`multiplier` for `num_iter` iterations, then 1."""

    multiplier: float = 0.5
    num_iter: int = 0

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        return 1.0 if iteration >= self.num_iter else self.multiplier


@policy("gate")
@dataclass(frozen=True)
class GateRate(RatePolicy):
    """`multiplier_1` for `num_iter` iterations, then `multiplier_2`."""

    multiplier_1: float = 1.0
    multiplier_2: float = 1.0
    num_iter: int = 0

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        return self.multiplier_2 if iteration >= self.num_iter else self.multiplier_1


@policy("pieceWarmup")
@dataclass(frozen=True)
class PieceWarmupRate(RatePolicy):
    """`m1` before iteration `n1`, `m2` before `n2`, then `m3`."""

    m1: float = 0.5
    n1: int = 0
    m2: float = 0.5
    n2: int = 0
    m3: float = 0.5

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        return self.m1 if iteration < self.n1 else self.m2 if iteration < self.n2 else self.m3


@policy("hill")
@dataclass(frozen=True)
class HillRate(RatePolicy):
    """LinearWarmupRate for `num_iter` iterations, then InvRate of the iterations since, at least `end_multiplier`."""

    num_iter: int = 0
    start_multiplier: float = 0.0
    gamma: float = 0.0
    power: float = 0.0
    end_multiplier: float = 0.0

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        if iteration < self.num_iter:
            return LinearWarmupRate(self.start_multiplier, self.num_iter).factor(iteration, base)
        return max(self.end_multiplier, InvRate(self.gamma, self.power).factor(iteration - self.num_iter, base))


@policy("cyclical")
@dataclass(frozen=True)
class CyclicalRate(RatePolicy):
    """From 1 to max_lr / base and back in 2 `stepsize` iterations; the peaks are multiplied by `decay` each time."""

    max_lr: float = 0.005
    stepsize: int = 0
    decay: float = 1.0

    @classmethod
    def read(cls, operator: Operator, prefix: str = "") -> Self:
        """Read the arguments; `decay` is an integer in Caffe2 1.4 and earlier, later a float."""
        name = f"{prefix}decay"
        is_integer = "i" in operator.arguments.get(name, {})
        decay = operator.integer(name) if is_integer else operator.real(name, 1.0)
        size = operator.integer(f"{prefix}stepsize")
        if size <= 0:
            operator.fail(f"`{prefix}stepsize: {size}` is not positive", f"{prefix}stepsize")
        return cls(operator.real(f"{prefix}max_lr", 0.005), size, decay)

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        cycles = iteration // (2 * self.stepsize)
        place = abs(iteration / self.stepsize - 2 * (cycles + 1) + 1)
        highest = abs(self.max_lr) / abs(base) - 1 if base else math.nan
        return 1 + highest * max(0.0, 1 - place) * power(self.decay, cycles)


@policy("cosine")
@dataclass(frozen=True)
class CosineRate(RatePolicy):
    """Half a cosine from `max_lr` to `min_lr` in each period, which is `t_mult` times as long as the one before.

    Both bounds are multiplied by `lr_shrink` each period. The operator multiplies the result by the base rate.
    """

    max_lr: float = 0.5
    min_lr: float = 0.1
    period: int = 50
    t_mult: float = 1.0
    lr_shrink: float = 0.99

    def positive(self) -> tuple[str, ...]:
        """The period."""
        return ("period",)

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        if self.t_mult == 1:
            number = float(iteration // self.period)
            length, place = float(self.period), iteration - number * self.period
        else:
            number = float(
                math.floor(math.log(1 - iteration / self.period * (1 - self.t_mult)) / math.log(self.t_mult))
            )
            length = power(self.t_mult, number) * self.period
            place = iteration - (1 - power(self.t_mult, number)) / (1 - self.t_mult) * self.period
        shrink = power(self.lr_shrink, number)
        low, high = self.min_lr * shrink, self.max_lr * shrink
        return low + 0.5 * (high - low) * (1 + math.cos(math.pi * place / length))


@policy("constantThenLinearWarmup")
@dataclass(frozen=True)
class ConstantThenLinearWarmupRate(RatePolicy):
    """`start_warmup_multiplier` for the first number of iterations, then a linear warm-up from it in the second."""

    start_warmup_multiplier: float = 0.1
    constant_warmup_num_iter: int = 10_000_000
    linear_warmup_num_iter: int = 10_000_000

    @property
    def warmup(self) -> int:
        """The number of iterations of both parts."""
        return self.constant_warmup_num_iter + self.linear_warmup_num_iter

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        if iteration < self.constant_warmup_num_iter:
            return self.start_warmup_multiplier
        linear = LinearWarmupRate(self.start_warmup_multiplier, self.linear_warmup_num_iter)
        return linear.factor(iteration - self.constant_warmup_num_iter, base)


@policy("compositeCyclical")
@dataclass(frozen=True)
class CompositeCyclicalRate(ConstantThenLinearWarmupRate):
    """ConstantThenLinearWarmupRate, then CyclicalRate of the iterations since."""

    cyclical_max_lr: float = 0.05
    cyclical_step_size: int = 1_000_000
    cyclical_decay: float = 1.0

    def positive(self) -> tuple[str, ...]:
        """The step."""
        return ("cyclical_step_size",)

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        if iteration < self.warmup:
            return super().factor(iteration, base)
        cyclical = CyclicalRate(self.cyclical_max_lr, self.cyclical_step_size, self.cyclical_decay)
        return cyclical.factor(iteration - self.warmup, base)


@policy("compositeCosine")
@dataclass(frozen=True)
class CompositeCosineRate(ConstantThenLinearWarmupRate):
    """ConstantThenLinearWarmupRate, then CosineRate of the iterations since."""

    cosine_max_lr: float = 0.5
    cosine_min_lr: float = 0.1
    cosine_period: int = 50
    cosine_t_mult: float = 1.0
    cosine_lr_shrink: float = 0.99

    def positive(self) -> tuple[str, ...]:
        """The period."""
        return ("cosine_period",)

    def factor(self, iteration: int, base: float) -> float:
        """Computed as described in the class docstring."""
        if iteration < self.warmup:
            return super().factor(iteration, base)
        cosine = CosineRate(
            self.cosine_max_lr, self.cosine_min_lr, self.cosine_period, self.cosine_t_mult, self.cosine_lr_shrink
        )
        return cosine.factor(iteration - self.warmup, base)


def power(base: float, exponent: float) -> float:
    """The power as C computes it: NaN or infinity where Python raises an error.

    >>> power(2.0, -1), power(-0.5, 0.5), power(0.0, -1.0)
    (0.5, nan, inf)
    """
    try:
        return math.pow(base, exponent)
    except ValueError:
        return math.inf if base == 0 else math.nan
    except OverflowError:
        return math.inf
