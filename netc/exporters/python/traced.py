"""Layers without a rule in plain torch: a function of ATen operators, from the layer's forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.exporters.errors import unsupported
from netc.exporters.python.aten import CHECKS, Call, expression
from netc.exporters.python.names import Identifiers
from netc.exporters.python.rules import Code, PythonCall
from netc.exporters.trace import constants_of, core_aten, traced

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

    from netc.ir.layer import Layer

_RESERVED = ("torch", "F", "Tensor", "Pair")


def traced_layer(layer: Layer, call: PythonCall) -> Code:
    """A call of a function that computes the layer, which the file gets.

    Raises NetcError E801 for a layer that cannot be traced, FixedExtentError for one that fixes a free extent.
    """
    program = traced(layer, call.sample, call.dtypes, call.free, call.tops, call.dtype)
    program = core_aten(program)
    constants = {name: call.scope.constant(tensor) for name, tensor in constants_of(program).items()}
    function = _Function(program, len(call.bottoms), [*call.weight_names], constants)
    name = call.scope.function(type(layer).__name__, function.lines())
    return Code(f"{name}({', '.join([*call.bottoms, *call.weights, *constants.values()])})")


class _Function:
    """The source of one program."""

    def __init__(
        self, program: ExportedProgram, bottoms: int, weight_names: list[str], constants: dict[str, str]
    ) -> None:
        self.graph = program.graph
        self.identifiers = Identifiers(_RESERVED)
        self.names: dict[Node, str] = {}
        given = [f"x{index or ''}" for index in range(bottoms)] + weight_names
        inputs = [node for node in self.graph.nodes if node.op == "placeholder"]
        tensors = [node for node in inputs if node.name not in constants]
        for node, name in zip(tensors, given):
            self.names[node] = self.identifiers.make(name, "tensor")
        held = {node.name: node for node in inputs}
        self.parameters = list(map(self.names.__getitem__, tensors))
        for name in constants:
            self.names[held[name]] = self.identifiers.make("constant")
            self.parameters.append(self.names[held[name]])

    def lines(self) -> list[str]:
        """Parameters and body; the caller writes the name."""
        self._drop_checks()
        device = f"{self.parameters[0]}.device" if self.parameters else "None"
        body: list[str] = []
        for node in self.graph.nodes:
            if node.op == "call_function":
                self._add(node, device, body)
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        tops = [self.names[top] for top in output.args[0]]
        kind = "Tensor" if len(tops) == 1 else f"tuple[{', '.join(['Tensor'] * len(tops))}]"
        head = ", ".join(f"{name}: Tensor" for name in self.parameters)
        return [f"({head}) -> {kind}:", *(f"    {line}" for line in body), f"    return {', '.join(tops)}"]

    def _add(self, node: Node, device: str, body: list[str]) -> None:
        target: Any = node.target
        if getattr(target, "namespace", "aten") not in ("aten", "prims"):
            unsupported(f"its forward pass calls `{target}`, which is not torch's own")
        source = expression(Call(node, self.names, device))
        if source in self.names.values():  # a copy
            self.names[node] = source
            return
        name = getattr(target, "__name__", str(target)).partition(".")[0].strip("_")
        self.names[node] = self.identifiers.make(name, "value")
        body.append(f"{self.names[node]} = {source}")

    def _drop_checks(self) -> None:
        for node in reversed(self.graph.nodes):
            name = getattr(node.target, "__name__", "").partition(".")[0]
            if name.startswith(CHECKS) or (node.op == "call_function" and not node.users):
                self.graph.erase_node(node)
