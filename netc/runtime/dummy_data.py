"""The tops of DummyData, for whoever feeds a net (`dummy_data_layer.cpp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from netc.ir.filler import Filler
from netc.ir.layer import Shapes
from netc.runtime.fillers import fill

if TYPE_CHECKING:
    from collections.abc import Sequence


class DummySource:
    """Filled tensors: constants are filled once, the others anew for each pass."""

    def __init__(self, shapes: Shapes, fillers: Sequence[Filler], generator: Generator | None = None) -> None:
        self._fillers, self._generator = fillers, generator
        self.tops = tuple(torch.zeros(shape) for shape in shapes)
        """The tops of the last pass; before the first, constants and zeros."""
        self._fill(constant=True)

    def __call__(self) -> tuple[Tensor, ...]:
        """The tops of the next pass, on the CPU; the same tensors each time."""
        self._fill(constant=False)
        return self.tops

    def _fill(self, constant: bool) -> None:
        for top, filler in zip(self.tops, self._fillers):
            if (filler.type == "constant") == constant:
                fill(top, filler, tuple(top.shape), self._generator)
