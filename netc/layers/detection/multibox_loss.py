"""MultiBoxLoss: the loss of SSD's boxes and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import LayerUse, register
from netc.layers.detection._multibox_parameters import MultiBoxParameters
from netc.layers.detection._predictions import check_predictions

if TYPE_CHECKING:
    from torch import Tensor

LABEL = 8
"""Columns of a row of ground truth: image, label, instance, x1, y1, x2, y2, difficult."""


@register("MultiBoxLoss", dialect="ssd", field="multibox_loss_param")
@dataclass(frozen=True)
class MultiBoxLoss(MultiBoxParameters):
    """Loss of the boxes that are matched to objects, and of the scores of these and of the hardest other boxes.

    Each object is matched to the prior box that overlaps it most, and each other prior to its best object if they
    overlap by `overlap_threshold`. The loss of the codes of matched priors, and that of the scores of matched priors
    and of the mined ones, are added and divided by the normalizer; `VALID` is the number of matches. A part whose
    bottom has `propagate_down: false` is left out. Ground truth is (1, 1, n, 8) as AnnotatedData has it; rows of image
    -1 are skipped. With two classes every label above 1 counts as 1 (RefineDet).

    Shapes: codes (n, 4 p) or, if not `share_location`, (n, 4 p c), scores (n, p c), priors (1, 2, 4 p), ground truth
    (1, 1, m, 8) to a scalar.

    >>> MultiBoxLoss(21).infer(((2, 40), (2, 210), (1, 2, 40), (1, 1, 7, 8)), 1)
    ((),)

    Reference: Liu et al., SSD, 2016; `multibox_loss_layer.cpp` and `bbox_util.cpp` of SSD (weiliu89/caffe, branch ssd).
    """

    bottom_count: ClassVar[Count] = Count(4)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (2, 3)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if predictions, priors and ground truth do not match."""
        check_predictions(bottoms, self.num_classes, self.share_location)
        truth = bottoms[3]
        if len(truth) != 4 or any(map(differ, (truth[0], truth[1], truth[3]), (1, 1, LABEL))):
            fail(f"ground truth {text(truth)} must have shape [1,1,m,8]", field="bottom")
        return ((),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the scores."""
        return (bottoms[1],) * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per pair of a prior and an object, four per score."""
        return Cost(operations=10 * product(bottoms[2][2:]) // 4 * bottoms[3][2] + 4 * product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Matching and mining run on the CPU."""
        from netc.layers.detection._multibox_batch import MultiBoxBatch

        return MultiBoxBatch(self, bottoms, self._labels(bottoms[3], mode), self._least_objectness).loss()

    @property
    def _least_objectness(self) -> float:
        """The least objectness in the fifth bottom of a prior that is mined."""
        return 0.0

    def _labels(self, truth: Tensor, mode: Mode) -> Tensor:
        """Return the labels of the rows of ground truth, checked."""
        import torch

        rows = truth.detach().reshape(-1, LABEL)
        labels = rows[:, 1].trunc()
        if self.num_classes == 2:
            labels = torch.where(labels >= 2, 1, labels)
        if mode.check is not None:
            used = rows[:, 0] != -1
            if not self.use_difficult_gt:
                used &= rows[:, 7] == 0
            limit = torch.inf if self.map_object_to_agnostic or self.conf_loss_type == "LOGISTIC" else self.num_classes
            outside = ~((labels >= 0) & (labels < limit)) | (labels == self.background_label_id)
            mode.check(labels, outside & used, "label of an object is the background or outside the classes")
        return labels.nan_to_num().long()


def of_two_stages(use: LayerUse) -> bool:
    """Whether a layer has the predictions of RefineDet's first stage, as its fifth and sixth bottom."""
    return use.bottoms > 4


@register("MultiBoxLoss", dialect="refinedet", field="multibox_loss_param", when=of_two_stages)
@dataclass(frozen=True)
class RefineDetMultiBoxLoss(MultiBoxLoss):
    """SSD's loss of a second stage, whose priors were moved by the first.

    As SSD's layer, but priors whose objectness in the fifth bottom is less than `objectness_score` are not mined, and
    the sixth bottom holds codes that move the priors before they are matched.

    Shapes: SSD's bottoms, objectness (n, 2 p) and codes of the first stage (n, 4 p) to a scalar.

    >>> RefineDetMultiBoxLoss(21).infer(((2, 40), (2, 210), (1, 2, 40), (1, 1, 7, 8), (2, 20), (2, 40)), 1)
    ((),)

    Reference: Zhang et al., RefineDet, 2018; `multibox_loss_layer.cpp` of RefineDet (sfzhang15/RefineDet).
    """

    objectness_score: float = 0.01
    """The least objectness of a prior that is mined."""

    bottom_count: ClassVar[Count] = Count(5, 6)

    @classmethod
    def _further(cls, p: Fields) -> dict[str, Any]:
        return {"objectness_score": p["objectness_score"]}

    no_gradient: ClassVar[tuple[int, ...]] = (2, 3, 4, -1)

    @property
    def _least_objectness(self) -> float:
        return self.objectness_score
