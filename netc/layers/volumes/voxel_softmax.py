"""VoxelSoftmax and VoxelSoftmaxLoss of C3D: a softmax over the channels of each voxel, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees, TopRead
from netc.layers._labels import bounded
from netc.layers._registry import register
from netc.layers.cross_entropy import LARGEST
from netc.layers.volumes._windows import check_volume

if TYPE_CHECKING:
    from torch import Tensor


@register("VoxelSoftmax", dialect="c3d", v1="VOXEL_SOFTMAX")
@dataclass(frozen=True)
class VoxelSoftmax(Layer):
    """Exponentials of the channels of each voxel, divided by their sum.

    Shapes: (n, c, l, h, w), kept.

    >>> VoxelSoftmax().infer(((1, 8, 16, 4, 5),), 1)
    ((1, 8, 16, 4, 5),)

    Reference: `voxel_wise_softmax_layer.cpp` of C3D (facebookarchive/C3D).
    """

    role: ClassVar[Role] = "score"
    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without five axes."""
        check_volume(self.type, bottoms)
        return bottoms

    def reads_top(self, in_place: bool) -> TopRead:
        """The probabilities."""
        return "values"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, subtraction, exponential, addition and division per element."""
        return Cost(operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].softmax(1)


@register("VoxelSoftmaxLoss", dialect="c3d", v1="VOXEL_SOFTMAX_LOSS")
@dataclass(frozen=True)
class VoxelSoftmaxLoss(Layer):
    """Mean cross entropy of the softmax of each voxel and its label, over all voxels.

    A label that is not below the number of channels adds nothing to the loss; in C3D, and here, the gradient of its
    voxel is its probabilities.

    Shapes: (n, c, l, h, w) and labels (n, 1, l, h, w) to a scalar.

    >>> VoxelSoftmaxLoss().infer(((1, 8, 16, 4, 5), (1, 1, 16, 4, 5)), 1)
    ((),)

    Reference: `voxel_wise_softmax_loss_layer.cpp` of C3D (facebookarchive/C3D).
    """

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    sees: ClassVar[Sees] = "all"
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if scores and labels do not match."""
        check_volume(self.type, bottoms)
        scores, labels = bottoms
        if differ((scores[0], 1, *scores[2:]), labels):
            fail(f"labels of shape {text(labels)} do not fit scores of shape {text(scores)}", field="bottom")
        return ((),)

    def score_layer(self) -> Layer | None:
        """The softmax that the loss computes."""
        return VoxelSoftmax()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, subtraction, exponential and addition per score, and one operation per label."""
        return Cost(operations=4 * product(bottoms[0]) + product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The loss of a voxel is at most -log(FLT_MIN), its gradient is not bounded."""
        import torch

        scores, truth = bottoms
        labels = truth.detach().long()
        mode.check_range(labels, 0, 2**31 - 1, "label")
        inside = (labels >= 0) & (labels < scores.shape[1])
        total = scores.logsumexp(1, keepdim=True)
        chosen = scores.gather(1, torch.where(inside, labels, 0))
        each = bounded(total - torch.where(inside, chosen, 0.0), high=LARGEST)
        return torch.where(inside, each, total - total.detach()).mean()
