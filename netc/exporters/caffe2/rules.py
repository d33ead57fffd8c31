"""How a layer type is written as operators of Caffe2: one function each, found by the layer's class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from netc.exporters.registry import Rules
from netc.ir.names import UniqueNames
from netc.ir.operator import Argument, Operator
from netc.layers import operator_class
from netc.schema import caffe2

if TYPE_CHECKING:
    from netc.ir.layer import Layer, Shapes

Array = npt.NDArray[Any]


@dataclass
class OperatorList:
    """Where operators and the arrays of parameters go."""

    operators: list[caffe2.OperatorDef] = field(default_factory=list)
    parameters: dict[str, Array] = field(default_factory=dict)
    names: UniqueNames = field(default_factory=lambda: UniqueNames("_"))
    """Of blobs."""


@dataclass(frozen=True)
class Caffe2Call:
    """One use of a layer."""

    sink: OperatorList
    bottoms: tuple[str, ...]
    shapes: Shapes
    """Of the bottoms."""
    tops: list[str]
    """Names of the tops; an operator that cannot run in place renames its output."""
    top_shapes: Shapes
    blobs: tuple[Array, ...]
    """In Caffe's shapes; those of an absorbed layer follow."""

    @property
    def x(self) -> str:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def axes(self) -> int:
        """How many axes the first bottom has."""
        return len(self.shapes[0])

    def top(self, kind: str, *inputs: str, extra: Sequence[str] = (), **arguments: Any) -> None:
        """Add the operator that computes the first top, with further outputs that nothing reads."""
        name = self.tops[0]
        if name in inputs and (inputs.index(name), 0) not in _in_place_pairs(kind, inputs, arguments):
            self.tops[0] = self.fresh("out")
        self.add(kind, inputs, [self.tops[0], *map(self.fresh, extra)], arguments)

    def op(self, kind: str, *inputs: str, extra: Sequence[str] = (), **arguments: Any) -> str:
        """Add an operator with a new blob as its output, and with further outputs that nothing reads."""
        output = self.fresh(kind.lower())
        self.add(kind, inputs, [output, *map(self.fresh, extra)], arguments)
        return output

    def add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], arguments: dict[str, Any]) -> None:
        """Add an operator."""
        made = (argument(name, value) for name, value in arguments.items() if value is not None)
        self.sink.operators.append(caffe2.OperatorDef(type=kind, input=inputs, output=outputs, arg=list(made)))

    def fresh(self, word: str) -> str:
        """A new blob, named after the first top."""
        return self.sink.names.add(f"{self.tops[0]}_{word}")

    def parameter(self, array: Array, word: str) -> str:
        """A blob that the init net fills."""
        name = self.fresh(word)
        self.sink.parameters[name] = array
        return name


def _in_place_pairs(kind: str, inputs: Sequence[str], arguments: dict[str, Any]) -> tuple[tuple[int, int], ...]:
    """The pairs of an input and an output that an operator may have in one blob."""
    cls = operator_class(kind)
    if cls is None:
        return ()
    made = [argument(name, value) for name, value in arguments.items() if value is not None]
    kinds = {one.name: {field.name: value for field, value in one.ListFields() if field.name != "name"} for one in made}
    return cls.from_caffe2(Operator(kind, cast("dict[str, Argument]", kinds), inputs, ("out",))).in_place_pairs


def argument(name: str, value: Any) -> caffe2.Argument:
    """An argument of the kind of its value: Caffe2 converts nothing, so that `1` and `1.0` differ."""
    made = caffe2.Argument(name=name)
    if isinstance(value, (bool, int, np.integer)):
        made.i = int(value)
    elif isinstance(value, float):
        made.f = value
    elif isinstance(value, str):
        made.s = value.encode()
    else:
        values = list(value)
        floats = bool(values) and all(isinstance(one, float) for one in values)
        (made.floats if floats else made.ints).extend(values)
    return made


Rule = Callable[[Any, Caffe2Call], None]
"""Takes the layer and its call; `errors.unsupported` says that the layer cannot be expressed."""

RULES: Rules[Rule] = Rules("netc.exporters.caffe2")
writes = RULES.writes


def rule_for(layer: Layer) -> Rule | None:
    """The rule of a layer's type; None for a type without one."""
    return RULES.rule_for(layer)
