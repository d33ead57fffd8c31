"""The origin of a node that an operator of a NetDef describes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from netc.ir.operator import Kind
from netc.ir.origin import Origin
from netc.text import Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netc.diagnostics import Span
    from netc.ir.operator import Operator
    from netc.text import Message


_KINDS = get_args(Kind)


class OperatorOrigin(Origin):
    """An operator of a NetDef: its index, and its place in a text."""

    __slots__ = ("device", "index", "node", "operator")

    dialect = "caffe2"
    nouns = ("input", "output")

    def __init__(self, operator: Operator, index: int, node: Message | None = None, device: int = 0) -> None:
        self.operator, self.index, self.node = operator, index, node
        self.device = device
        """The number of the device that the file requests; 0 is the CPU."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OperatorOrigin) and other.operator is self.operator

    def __hash__(self) -> int:
        return id(self.operator)

    @property
    def name(self) -> str:
        """The operator's name, else its first output."""
        return self.operator.name or next(iter(self.operator.outputs), "")

    @property
    def type(self) -> str:
        """The operator's type."""
        return self.operator.type

    @property
    def bottoms(self) -> tuple[str, ...]:
        """The names of its inputs."""
        return self.operator.inputs

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of its outputs."""
        return self.operator.outputs

    @property
    def entries(self) -> Mapping[str, Any]:
        """The arguments."""
        return MappingProxyType(dict(self.operator.arguments))

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of an argument if the file sets it, else `default`."""
        argument = self.operator.arguments.get(name, {})
        return next(iter(argument.values()), default)

    def span(self, part: str = "", index: int = 0) -> Span | None:
        """Return the position of a field of the operator, or of the value of the argument of that name."""
        if self.node is None:
            return None
        if not part:
            return self.node.span
        values = self.node.get(part)
        if index < len(values):
            return values[index].span
        for argument in self.node.messages("arg"):
            if any(isinstance(name, Scalar) and name.raw[1:-1] == part for name in argument.get("name")):
                values = [value for kind in _KINDS for value in argument.get(kind)]
                return values[0].span if values else argument.span
        return None

    def note(self, bottoms: str = "") -> str:
        """The note of a diagnostic that names the operator and its formatted inputs."""
        name = f", `{self.name}`" if self.name else ""
        return f"in operator {self.index} ({self.type}{name})" + (f", inputs: {bottoms}" if bottoms else "")
