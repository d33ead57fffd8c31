"""The feed of DummyData: tensors from fillers (`dummy_data_layer.cpp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from netc.runtime.fillers import fill
from netc.runtime.generator_state import decoded, encoded

if TYPE_CHECKING:
    from netc.ir.filler import Filler
    from netc.ir.graph import Node

CPU = torch.device("cpu")


class DummyFeed:
    """Filled tensors: constants are filled once, the others again for each pass, from `generator`."""

    def __init__(
        self,
        node: Node,
        device: torch.device = CPU,
        generator: Generator = torch.default_generator,
    ) -> None:
        layer: Any = node.layer
        self.device, self.generator = device, generator
        self._fillers: tuple[Filler, ...] = layer.fillers(len(node.tops))
        self.tops = tuple(torch.zeros(shape) for shape in layer.shapes(len(node.tops)))
        """The tops of the last pass, on the CPU; before the first, constants and zeros."""
        self._fill(constant=True)

    def next(self) -> tuple[Tensor, ...]:
        """See Feed. The tensors are clones: the next pass overwrites the feed's own."""
        self._fill(constant=False)
        return tuple(top.to(self.device) if self.device.type != "cpu" else top.clone() for top in self.tops)

    def next_random(self) -> tuple[Tensor | None, ...]:
        """Return the tops of the next pass, and None for constants: Caffe fills them only once."""
        return tuple(
            None if _is_constant(filler) else top for filler, top in zip(self._fillers, self.next(), strict=True)
        )

    def state(self) -> dict[str, Any]:
        """Return the generator's state."""
        return {"generator": encoded(self.generator.get_state())}

    def restore(self, state: dict[str, Any]) -> None:
        """See LayerFeed."""
        self.generator.set_state(decoded(state["generator"]))

    def seek(self, batches: int) -> None:
        """Do nothing: without the generator's state any random numbers are equivalent."""

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _fill(self, constant: bool) -> None:
        for top, filler in zip(self.tops, self._fillers):
            if _is_constant(filler) == constant:
                fill(top, filler, tuple(top.shape), self.generator)


def _is_constant(filler: Filler) -> bool:
    return filler.type == "constant"
