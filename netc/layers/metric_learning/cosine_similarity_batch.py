"""CosineSimilarityBatch: the cosines of all pairs of a batch, and whether their labels agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._labels import check_items, check_one_label_an_item
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("CosineSimilarityBatch", dialect="openvino", field="cosine_similarity_batch_param")
@dataclass(frozen=True)
class CosineSimilarityBatch(Layer):
    """The cosine of each pair of vectors (i, j), i < j, a number for whether their labels agree, and whether it counts.

    The pairs are in the order (0, 1), (0, 2), ..., (1, 2), ... A pair that does not count, by the flags, has 0 in the
    third top, and no gradient.

    Shapes: (n, c), labels (n) and for the flags of cameras their numbers (n) to p pairs (p, 1, 1, 1) two or three
    times, p = n (n - 1) / 2.

    >>> CosineSimilarityBatch().infer(((4, 8), (4,)), 3)
    ((6, 1, 1, 1), (6, 1, 1, 1), (6, 1, 1, 1))

    Reference: `cosine_similarity_batch_layer.cpp` of OpenVINO's training toolbox and its parents.
    """

    pos_label: float = 1.0
    """The number for labels that agree, truncated to an integer."""
    neg_label: float = -1.0
    """The number for labels that differ, truncated to an integer."""
    eliminate_pos: bool = False
    """Whether pairs of one label do not count."""
    eliminate_neg: bool = False
    """Whether pairs of two labels do not count."""
    eliminate_pos_same_camera: bool = False
    """Whether pairs of one label from one camera do not count."""
    eliminate_neg_same_camera: bool = False
    """Whether pairs of two labels from one camera do not count."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(2, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 if the cameras are missing, E102 if the bottoms do not match."""
        check_items(bottoms)
        if len(bottoms[0]) < 2 or any(differ(extent, 1) for extent in bottoms[0][2:]):
            fail(f"expected vectors (n, c), got {text(bottoms[0])}", field="bottom")
        for index in range(1, len(bottoms)):
            check_one_label_an_item(bottoms, index)
        for name in ("eliminate_pos_same_camera", "eliminate_neg_same_camera"):
            if getattr(self, name) and len(bottoms) < 3:
                fail(f"`{name}` needs a third bottom with the cameras' numbers", code="E101", field=name)
        n = bottoms[0][0]
        return ((n * (n - 1) // 2, 1, 1, 1),) * 3

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One product of each two vectors."""
        return Cost(macs=bottoms[0][0] * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient is the derivative where the pair counts."""
        import torch

        x = bottoms[0].flatten(1)
        one, other = torch.triu_indices(len(x), len(x), 1, device=x.device)
        unit = x / x.norm(dim=1, keepdim=True)
        cosine = (unit @ unit.t())[one, other]
        labels = bottoms[1].detach().flatten()
        alike = labels[one] == labels[other]
        counts = torch.where(alike, not self.eliminate_pos, not self.eliminate_neg)
        if self.eliminate_pos_same_camera or self.eliminate_neg_same_camera:
            cameras = bottoms[2].detach().flatten()
            flagged = torch.where(alike, self.eliminate_pos_same_camera, self.eliminate_neg_same_camera)
            counts = counts & ~(flagged & (cameras[one] == cameras[other]))
        if mode.tops > 2:  # versions with two tops do not have the flags
            cosine = torch.where(counts, cosine, cosine.detach())
        number = torch.where(alike, float(int(self.pos_label)), float(int(self.neg_label)))
        tops = (cosine, number.to(x.dtype), counts.to(x.dtype))
        return tuple(top.reshape(-1, 1, 1, 1) for top in tops[: mode.tops])
