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
        self._tops = tuple(torch.empty(shape) for shape in shapes)
        self._filled = False

    def __call__(self) -> tuple[Tensor, ...]:
        """The tops of the next pass, on the CPU; the same tensors each time."""
        for top, filler in zip(self._tops, self._fillers):
            if not self._filled or filler.type != "constant":
                fill(top, filler, tuple(top.shape), self._generator)
        self._filled = True
        return self._tops
