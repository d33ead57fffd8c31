"""ChannelScale: multiplies the channels of each position by a number, undoing happynear's Normalize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.parameters import ParamSpec
from netc.ir.traits import Elements, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 0.99
"""Share of the old average in the new one."""


@register("ChannelScale", dialect="happynear", field="channel_scale_param")
@dataclass(frozen=True)
class ChannelScale(Layer):
    """Multiplies the channels of each position by the position's number in the second bottom.

    With `global_scale` all are multiplied by the moving average of these numbers' absolute values, an optional second
    top: average = 0.99 average + 0.01 mean, within the bounds, in each training pass, and at first the mean. The
    gradient remains that of the position's own number.

    Shapes: (n, c, h, w) and n h w numbers, such as (n, 1, h, w), to (n, c, h, w) and (1).

    >>> ChannelScale(global_scale=True).infer(((4, 8, 2, 2), (4, 1, 2, 2)), 2)
    ((4, 8, 2, 2), (1,))

    Reference: `channel_scale_layer.cu` of happynear's Caffe, whose CPU code does not update the average.
    """

    do_forward: bool = True
    """Whether to multiply; if false, the top is the bottom."""
    do_backward_feature: bool = True
    """Whether the first bottom's gradient is multiplied; if false, it is the top's."""
    do_backward_scale: bool = True
    """Whether the second bottom has a gradient."""
    global_scale: bool = False
    """Whether to multiply by the moving average."""
    max_global_scale: float = 1000.0
    """Upper bound of the average."""
    min_global_scale: float = 0.0
    """Lower bound of the average."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for crossed bounds."""
        result = super().from_caffe(layer)
        if not result.min_global_scale <= result.max_global_scale:
            fail(
                f"`min_global_scale` {result.min_global_scale:g} is above `max_global_scale` "
                f"{result.max_global_scale:g}",
                code="E103",
                field="min_global_scale",
            )
        return result

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """The numbers, without `do_backward_scale`."""
        return () if self.do_backward_scale else (1,)

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Where the top is the bottom."""
        return not self.do_forward

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """Moved where the top is the bottom."""
        return "computed" if self.do_forward else "moved"

    def param_specs(self, specs: tuple[ParamSpec, ...]) -> tuple[ParamSpec, ...]:
        """The average has no learning rate, whatever the file says."""
        return (ParamSpec(lr_mult=0.0, decay_mult=0.0),) if self.global_scale else specs

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 for a second top without `global_scale`, E102 unless there is a number a position."""
        x, numbers = bottoms
        if tops > 1 and not self.global_scale:
            fail("the second top is the average of `global_scale`, which is not set", code="E101", field="top")
        if len(x) < 2:
            fail(f"expected a bottom with at least 2 axes, got {text(x)}", field="bottom")
        if differ(product(numbers), product((x[0], *x[2:]))):
            fail(f"{text(numbers)} does not have one number for each position of {text(x)}", field="bottom")
        return (x, (1,))

    def weights(self, bottoms: Shapes) -> Weights:
        """`average` with `global_scale`, which gets no gradient; -1 before the first training pass."""
        if not self.global_scale:
            return ()
        return (Weight("average", (1,), Filler(value=-1.0)),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication per element."""
        return Cost(operations=product(bottoms[0]) * self.do_forward)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradients are those of the fork: of the position's own number, whatever the value."""
        x = bottoms[0]
        numbers = bottoms[1].reshape(x.shape[0], 1, *x.shape[2:])
        if self.global_scale and self.do_forward:
            self._average(bottoms[1].detach(), weights[0].detach(), mode)
        plain = self.do_forward and not self.global_scale
        if plain and self.do_backward_feature and self.do_backward_scale:
            return (x * numbers,)
        factor = weights[0].detach() if self.global_scale else numbers.detach()
        value = x.detach() * factor if self.do_forward else x.detach()
        through = x * numbers.detach() if self.do_backward_feature else x
        if self.do_backward_scale:
            through = through + x.detach() * numbers
        top = value + (through - through.detach())
        return (top, weights[0].detach().clone()) if mode.tops > 1 else (top,)

    def _average(self, numbers: Tensor, average: Tensor, mode: Mode) -> None:
        """Update the average in training."""
        import torch

        if not mode.training or mode.cpu_code:
            return
        total = torch.stack((numbers.abs().sum(), numbers.new_full((), numbers.numel())))
        if mode.all_sum is not None:
            total = mode.all_sum(total)
        mean = total[0] / total[1]
        with torch.no_grad():
            updated = torch.where(average < 0, mean, KEPT * average + (1 - KEPT) * mean)
            average.copy_(updated.clamp(self.min_global_scale, self.max_global_scale))
