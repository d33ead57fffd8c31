"""A net as a program of torch.export (`--to pt2`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from netc.conversion.models import net_of
from netc.diagnostics import NetcError
from netc.exporters.errors import cannot_export, check_function, known_shape
from netc.exporters.python.names import Identifiers
from netc.exporters.symbolic_shapes import FixedExtentError, SymbolicShapes, with_free_extents
from netc.exporters.trace import traced
from netc.foreign import words
from netc.ir.dtypes import is_floating
from netc.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from collections.abc import Collection

    from netc.ir.graph import Graph, Node
    from netc.runtime.lower import Net

FORMAT = "a .pt2 file"
MAX_STEPS = 256
"""Limit of the steps of a recurrent layer: each is traced separately, which takes a tenth of a second."""


class _Positional(nn.Module):
    """The net with positional inputs: torch.export keeps argument names, and blob names may not be identifiers."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Output blobs by name."""
        found: dict[str, Tensor] = self.net(*inputs)
        return found


def exported_program(
    model: Graph, dtype: str = "float32", dynamic: Collection[str] = ("n",)
) -> torch.export.ExportedProgram:
    """The program of a graph with arrays, which computes in `dtype`.

    The axes `dynamic` (see `symbolic_shapes.AXES`) are free where the net allows it.

    Raises NetcError E801 for a layer that torch.export cannot trace, at its line, and E802 for inputs of unknown size.
    """
    for node in model.nodes:
        try:
            check_function(node.layer, len(node.tops))
        except NetcError as error:
            raise cannot_export(node, FORMAT, error.diagnostics[0].message) from None
        _check_steps(model, node)
    net = _Positional(net_of(_plain_keys(model))).to(getattr(torch, dtype)).eval()
    return with_free_extents(model, lambda symbolic: _exported(net, model, symbolic, dtype), dynamic)


def _check_steps(model: Graph, node: Node) -> None:
    """Raise NetcError E801 for a loop that is too long to be unrolled."""
    shape = model.shape(node.bottoms[0]) if isinstance(node.layer, Recurrent) else None
    if shape and shape[0] > MAX_STEPS:
        reason = f"each of its {shape[0]} steps is traced separately, which takes too long for more than {MAX_STEPS}"
        raise cannot_export(node, FORMAT, reason, help="export the net with fewer steps, or use `--to onnx`")


def _exported(net: nn.Module, model: Graph, symbolic: SymbolicShapes, dtype: str) -> torch.export.ExportedProgram:
    examples = tuple(_example(model, symbolic, name, dtype) for name in model.inputs)
    sizes = {symbol: torch.export.Dim(symbol, min=1) for symbol in map(_identifier, symbolic.symbols)}
    axes = tuple(_free(symbolic, name, sizes) for name in model.inputs)
    try:
        with torch.no_grad():
            return torch.export.export(net, examples, dynamic_shapes={"inputs": axes} if axes else None)
    except Exception as error:  # torch's own, and those of a layer whose arithmetic depends on its data
        if symbolic.symbols:
            raise FixedExtentError from None
        raise _fault(model, symbolic, dtype, error) from None


def _example(model: Graph, symbolic: SymbolicShapes, name: str, dtype: str) -> Tensor:
    kind = model.values[name].dtype
    return torch.zeros(known_shape(symbolic.sample, name), dtype=getattr(torch, dtype if is_floating(kind) else kind))


def _free(symbolic: SymbolicShapes, name: str, sizes: dict[str, torch.export.Dim]) -> dict[int, torch.export.Dim]:
    """The free axes of an input, as torch.export expects them."""
    extents = symbolic.extents[name] or ()
    return {axis: sizes[_identifier(extent)] for axis, extent in enumerate(extents) if isinstance(extent, str)}


def _identifier(symbol: str) -> str:
    """The name of a symbol for torch, which accepts identifiers only: `batch`, or the hexadecimal digits of a name."""
    return symbol if symbol.isascii() and symbol.isidentifier() else f"size_{symbol.encode().hex()}"


def _fault(model: Graph, symbolic: SymbolicShapes, dtype: str, error: Exception) -> NetcError:
    """The error for the first layer that cannot be traced by itself, else for the whole net."""
    for node in model.nodes:
        found = _layer_fault(model, node, symbolic, dtype)
        if found is not None:
            return found
    message = f"the net cannot be exported to {FORMAT}"
    return NetcError(message, code="E801", notes=[words(error)])


def _layer_fault(model: Graph, node: Node, symbolic: SymbolicShapes, dtype: str) -> NetcError | None:
    types = tuple(model.values[name].dtype for name in node.bottoms)
    fixed = ((),) * len(node.bottoms)
    try:
        traced(node.layer, symbolic.sample_shapes(node.bottoms), types, fixed, len(node.tops), dtype)
    except NetcError as error:
        return cannot_export(node, FORMAT, error.diagnostics[0].message)
    return None


def _plain_keys(model: Graph) -> Graph:
    """The model with module names of letters, digits and underscores: torch cannot read others back from a .pt2."""
    names = Identifiers(dir(nn.Module()))
    keys = {node.key: names.make(node.name) for node in model.nodes}
    nodes = tuple(replace(node, key=keys[node.key]) for node in model.nodes)
    return model.replace(nodes=nodes)
