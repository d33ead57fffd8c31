"""Elementwise functions: AbsVal, Clip, Exp, Log, Power, Threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Role, Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

NATURAL = -1.0
"""The value of `base` that denotes e (ExpParameter, LogParameter)."""


@register("AbsVal", v1="ABSVAL")
@dataclass(frozen=True)
class AbsVal(Layer):
    """The absolute value; its gradient at 0 is 0.

    Shapes: any, kept.

    >>> AbsVal().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `absval_layer.cpp`.
    """

    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].abs()


@register("Clip", field="clip_param")
@dataclass(frozen=True)
class Clip(Layer):
    """Clamps x to the range from `min` to `max`; the gradient is 1 within the range, bounds included, and 0 outside.

    If `min` is greater than `max`, every element becomes `min`.

    Shapes: any, kept.

    >>> Clip(min=0, max=6).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `clip_layer.cpp`.
    """

    min: float
    """Lower bound."""
    max: float
    """Upper bound."""

    keeps_sign: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 if a bound is missing: both are required."""
        p = layer.message("clip_param")
        for bound in ("min", "max"):
            if bound not in p:
                fail(f"`{bound}` is missing", code="E101", help=f"set `clip_param {{ {bound}: ... }}`")
        return super().from_caffe(layer)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Two comparisons per element."""
        return Cost(operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        if self.min <= self.max:
            return bottoms[0].clamp(self.min, self.max)
        return bottoms[0].clamp(max=self.max).clamp(min=self.min)  # if min > max, torch's clamp would return `max`


@register("Exp", field="exp_param", v1="EXP")
@dataclass(frozen=True)
class Exp(Layer):
    """base ^ (shift + scale x).

    Shapes: any, kept.

    >>> Exp(base=2).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `exp_layer.cpp`.
    """

    base: float = NATURAL
    """The base; -1 denotes e."""
    scale: float = 1.0
    """Factor of x in the exponent."""
    shift: float = 0.0
    """Added to the scaled x in the exponent."""

    in_place = True
    sees: ClassVar[Sees] = "place"

    def reads_top(self, in_place: bool) -> TopRead:
        """The gradient is a multiple of y (`exp_layer.cpp`, Backward_cpu)."""
        return "values"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a base without a logarithm."""
        _log(self.base)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One exponential per element, and one multiplication for each of the two factors that is not 1."""
        inner, outer = self._factors()
        return Cost(operations=product(tops[0]) * (1 + (inner != 1) + (outer != 1)))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as Caffe does, base^shift exp(x scale log(base)): the gradient is y scale log(base)."""
        inner, outer = self._factors()
        y = (bottoms[0] if inner == 1 else bottoms[0] * inner).exp()
        return y if outer == 1 else y * outer

    def _factors(self) -> tuple[float, float]:
        logarithm = _log(self.base)
        try:
            outer = math.exp(self.shift * logarithm)
        except OverflowError:
            outer = math.inf
        return self.scale * logarithm, outer


@register("Log", field="log_param")
@dataclass(frozen=True)
class Log(Layer):
    """log(shift + scale x) / log(base).

    Shapes: any, kept.

    >>> Log(base=10).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `log_layer.cpp`.
    """

    base: float = NATURAL
    """The base; -1 denotes e."""
    scale: float = 1.0
    """Factor of x before the logarithm."""
    shift: float = 0.0
    """Added to the scaled x before the logarithm."""

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a base without a logarithm, or whose logarithm is 0."""
        if _log(self.base) == 0:
            fail("`base` is 1: there is no logarithm to base 1", code="E103", field="base")

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One logarithm per element, and one operation for each of scale, shift and base that is set."""
        given = (self.scale != 1) + (self.shift != 0) + (_log(self.base) != 1)
        return Cost(operations=product(tops[0]) * (1 + given))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        y = _affine(bottoms[0], self.scale, self.shift).log()
        logarithm = _log(self.base)
        return y if logarithm == 1 else y * (1 / logarithm)


@register("Power", field="power_param", v1="POWER")
@dataclass(frozen=True)
class Power(Layer):
    """(shift + scale x) ^ power.

    If power or scale is 0, the top is the constant shift^power (1 if power is 0) for every x, and the gradient is 0.
    Where shift + scale x is 0, the gradient is the derivative, 0 for powers above 1; Caffe divides 0 by 0 there for
    powers other than 1 and 2.

    Shapes: any, kept.

    >>> Power(power=2).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `power_layer.cpp`.
    """

    power: float = 1.0
    """The exponent."""
    scale: float = 1.0
    """Factor of x."""
    shift: float = 0.0
    """Added to the scaled x."""

    sees: ClassVar[Sees] = "place"

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """One affine function of every element, unless `power` is set."""
        if self.is_identity_in_test:
            return "moved"
        return "scaled" if self.power == 1 and self.scale != 0 else "computed"

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """An odd power and a positive factor keep the sign."""
        return self.power % 2 == 1 and self.scale > 0 and self.shift == 0

    @property
    def is_identity_in_test(self) -> bool:  # type: ignore[override]
        """If no parameter is set."""
        return (self.power, self.scale, self.shift) == (1, 1, 0)

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """Unless the top is the bottom itself."""
        return not self.is_identity_in_test

    def reads_top(self, in_place: bool) -> TopRead:
        """Its values, divided by x, for powers other than 1 and 2 (`power_layer.cpp`, Backward_cpu)."""
        return "" if self._constant or self.power in (1, 2) else "values"

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """Caffe's backward pass needs x, unless the gradient is the same for every x."""
        return self.power == 1 or self._constant

    @property
    def _constant(self) -> bool:
        return self.power * self.scale == 0

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per element for each of power, scale and shift that is set; none for a constant."""
        given = 0 if self._constant else (self.power != 1) + (self.scale != 1) + (self.shift != 0)
        return Cost(operations=product(tops[0]) * given)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        if self._constant:  # `where` excludes NaN and keeps x in autograd's graph
            value = torch.full_like(x, self.shift).pow(self.power)
            return torch.where(torch.zeros_like(x, dtype=torch.bool), x, value)
        y = _affine(x, self.scale, self.shift)
        return y if self.power == 1 else y.pow(self.power)


@register("Threshold", field="threshold_param", v1="THRESHOLD")
@dataclass(frozen=True)
class Threshold(Layer):
    """1 where x is above the threshold, 0 elsewhere; there is no gradient.

    Shapes: any, kept.

    >>> Threshold(threshold=0.5).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `threshold_layer.cpp`.
    """

    threshold: float = 0.0
    """Values above it become 1, all others 0."""

    in_place = True
    no_gradient = (0,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return (bottoms[0] > self.threshold).to(bottoms[0].dtype)


def _log(base: float) -> float:
    """Return the logarithm of a base, 1 for Caffe's -1. Raises NetcError E103 if it is not finite."""
    if base == NATURAL:
        return 1.0
    if not 0 < base < math.inf:
        fail(f"`base` is {base:g}: it must be a positive number, or -1 for e", code="E103", field="base")
    return math.log(base)


def _affine(x: Tensor, scale: float, shift: float) -> Tensor:
    y = x if scale == 1 else x * scale
    return y if shift == 0 else y + shift
