"""L1Loss of FlowNet2 and of DetectNet, and LpqLoss: differences that may be NaN, summed over an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import Sees
from netc.layers._axes import agreed
from netc.layers._labels import check_items
from netc.layers._registry import LayerUse, register
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor


class _FlowLoss(Layer):
    """Base of FlowNet2's losses: one bottom, or the difference of two, in which NaN elements count as 0."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"
    normalize_by_num_entries: bool

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms of different shapes, or without 4 axes."""
        agreed(planes(self.type, bottoms))
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Five operations per element."""
        return Cost(operations=5 * product(bottoms[0]))

    def differences(self, bottoms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The differences, 0 where they are NaN, and the divisor of the sum."""
        import torch

        difference = bottoms[0] - bottoms[1] if len(bottoms) > 1 else bottoms[0]
        valid = ~difference.detach().isnan()
        n, c = difference.shape[:2]
        divisor = valid.sum() / c if self.normalize_by_num_entries else torch.full((), n, device=valid.device)
        return torch.where(valid, difference, 0.0), divisor.to(difference.dtype)


def is_flownets(use: LayerUse) -> bool:
    """Whether the layer has `l1_loss_param`, or one bottom."""
    return "l1_loss_param" in use.parameters or use.bottoms == 1


@register("L1Loss", dialect="flownet2", field="l1_loss_param", when=is_flownets)
@dataclass(frozen=True)
class L1Loss(_FlowLoss):
    """Sum of the absolute differences of two bottoms, or of one bottom, divided by the number of images.

    With `l2_per_location` the sum of (sum over channels of d^2 + epsilon)^power, the length of the difference at each
    position. NaN elements count as 0. The gradient at 0 is that of the negative side, as in FlowNet2.

    Shapes: (n, c, h, w), once or twice, to a scalar.

    >>> L1Loss(l2_per_location=True).infer(((4, 2, 48, 64), (4, 2, 48, 64)), 1)
    ((),)

    Reference: `l1loss_layer.cu` of FlowNet2 (lmb-freiburg/flownet2); `power` is LiteFlowNet's.
    """

    l2_per_location: bool = False
    """Whether the lengths of the vectors of channels are summed instead of absolute values."""
    l2_prescale_by_channels: bool = False
    """Whether the sum over the channels is divided by their number; for `l2_per_location`."""
    normalize_by_num_entries: bool = False
    """Whether the divisor is the number of elements that are not NaN, divided by the number of channels."""
    epsilon: float = 0.01
    """Added to the sum over the channels; for `l2_per_location`."""
    plateau: float = 0.0
    """Smaller differences, or lengths, count as 0 and have no gradient."""
    power: float = 0.5
    """Exponent of the sum over the channels; for `l2_per_location`."""

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        difference, divisor = self.differences(bottoms)
        if not self.l2_per_location:
            kept = torch.where(difference.detach().abs() < self.plateau, 0.0, difference)
            return (kept * torch.where(kept.detach() > 0, 1.0, -1.0)).sum() / divisor
        squared = difference.square().sum(1)
        if self.l2_prescale_by_channels:
            squared = squared / difference.shape[1]
        if self.plateau > 0:
            squared = torch.where(squared.detach() < self.plateau**2, 0.0, squared)
        return (squared + self.epsilon).pow(self.power).sum() / divisor


@register("L1Loss", dialect="nvidia")
@dataclass(frozen=True)
class DetectNetL1Loss(Layer):
    """Sum of the absolute differences of two bottoms, divided by the number of images.

    Shapes: (n, ...) and the same number of elements per item to a scalar; both bottoms get a gradient.

    >>> DetectNetL1Loss().infer(((4, 4, 24, 78), (4, 4, 24, 78)), 1)
    ((),)

    Reference: `l1_loss_layer.cpp` of NVIDIA's Caffe.
    """

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def label_shape(self, scores: Shape) -> Shape | None:
        """One target per element."""
        return scores

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms differ in batch size or in elements per item."""
        check_items(bottoms)
        one, other = (product(shape[1:]) for shape in bottoms)
        if differ(one, other):
            what = f"{counted(one, 'element')} per item {text(bottoms[0])}, but {other} {text(bottoms[1])}"
            fail(what, field="bottom")
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One subtraction, absolute value and addition per element."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        one, other = bottoms
        return (one - other.reshape(one.shape)).abs().sum() / one.shape[0]


@register("LpqLoss", dialect="flownet2", field="lpq_loss_param")
@dataclass(frozen=True)
class LpqLoss(_FlowLoss):
    """Sum over positions of (sum over channels of (|d| + p_epsilon)^p + q_epsilon)^q, divided by the number of images.

    d is the difference of two bottoms, or one bottom; NaN elements count as 0. The exponents may change as training
    proceeds: `pq_episode_starts_at_iter` has the first pass of each pair.

    Shapes: (n, c, h, w), once or twice, to a scalar.

    >>> LpqLoss(p=(2.0,), q=(0.5,)).infer(((4, 2, 48, 64), (4, 2, 48, 64)), 1)
    ((),)

    Reference: `lpq_loss_layer.cpp`, `lpq_loss_layer.cu` of FlowNet2 (lmb-freiburg/flownet2).
    """

    l2_prescale_by_channels: bool = False
    """Whether the sum over the channels is divided by their number."""
    normalize_by_num_entries: bool = False
    """Whether the divisor is the number of elements that are not NaN, divided by the number of channels."""
    p_epsilon: float = 0.0
    """Added to each absolute difference."""
    q_epsilon: float = 0.01
    """Added to the sum over the channels."""
    p: tuple[float, ...] = ()
    """Exponent of the differences, one for each episode."""
    q: tuple[float, ...] = ()
    """Exponent of the sums, one for each episode."""
    pq_episode_starts_at_iter: tuple[int, ...] = ()
    """The first training pass of each episode, from 0 on; may be omitted for one episode."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 or E103 for a schedule that FlowNet2 rejects."""
        result = super().from_caffe(layer)
        starts = result.pq_episode_starts_at_iter or (0,) * (len(result.p) == 1)
        if not len(starts) == len(result.p) == len(result.q) > 0:
            sizes = f"{len(starts)}, {len(result.p)} and {len(result.q)}"
            fail(f"`pq_episode_starts_at_iter`, `p` and `q` have {sizes} values: expected as many of each", code="E101")
        if starts[0] != 0 or any(one >= other for one, other in pairwise(starts)):
            field = "pq_episode_starts_at_iter"
            fail(f"`{field}` must start at 0 and increase", code="E103", field=field)
        return result

    @property
    def carries_state(self) -> bool:  # type: ignore[override]
        """Where the exponents change."""
        return len(self.p) > 1

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of training passes, where the exponents change."""
        return (StateEntry("passes", (), by_mode=False),) if self.carries_state else ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The sign of a difference is that of its gradient; at 0 it is negative, as in FlowNet2."""
        import torch

        difference, divisor = self.differences(bottoms)
        p, q = self._exponents(difference, mode)
        size = difference * torch.where(difference.detach() > 0, 1.0, -1.0)
        total = (size + self.p_epsilon).pow(p).sum(1)
        if self.l2_prescale_by_channels:
            total = total / difference.shape[1]
        return (total + self.q_epsilon).pow(q).sum() / divisor

    def _exponents(self, like: Tensor, mode: Mode) -> tuple[Tensor | float, Tensor | float]:
        """Return p and q of this pass; a training pass is counted."""
        if not self.carries_state:
            return self.p[0], self.q[0]
        kept = mode.kept("passes", by_mode=False)
        passes = like.new_zeros(()) if kept is None else kept
        episode = (like.new_tensor(self.pq_episode_starts_at_iter[1:]) <= passes).sum()
        if mode.training:
            mode.keep("passes", passes + 1, by_mode=False)
        return like.new_tensor(self.p)[episode], like.new_tensor(self.q)[episode]
