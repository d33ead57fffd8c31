"""PowerFile: adds a vector from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product, text
from netc.ir.layer import Constant, Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("PowerFile", dialect="stn", field="power_file_param")
@dataclass(frozen=True)
class PowerFile(Layer):
    """Adds to each item the numbers in a text file: the first as many as it has elements; 0 where the file has ended.

    Shapes: (n, ...), kept.

    >>> PowerFile("crop_init.txt").infer(((4, 6),), 1)
    ((4, 6),)

    Reference: `power_file_layer.cu` of K. Mo's SpatialTransformerLayer. Where it takes a file that it cannot read for
    zeros, here that is an error.
    """

    shift_file: str = ""
    """The path of the file; empty to add nothing."""

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Where nothing is added."""
        return not self.shift_file

    @property
    def is_identity_in_test(self) -> bool:  # type: ignore[override]
        """Where nothing is added."""
        return not self.shift_file

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """Copied, or with a constant added."""
        return "computed" if self.shift_file else "moved"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without axes."""
        if not bottoms[0]:
            fail(f"expected items (n, ...), got {text(bottoms[0])}", field="bottom")
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition per element."""
        return Cost(operations=product(tops[0]))

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The numbers."""
        return (Constant("shift", self.shift_file, is_text=True),) if self.shift_file else ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A copy, if there is no file."""
        import torch.nn.functional as F

        x = bottoms[0]
        if not self.shift_file:
            return x.clone()
        rows, shift = x.flatten(1), mode.constants["shift"].to(x.dtype)
        shift = F.pad(shift[: rows.shape[1]], (0, max(rows.shape[1] - len(shift), 0)))
        return (rows + shift).reshape(x.shape)
