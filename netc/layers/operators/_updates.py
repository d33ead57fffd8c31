"""What Caffe2's optimizer operators share: inputs of one size, and rows that sparse updates select."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.diagnostics import NetcError
from netc.ir.dims import differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import DTypes, Mode, Shapes, fail
from netc.layers._operator_layer import FLOAT, INTEGERS, OperatorLayer

if TYPE_CHECKING:
    from torch import Tensor

    from netc.ir.operator import Operator

REAL: DType = "float32"
"""The type of parameters, gradients and the state of optimizers."""
ITERATION: frozenset[DType] = frozenset(("int64",))
"""The type of an iteration counter."""


@dataclass(frozen=True)
class Update(OperatorLayer):
    """An update of a parameter and of the state of its optimizer. The new values are outputs, in place of the old ones.

    Caffe2 compares numbers of elements, not shapes; `update` therefore computes with flattened inputs.
    """

    alike: ClassVar[tuple[int, ...]] = ()
    """The inputs that must have the same number of elements."""
    single: ClassVar[tuple[int, ...]] = ()
    """The inputs with exactly one element: the learning rate."""
    shaped: ClassVar[tuple[int, ...]] = ()
    """For each output, the input whose shape it has."""

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of different sizes, and for a learning rate that is not one number."""
        first = self.alike[0] if self.alike else 0
        for index in self.alike:
            check_size(self.type, bottoms, index, product(bottoms[first]), f"as many as input {first}, ")
        check_single(self.type, bottoms, self.single)
        return tuple(bottoms[index] for index in self.shaped)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return (REAL,) * tops

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The outputs of `update`, each in the shape of its input."""
        outputs = self.update(*(without_gradient(bottom).flatten() for bottom in bottoms))
        return tuple(output.reshape(bottoms[index].shape) for output, index in zip(outputs, self.shaped))

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The new values, from flattened inputs."""
        raise NotImplementedError


@dataclass(frozen=True)
class SparseUpdate(OperatorLayer):
    """An update of those rows of a parameter that `indices` lists, by one row of the gradient each.

    Indices are processed in order: a row that is listed twice is updated twice.
    """

    parameter: ClassVar[int] = 0
    indices_at: ClassVar[int] = 2
    gradient: ClassVar[int] = 3
    single: ClassVar[tuple[int, ...]] = (4,)
    states: ClassVar[tuple[int, ...]] = (1,)
    """The inputs with the state of the optimizer: `width` elements for each of the parameter."""
    width: ClassVar[int] = 1
    row_states: ClassVar[tuple[int, ...]] = ()
    """The inputs with one element of state for each row of the parameter."""
    shaped: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for extents that do not fit."""
        shape, indices, gradient = (bottoms[i] for i in (self.parameter, self.indices_at, self.gradient))
        if not shape:
            fail(f"input {self.parameter} of `{self.type}` is a scalar, expected rows", field="input")
        for index in self.states:
            size = product(shape) * self.width
            check_size(self.type, bottoms, index, size, f"{self.width} for each element of input {self.parameter}, ")
        for index in self.row_states:
            check_size(self.type, bottoms, index, shape[0], f"one per row of input {self.parameter}, ")
        if len(gradient) < len(indices) or differ(product(gradient[len(indices) :]), product(shape[1:])):
            fail(
                f"input {self.gradient} of `{self.type}` has shape {text(gradient)}, expected a row of "
                f"{text(shape[1:])} for each of the indices {text(indices)}",
                field="input",
            )
        if differ(product(gradient[: len(indices)]), product(indices)):
            fail(
                f"input {self.gradient} of `{self.type}` has shape {text(gradient)}, "
                f"but input {self.indices_at} has {product(indices)} indices",
                field="input",
            )
        check_single(self.type, bottoms, self.single)
        return tuple(bottoms[index] for index in self.shaped)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return (REAL,) * tops

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E301 for an index that is not a row of the parameter."""
        rows, extents = len(bottoms[self.parameter]), bottoms[self.parameter].shape[1:]
        indices = bottoms[self.indices_at].flatten().long()
        mode.check_range(indices, 0, rows, "index")
        values = [without_gradient(bottom) for bottom in bottoms]
        for index in (self.parameter, *self.states):
            width = 1 if index == self.parameter else self.width
            values[index] = values[index].reshape(rows, extents.numel() * width).clone()
        for index in self.row_states:
            values[index] = values[index].reshape(rows, 1).clone()
        values[self.gradient] = values[self.gradient].reshape(indices.numel(), extents.numel()).clone()
        for positions in rounds(indices):
            self.update(values, indices[positions], positions)
        return tuple(values[index].reshape(bottoms[index].shape) for index in self.shaped)

    def update(self, values: list[Tensor], rows: Tensor, positions: Tensor) -> None:
        """Update `rows`, all different, by the gradient's rows at `positions`.

        `values` are the inputs; parameter, gradient and states are matrices, which this changes.
        """
        raise NotImplementedError


def without_gradient(tensor: Tensor) -> Tensor:
    """The tensor, through which no gradient passes: Caffe2 has none for optimizers."""
    return tensor.detach() if tensor.requires_grad else tensor


def rounds(indices: Tensor) -> list[Tensor]:
    """The positions of all indices in groups: the first occurrences, the second ones, and so on.

    Indices in a group differ, so a group is updated at once.
    """
    import torch

    if not indices.numel():
        return []
    order = torch.argsort(indices, stable=True)
    ordered = indices[order]
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    places = torch.arange(len(order), device=order.device)
    occurrence = torch.empty_like(order)
    occurrence[order] = places - torch.where(starts, places, 0).cummax(0).values
    return [(occurrence == number).nonzero().flatten() for number in range(int(occurrence.max()) + 1)]


def check_size(type: str, bottoms: Shapes, index: int, size: int, why: str = "") -> None:
    """Raise NetcError E102 if an input is known to have another number of elements."""
    if differ(product(bottoms[index]), size):
        fail(
            f"input {index} of `{type}` has shape {text(bottoms[index])}, {product(bottoms[index])} elements, "
            f"expected {why}{size}",
            field="input",
        )


def check_single(type: str, bottoms: Shapes, indices: Sequence[int]) -> None:
    """Raise NetcError E102 for an input that is not one number; those that the operator does not have are skipped."""
    for index in indices:
        if index < len(bottoms) and differ(product(bottoms[index]), 1):
            fail(f"input {index} of `{type}` has shape {text(bottoms[index])}, expected one element", field="input")


def require_in_place(operator: Operator, *pairs: tuple[int, int]) -> None:
    """Raise NetcError E023 unless each output is the blob of its input (`EnforceInplace` of Caffe2's schema)."""
    for source, target in pairs:
        if source >= len(operator.inputs) or target >= len(operator.outputs):
            continue  # the number of blobs is reported elsewhere
        if operator.inputs[source] != operator.outputs[target]:
            raise NetcError(
                f"output {target} of `{operator.type}` must be the blob of input {source}, "
                f"`{operator.inputs[source]}`, got `{operator.outputs[target]}`",
                code="E023",
                field="output",
            )


SPARSE_ACCEPTS: tuple[frozenset[DType], ...] = (FLOAT, FLOAT, INTEGERS, FLOAT, FLOAT)
"""The types of parameter, state, indices, gradient and learning rate."""
