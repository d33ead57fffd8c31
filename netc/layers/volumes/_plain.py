"""Layers of forks that compute as one of BVLC's does, with other parameters in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netc.ir.coordinate_map import CoordinateMap
from netc.ir.dims import Shape
from netc.ir.layer import Cost, Layer, Mode, Shapes, Weights
from netc.ir.receptive_field import ReceptiveFields

if TYPE_CHECKING:
    from torch import Tensor, nn


class AsPlain(Layer):
    """Base of such layers: everything but the parameters is that of `plain`."""

    @property
    def plain(self) -> Layer:
        """BVLC's layer with the same arithmetic."""
        raise NotImplementedError

    @property
    def spatial_axes(self) -> int:
        """The number of spatial axes that the windows have; 0 for any."""
        raise NotImplementedError

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """As BVLC's layer."""
        return self.plain.infer(bottoms, tops)

    def weights(self, bottoms: Shapes) -> Weights:
        """As BVLC's layer."""
        return self.plain.weights(bottoms)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """As BVLC's layer."""
        return self.plain.cost(bottoms, tops)

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """As BVLC's layer; None for another number of axes."""
        return self.plain.coordinate_map(axes) if self.spatial_axes in (0, axes) else None

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """As BVLC's layer; None for another number of axes."""
        return self.plain.receptive_field(fields, bottoms, top) if self.spatial_axes in (0, len(fields[0])) else None

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """As BVLC's layer."""
        return self.plain.module(bottoms, tops)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """As BVLC's layer."""
        return self.plain.forward(bottoms, weights, mode)
