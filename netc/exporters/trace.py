"""The general path of every format: one layer's arithmetic as ATen operators.

A layer without a rule of its own is run once by torch.export, on tensors without data. Its bottoms and blobs are the
program's inputs, its tops the outputs; extents that are free in the graph are free in the program. What data decides
(a loop over values, another number of axes) cannot be traced and is E801.
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import is_concrete_int

from netc.diagnostics import NetcError
from netc.exporters.errors import check_traceable, unsupported
from netc.exporters.symbolic_shapes import FixedExtentError
from netc.foreign import words
from netc.ir.dtypes import DType, is_floating
from netc.ir.layer import Layer, Mode, Shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.export import ExportedProgram

Axes = tuple[tuple[int, ...], ...]


class _OneLayer(nn.Module):
    """A layer as a function of its bottoms and blobs, in test."""

    def __init__(self, layer: Layer, shapes: Shapes, tops: int) -> None:
        super().__init__()
        self.layer, self.bottoms, self.tops = layer, len(shapes), tops
        self.stock = [layer.module(shapes, tops)]  # in a list: its parameters are not this module's
        weights = layer.weights(shapes)
        self.names = [weight.name for weight in weights]
        self.statistics = [not weight.learnable for weight in weights]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The tops."""
        bottoms, blobs = tensors[: self.bottoms], tensors[self.bottoms :]
        # a layer may update its statistics in test: those of a copy, else they would be results of the program
        weights = [blob.clone() if updated else blob for blob, updated in zip(blobs, self.statistics)]
        found: Any
        if self.stock[0] is not None:
            found = torch.func.functional_call(self.stock[0], dict(zip(self.names, weights)), bottoms)
        else:
            found = self.layer.forward(bottoms, weights, Mode(training=False, tops=self.tops))
        return (found,) if isinstance(found, Tensor) else tuple(found[: self.tops])


@functools.lru_cache(maxsize=64)
def traced(
    layer: Layer, shapes: Shapes, dtypes: tuple[DType, ...], free: Axes, tops: int, dtype: str
) -> ExportedProgram:
    """The program of a layer in test.

    `shapes` are the bottoms' (3 or more on the axes that are `free`) and `dtypes` their types; real numbers have the
    type `dtype`, which the net computes in. Raises NetcError E801 for a layer that cannot be traced, FixedExtentError
    for one that fixes a free extent.
    """
    check_traceable(layer, len(shapes), tops)
    kind = getattr(torch, dtype)
    weights = layer.weights(shapes)
    types = [kind if is_floating(one) else getattr(torch, one) for one in dtypes]
    given = [torch.zeros(shape, dtype=one) for shape, one in zip(shapes, types)]
    given += [
        torch.zeros(weight.module_shape, dtype=kind if is_floating(weight.dtype) else getattr(torch, weight.dtype))
        for weight in weights
    ]
    axes = [*free, *((),) * len(weights)]
    program = _exported(_OneLayer(layer, shapes, tops).to(kind).eval(), given, axes)
    for node, wanted in zip(_inputs(program), axes):
        if any(is_concrete_int(node.meta["val"].shape[axis]) for axis in wanted):
            raise FixedExtentError
    return program


def _exported(module: nn.Module, given: Sequence[Tensor], axes: Sequence[tuple[int, ...]]) -> ExportedProgram:
    free = {"tensors": tuple(dict.fromkeys(one, torch.export.Dim.AUTO) for one in axes)}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's of itself
            return torch.export.export(module, tuple(given), dynamic_shapes=free)
    except NetcError:
        raise
    except Exception as error:  # torch raises many types for a layer that depends on data or on other libraries
        unsupported(f"its forward pass cannot be traced: {words(error)}")


def core_aten(program: ExportedProgram) -> ExportedProgram:
    """The program in the few hundred operators that torch calls its core."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decomposed: ExportedProgram = program.run_decompositions()
    return decomposed


def _inputs(program: ExportedProgram) -> list[torch.fx.Node]:
    names = set(program.graph_signature.user_inputs)
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def constants_of(program: ExportedProgram) -> dict[str, Tensor]:
    """The tensors that the layer made outside the trace, by the name of their placeholder."""
    held: dict[str, Any] = {**program.constants, **program.state_dict}
    signature = program.graph_signature
    names = {**signature.inputs_to_lifted_tensor_constants, **signature.inputs_to_buffers}
    names.update(signature.inputs_to_parameters)
    return {name: held[target] for name, target in names.items()}
