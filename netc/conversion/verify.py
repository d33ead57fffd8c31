"""Two forms of one net on the same input: where they differ, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netc.compiler import TEST_STATE, StateChoice
from netc.conversion.matching import matched
from netc.conversion.random_inputs import random_inputs
from netc.conversion.runners import Runner, Values, has_own_weights, open_runner
from netc.diagnostics import NetcError
from netc.ir.dims import Shape, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.conversion.models import Files
    from netc.passes.arrays import Array

TOLERANCE = 1e-4
"""The largest difference that rounding makes, relative to the largest value."""


@dataclass(frozen=True)
class ValueDifference:
    """One value in two forms."""

    name: str
    absolute: float
    """The largest difference; NaN where only one side is NaN or the shapes differ."""
    relative: float
    """The same, divided by the largest value of the first side."""
    note: str = ""
    departs: bool = False


@dataclass(frozen=True)
class Verification:
    """What `verify` found, in the order of the first side."""

    differences: tuple[ValueDifference, ...]

    @property
    def first(self) -> ValueDifference | None:
        """The first value that departs."""
        return next((found for found in self.differences if found.departs), None)

    @property
    def agrees(self) -> bool:
        """Whether none departs."""
        return self.first is None


def verify(
    one: str | Path,
    other: str | Path,
    *,
    weights: Files = (),
    other_weights: Files | None = None,
    inputs: Mapping[str, Array] | None = None,
    batch: int | None = None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    shapes: Mapping[str, Shape] | None = None,
    state: StateChoice = TEST_STATE,
) -> Verification:
    """Compare two of {prototxt with weights, .onnx, .py that netc wrote, .npz of blobs} value by value.

    `weights` are for the prototxts; `other_weights` are those of the second where they are given. A .caffemodel as the
    second form has its own.
    `state` selects the net of a prototxt.

    Both receive `inputs`, or the inputs in a dump among them, or random numbers from `seed`: `batch` items, by
    default 1 or as many as a form is fixed to. Values are matched by blob and by the layer that wrote them (see
    `matching`). Raises NetcError, among them E804 where the two have no value in common.
    """
    if other_weights is None:
        other_weights = () if has_own_weights(other) else weights
    sides = [open_runner(one, weights, shapes, state), open_runner(other, other_weights, shapes, state)]
    fed = dict(inputs) if inputs is not None else _inputs(sides, batch, seed)
    first, second = (side.run(fed) for side in sides)
    names = [[name for name in values if name not in fed] for values in (first, second)]
    pairs = matched(sides[0], sides[1], *names)
    if not pairs:
        raise NetcError(f"`{one}` and `{other}` have no value in common", code="E804")
    return Verification(tuple(difference(a, first[a], second[b], tolerance) for a, b in pairs.items()))


def _inputs(sides: list[Runner], batch: int | None, seed: int) -> Values:
    names = [name for side in sides for name in side.inputs]
    for side in sides:
        if not side.inputs and not side.versions:
            held = side.run({})
            return {name: held[name] for name in names if name in held}
    return random_inputs(sides, batch, seed)


def difference(name: str, one: Array, other: Array, tolerance: float = TOLERANCE) -> ValueDifference:
    """How far two arrays are apart.

    >>> difference("fc8", np.array([1.0, -4.0]), np.array([1.0, -3.0]))
    ValueDifference(name='fc8', absolute=1.0, relative=0.25, note='', departs=True)
    """
    if one.shape != other.shape:
        if one.size != other.size:
            return ValueDifference(name, np.nan, np.nan, f"{text(one.shape)} and {text(other.shape)}", True)
        other = other.reshape(one.shape)
    a, b = one.astype(np.float64), other.astype(np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return ValueDifference(name, np.nan, np.nan, f"{np.isnan(a).sum()} and {np.isnan(b).sum()} NaN", True)
    with np.errstate(invalid="ignore"):
        apart = np.where((a == b) | np.isnan(a), 0.0, np.abs(a - b))
    absolute = float(apart.max(initial=0.0))
    largest = float(np.abs(a, where=np.isfinite(a), out=np.zeros_like(a)).max(initial=0.0))
    relative = absolute / largest if largest else (0.0 if absolute == 0 else np.inf)
    return ValueDifference(name, absolute, relative, departs=not relative <= tolerance)
