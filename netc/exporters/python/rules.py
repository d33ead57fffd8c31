"""How a layer type is written in plain torch: one function each, found by the layer's class.

A rule takes a `PythonCall`, the names used in the file, and returns `Code`. Names are made by the exporter and hold
letters, digits and underscores only; rules add numbers and words of their own: nothing of a net's file is code.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from netc.exporters.registry import Rules
from netc.ir.layer import Layer, Shapes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netc.ir.dtypes import DType

Array = npt.NDArray[Any]
L = TypeVar("L", bound=Layer)


class Scope(Protocol):
    """What a rule may add to the file besides its line."""

    def function(self, like: str, lines: Sequence[str]) -> str:
        """Add a function, from its parameter list on, unless the file has it; returns its name, made of `like`."""

    def constant(self, tensor: Tensor) -> str:
        """Add a buffer with these values; returns the expression that reads it."""


@dataclass(frozen=True)
class PythonCall:
    """One use of a layer: the words for its bottoms, its blobs, and the module that it may make."""

    bottoms: tuple[str, ...]
    """Variables."""
    shapes: Shapes
    """Of the bottoms; the batch may be another when the file runs."""
    tops: int
    module: str
    """`self.conv1`: what `Code.module` is assigned to."""
    weights: tuple[str, ...]
    """Expressions of the layer's blobs, for rules that make no module."""
    scope: Scope
    """The file."""
    absorbed: Layer | None = None
    """A layer that is computed along with this one; its blobs follow in `weights`."""
    weight_names: tuple[str, ...] = ()
    """The names of the blobs in the layer."""
    sample: Shapes = ()
    """Shapes of the bottoms with other numbers, 3 or more, on the axes that are free."""
    free: tuple[tuple[int, ...], ...] = ()
    """For each bottom the axes whose extents are free when the file runs."""
    dtypes: tuple[DType, ...] = ()
    """Of the bottoms."""
    dtype: str = "float32"
    """Torch's name of what the net computes in."""

    @property
    def x(self) -> str:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def axes(self) -> int:
        """How many axes the first bottom has."""
        return len(self.shapes[0])


@dataclass(frozen=True)
class Code:
    """A layer in plain torch."""

    expression: str
    """Of the tops: a tensor for one, a tuple for several."""
    module: str = ""
    """A constructor that `Call.module` is assigned; empty where the blobs are used one by one."""
    state: Callable[[Sequence[Array]], Mapping[str, Array]] | None = None
    """The module's tensors, given the blobs; None: each blob in the module's shape, under its own name."""
    is_held: bool = False
    """Whether the expression is a tensor that the net holds: what reads the top reads it there."""
    functions: tuple[str, ...] = ()
    """Functions of functions.py that the expression calls."""


Rule = Callable[[Any, PythonCall], Code]
"""Returns the code of a layer. Raises NetcError E801 for what it cannot express (`errors.unsupported`)."""
RULES: Rules[Rule] = Rules("netc.exporters.python")
writes = RULES.writes


def number(value: float) -> str:
    """A number as source, with the fewest digits that yield the same float32.

    >>> number(0.1), number(4.999999873689376e-05), number(-math.inf), number(3)
    ('0.1', '5e-05', "float('-inf')", '3')
    """
    if isinstance(value, int):
        return repr(value)
    if not math.isfinite(value):
        return f"float({str(value)!r})"
    short = float(str(np.float32(value)))
    return repr(short if np.float32(short) == np.float32(value) else value)


def constructor(module: nn.Module) -> str:
    """The expression that makes a stock module: its class with the arguments that differ from their defaults.

    torch keeps each argument as an attribute of the same name; `bias` is whether there is one.

    >>> from torch import nn
    >>> constructor(nn.AvgPool2d(3, 2, ceil_mode=True)), constructor(nn.Linear(4, 2, bias=False))
    ('nn.AvgPool2d(3, stride=2, ceil_mode=True)', 'nn.Linear(4, 2, bias=False)')
    """
    arguments: list[str] = []
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        named = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD  # not the (*args, **kwargs) of bare modules
        if not named or name in ("self", "device", "dtype"):
            continue
        value = getattr(module, name)
        if name == "bias":
            value = value is not None
        if parameter.default is inspect.Parameter.empty:
            arguments.append(_spelled(value))
        elif value != parameter.default and _short(value) != parameter.default:
            arguments.append(f"{name}={_spelled(value)}")
    return f"nn.{type(module).__name__}({', '.join(arguments)})"


def _spelled(value: Any) -> str:
    short = _short(value)
    return number(short) if type(short) is float else repr(short)


def _short(value: Any) -> Any:
    """One number for a square window."""
    if isinstance(value, tuple) and value and all(one == value[0] for one in value):
        return value[0]
    return value


def stock_module(layer: Layer, call: PythonCall) -> Rule | None:
    """The rule of a layer with one bottom whose arithmetic is that of a stock module; None for other layers."""
    module = layer.module(call.shapes, call.tops) if len(call.bottoms) == 1 else None
    if module is None:
        return None
    code = Code(f"{call.module}({call.x})", constructor(module))
    return lambda layer, call: code
