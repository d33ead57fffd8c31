"""What a net costs: rows of layers, and their totals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from netc.ir.cost import CostRow, rows
from netc.ir.dims import known, product
from netc.ir.dtypes import ITEM_BYTES
from netc.ir.graph import Graph
from netc.ir.liveness import Liveness


@dataclass(frozen=True)
class NetCost:
    """A net's layers with shapes, parameters, multiply-adds, memory and receptive fields.

    Totals leave out what unknown extents leave open; peaks are None then.
    """

    graph: Graph

    @cached_property
    def live(self) -> Liveness:
        """Which value is needed when."""
        return Liveness(self.graph)

    @cached_property
    def rows(self) -> list[CostRow]:
        """One row a layer, in order: `name`, `type`, `bottoms` and `tops` (shapes), `parameters`, `macs`,
        `operations`, `activation_bytes`, `gradient_bytes`, `receptive_field`, and the graph's `node`.
        """
        return rows(self.graph, self.live)

    @property
    def parameters(self) -> int:
        """Elements of all blobs, shared ones once."""
        return _sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass."""
        return _sum(row.macs for row in self.rows)

    @property
    def operations(self) -> int:
        """Other arithmetic of one forward pass."""
        return _sum(row.operations for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all tops as float32, inputs among them, in-place ones once."""
        return _sum([self.live.bytes(self.graph.inputs), *(row.activation_bytes for row in self.rows)])

    @property
    def gradient_bytes(self) -> int:
        """Bytes of the gradients of these tops, where they get one."""
        return _sum(row.gradient_bytes for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all blobs."""
        entries = self.live.graph.parameters.values()
        return _sum(product(entry.shape) * (ITEM_BYTES[entry.dtype] or 0) for entry in entries)

    @property
    def inference_peak_bytes(self) -> int | None:
        """Most bytes at one time of a forward pass: the blobs, and the values that are still to be read.

        What an algorithm needs for itself (a convolution's workspace) is not in it.
        """
        peak = self.live.inference_peak
        return None if peak is None else peak + self.parameter_bytes

    @property
    def training_peak_bytes(self) -> int | None:
        """Most bytes at one time of a forward and backward pass: the blobs and their gradients, and the values and
        gradients that are still to be read. A solver's history comes on top: once the blobs for momentum.
        """
        peak = self.live.training_peak
        return None if peak is None else peak + 2 * self.parameter_bytes

    @property
    def batch(self) -> int | None:
        """The first extent of the first input, None where it is not known."""
        names = [*self.graph.inputs, *(top for node in self.graph.nodes if node.layer.is_data for top in node.tops)]
        shape = self.graph.shape(names[0]) if names else None
        return shape[0] if shape and known(shape[0]) else None


def _sum(numbers: Iterable[int | None]) -> int:
    return sum(number for number in numbers if number is not None and known(number))
