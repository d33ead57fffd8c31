"""The cost of a net: one row per layer, and totals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from netc.ir.cost import CostRow, rows
from netc.ir.dims import known, product
from netc.ir.dtypes import ITEM_BYTES
from netc.ir.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netc.ir.graph import Graph


@dataclass(frozen=True)
class NetCost:
    """A net's layers with shapes, parameters, multiply-adds, memory and receptive fields.

    Totals exclude layers whose cost is unknown because of unknown extents; peaks are None in that case.
    """

    graph: Graph

    @cached_property
    def live(self) -> Liveness:
        """The liveness of the values."""
        return Liveness(self.graph)

    @cached_property
    def rows(self) -> list[CostRow]:
        """One row per layer, in order: `name`, `type`, `bottoms` and `tops` (shapes), `parameters`, `macs`,
        `operations`, `activation_bytes`, `gradient_bytes`, `receptive_field`, and the graph's `node`.
        """
        return rows(self.graph, self.live)

    @property
    def parameters(self) -> int:
        """Number of elements of all parameters; shared ones count once."""
        return _sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Number of multiply-adds of one forward pass."""
        return _sum(row.macs for row in self.rows)

    @property
    def operations(self) -> int:
        """Number of other arithmetic operations of one forward pass."""
        return _sum(row.operations for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all inputs and tops; in-place tops are not counted again."""
        return _sum([self.live.bytes(self.graph.inputs), *(row.activation_bytes for row in self.rows)])

    @property
    def gradient_bytes(self) -> int:
        """Bytes of the gradients of those tops that get one."""
        return _sum(row.gradient_bytes for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameters."""
        entries = self.live.graph.parameters.values()
        return _sum(product(entry.shape) * (ITEM_BYTES[entry.dtype] or 0) for entry in entries)

    @property
    def inference_peak_bytes(self) -> int | None:
        """Peak memory of a forward pass in bytes: the parameters and the values that are still to be read.

        Temporary memory of algorithms, such as the workspace of a convolution, is not included.
        """
        peak = self.live.inference_peak
        return None if peak is None else peak + self.parameter_bytes

    @property
    def training_peak_bytes(self) -> int | None:
        """Peak memory of a forward and backward pass in bytes: the parameters and their gradients, and the values and
        gradients that are still to be read. A solver's history is not included: with momentum, once the parameters.
        """
        peak = self.live.training_peak
        return None if peak is None else peak + 2 * self.parameter_bytes

    @property
    def batch(self) -> int | None:
        """The first extent of the first input, None if unknown."""
        names = [*self.graph.inputs, *(top for node in self.graph.nodes if node.layer.is_data for top in node.tops)]
        shape = self.graph.shape(names[0]) if names else None
        return shape[0] if shape and known(shape[0]) else None


def _sum(numbers: Iterable[int | None]) -> int:
    return sum(number for number in numbers if number is not None and known(number))
