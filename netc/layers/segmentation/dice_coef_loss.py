"""DiceCoefLoss: how little predicted and true regions overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.ir.dims import differ, known, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import Sees
from netc.layers._labels import check_items, indices
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

POWERS = {"EQUALIZE_CLASSES": -1, "INVERSE_VOLUME": -2, "EXTRA_SMALL_VOLUMES": -3}
IGNORED = 1e6
"""The pixels that an ignored class has, per pixel of the image."""
MOST_EXTENT = 1 << 10
"""Limit of `contour_size`."""


@register("DiceCoefLoss", dialect="jolibrain", field="dice_coef_loss_param")
@dataclass(frozen=True)
class DiceCoefLoss(Layer):
    """1 - the mean of (e + 2 sum of w x t) / (e + sum of w x^2 + sum of w t^2) over the n items.

    x are the predictions and t is 1 for the class of each label and 0 for others. e is 1 / n and w is 1, unless
    `generalization` weighs classes: then e is 0 and w = (1 + the number of the class's labels in the item)^p, or the
    mean of these numbers over the batch, or over all batches so far. Labels with as many channels as the predictions
    are 1 where a class is (0.5 or more), those with one channel are classes. With `contour_shape`, w is also multiplied
    by a number that is greater at the contours of classes, with mean 1; without weights of classes, x^2 is not.

    The gradient is n times the derivative; a class that `MULTICLASS` leaves out has one too.

    Shapes: (n, c, ...) and (n, c, ...) or (n, 1, ...) to a scalar.

    >>> DiceCoefLoss().infer(((4, 3, 8, 8), (4, 1, 8, 8)), 1)
    ((),)

    Reference: `dice_coef_loss_layer.cpp` of jolibrain's Caffe; Milletari et al., V-Net, 2016; Sudre et al., Generalised
    Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced Segmentations, 2017.
    """

    generalization: Literal[
        "NONE", "MULTICLASS", "MULTICLASS_WEIGHTED", "MULTICLASS_WEIGHTED_BATCH", "MULTICLASS_WEIGHTED_ALL"
    ] = "NONE"
    """Whether classes are weighted, by item, batch, or all batches; `MULTICLASS` can leave a class out."""
    ignore_label: int | None = None
    """A class that is left out, or has a small weight; no effect for `NONE`."""
    weight_mode: Literal["EQUALIZE_CLASSES", "INVERSE_VOLUME", "EXTRA_SMALL_VOLUMES"] = "INVERSE_VOLUME"
    """The exponent p of weights of classes: -1, -2 or -3."""
    contour_shape: Literal["NO", "SIMPLE", "SHARP"] = "NO"
    """Whether and how contours are found."""
    contour_size: int = 3
    """Extent of the kernel that finds contours; made odd, and at least 3."""
    contour_amplitude: float = 5.0
    """The weight of a contour, before weights are divided by their mean."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E104 for a large `contour_size`."""
        result = super().from_caffe(layer)
        if result.contour_size > MOST_EXTENT:
            fail(f"`contour_size` must be at most {MOST_EXTENT}", code="E104", field="contour_size")
        return result

    @property
    def is_weighted(self) -> bool:
        """Whether classes have weights."""
        return "WEIGHTED" in self.generalization

    @property
    def carries_state(self) -> bool:  # type: ignore[override]
        """Where the weights are those of all batches."""
        return self.generalization.endswith("ALL")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match, E103 if the ignored class is none."""
        check_items(bottoms)
        x, labels = bottoms
        if len(x) < 2 or len(labels) < 2 or (self.contour_shape != "NO" and len(x) != 4):
            fail(f"expected bottoms (n, c, h, w), got {text(x)} and {text(labels)}", field="bottom")
        if differ(product(labels[2:]), product(x[2:])) or (differ(labels[1], x[1]) and differ(labels[1], 1)):
            fail(f"labels {text(labels)} for predictions {text(x)}", field="bottom")
        if self.ignore_label is not None and known(x[1]) and not 0 <= self.ignore_label < x[1]:
            fail(
                f"`ignore_label` is {self.ignore_label}, for classes 0 to {x[1] - 1}", code="E103", field="ignore_label"
            )
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three products and sums per element."""
        return Cost(operations=6 * product(bottoms[0]))

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The mean numbers of labels, and of how many batches, where they are used."""
        if not self.carries_state:
            return ()
        return (StateEntry("volumes", (bottoms[0][1],)), StateEntry("batches", ()))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.own_gradient import with_gradient

        x, t = bottoms[0].detach(), self._targets(bottoms, mode)
        axes = tuple(range(1, x.dim()))
        start = 0.0 if self.is_weighted else 1 / len(x)
        w = self._weights(t, mode)
        counted = self._counted(x)
        squares = (x.square() * w if self.is_weighted else x.square()) + t * w
        below = (squares * counted).sum(axes, keepdim=True) + start
        result = (2 * (x * t * w * counted).sum(axes, keepdim=True) + start) / below
        return with_gradient(bottoms[0], 1 - result.mean(), 2 * (result * x - t) / below * w)

    def _targets(self, bottoms: Sequence[Tensor], mode: Mode) -> Tensor:
        """1 for the class of each label, in the predictions' shape."""
        import torch

        x, labels = bottoms[0], bottoms[1].detach()
        if labels.shape[1] == x.shape[1]:
            return (labels >= 0.5).to(x.dtype).reshape(x.shape)
        chosen = indices((labels + 0.5).floor(), x.shape[1], mode).reshape(len(x), 1, *x.shape[2:])
        return torch.zeros_like(x, requires_grad=False).scatter(1, chosen, 1.0)

    def _counted(self, x: Tensor) -> Tensor:
        """0 for the class that is left out."""
        import torch

        channel = torch.arange(x.shape[1], device=x.device).reshape(1, -1, *(1,) * (x.dim() - 2))
        left_out = self.ignore_label if self.generalization == "MULTICLASS" and x.shape[1] > 1 else None
        return channel != (-1 if left_out is None else left_out)

    def _weights(self, t: Tensor, mode: Mode) -> Tensor:
        """The weight of each element, or numbers that broadcast to it."""
        w = t.new_ones(())
        if self.is_weighted:
            w = self._volumes(t, mode).pow(POWERS[self.weight_mode])
            w = w.reshape(*w.shape, *(1,) * (t.dim() - 2))
        return w if self.contour_shape == "NO" else w * self._contours(t)

    def _volumes(self, t: Tensor, mode: Mode) -> Tensor:
        """1 + the labels of each item and class, or means of it."""
        import torch

        volumes = t.flatten(2).sum(2) + 1
        if self.ignore_label is not None:
            channel = torch.arange(t.shape[1], device=t.device)
            volumes = volumes + (channel == self.ignore_label) * (IGNORED * t[0, 0].numel() - 1)
        if self.generalization == "MULTICLASS_WEIGHTED":
            return volumes
        mean = volumes.mean(0, keepdim=True)
        if not self.carries_state:
            return mean
        before, batches = mode.kept("volumes"), mode.kept("batches")
        if before is not None and batches is not None:
            mean = (batches * before + mean) / (batches + 1)
        if not torch.compiler.is_exporting():
            mode.keep("volumes", mean.squeeze(0))
            mode.keep("batches", mean.new_ones(()) if batches is None else batches + 1)
        return mean

    def _contours(self, t: Tensor) -> Tensor:
        """The weights of contours: of the first class's complement and the other classes, zeros outside the image."""
        import torch
        import torch.nn.functional as F

        n, c, h, w = t.shape
        kernel = self._kernel(t)
        seen = torch.cat((1 - t[:, :1], t[:, 1:]), 1).reshape(n * c, 1, h, w)
        found = F.conv2d(seen, kernel[None, None], padding=len(kernel) // 2).abs().reshape(n, c, h, w)
        found = found * (self.contour_amplitude - 1) + 1
        return found / found.mean((2, 3), keepdim=True)

    def _kernel(self, t: Tensor) -> Tensor:
        """The kernel, whose sum is 0 for `SIMPLE`; `SHARP` has its positive element beside the center, as the fork."""
        import torch

        size = max(self.contour_size, 3) | 1
        if self.contour_shape == "SIMPLE":
            kernel = t.new_full((size, size), -1 / (size**2 - 1))
            kernel[size // 2, size // 2] = 1.0
            return kernel
        rows = (torch.arange(size, device=t.device) - size // 2).abs().to(t.dtype)
        distance = rows[:, None] + 4 * rows
        kernel = torch.where(distance > 0, -1 / distance.clamp(min=1), 0.0)
        total = kernel.sum()
        kernel[size // 2 + 1, size // 2 + 1] = -total
        return kernel
