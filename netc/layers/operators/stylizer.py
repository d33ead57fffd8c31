"""Images of cameras before and after style transfer: the two stylizer operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, StateEntry, fail
from netc.layers._operator_layer import FLOAT, OperatorLayer, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_BYTES: frozenset[DType] = frozenset(("uint8",))
COLORS = 3
"""Blue, green and red."""


@operator("PackedInt8BGRANHWCToNCHWCStylizerPreprocess")
@dataclass(frozen=True)
class StylizerPreprocess(OperatorLayer):
    """Images minus the mean of each color, plus noise.

    The noise is the blob `__CAFFE2_STYLIZER_NOISE__` if it is in the net, otherwise drawn once, normally distributed.
    Its first `noise_size` numbers are repeated, over the colors of one pixel after the other.

    Shapes: uint8 (n, h, w, 4), of blue, green, red and alpha, and the mean (3) to (n, 3, h, w).

    Reference: `stylizer_ops.cc`.
    """

    noise_size: int = 491
    """The number of different values of the noise."""
    noise_std: float = 10.0
    """The standard deviation of noise that is drawn."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (_BYTES, FLOAT)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)
    hidden_inputs: ClassVar[tuple[str, ...]] = ("__CAFFE2_STYLIZER_NOISE__",)
    carries_state: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of other shapes, and too little noise."""
        x, mean = bottoms[:2]
        check_axes(self.type, x, 4)
        _check_colors(x, x[3], COLORS + 1, mean)
        if len(bottoms) > 2 and product(bottoms[2]) < self.noise_size:
            fail(f"the noise has {product(bottoms[2])} numbers, expected {self.noise_size}")
        return ((x[0], COLORS, x[1], x[2]),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return ("float32",)

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The noise, if it is drawn."""
        return () if len(bottoms) > 2 else (StateEntry("noise", (self.noise_size,), by_mode=False),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x, mean = bottoms[0], bottoms[1].detach()
        _, height, width, _ = x.shape
        if len(bottoms) > 2:
            noise = bottoms[2].detach().flatten()[: self.noise_size]
        else:
            kept = mode.kept("noise", by_mode=False)
            noise = torch.randn(self.noise_size, device=x.device) * self.noise_std if kept is None else kept
            mode.keep("noise", noise, by_mode=False)
        place = torch.arange(height * width * COLORS, device=x.device) % self.noise_size
        shifted = x[..., :COLORS].to(mean.dtype) - mean.flatten() + noise[place].view(height, width, COLORS)
        return shifted.permute(0, 3, 1, 2).contiguous()


@operator("BRGNCHWCToPackedInt8BGRAStylizerDeprocess")
@dataclass(frozen=True)
class StylizerDeprocess(OperatorLayer):
    """Images plus the mean of each color, from 0 to 255, rounded down, with an alpha of 255.

    Shapes: (n, 3, h, w) and the mean (3) to uint8 (n, h, w, 4).

    Reference: `stylizer_ops.cc`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of other shapes."""
        x, mean = bottoms
        check_axes(self.type, x, 4)
        _check_colors(x, x[1], COLORS, mean)
        return ((x[0], x[2], x[3], COLORS + 1),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """uint8."""
        self.check_dtypes(bottoms)
        return ("uint8",)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition per element."""
        return Cost(operations=product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x, mean = (bottom.detach() for bottom in bottoms)
        colors = x.permute(0, 2, 3, 1) + mean.flatten()
        return F.pad(colors.clamp(0, 255), (0, 1), value=255.0).byte()


def _check_colors(shape: tuple[int, ...], channels: int, expected: int, mean: tuple[int, ...]) -> None:
    """Raise NetcError E102 for another number of channels, or of means."""
    if differ(channels, expected):
        fail(f"expected {expected} channels, got {text(shape)}", field="input")
    if differ(product(mean), COLORS):
        fail(f"expected the mean of {COLORS} colors, got {text(mean)}", field="input")
