"""The best boxes of each class: BoxWithNMSLimit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import NetcError, visible
from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import FLOAT, OperatorLayer, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_COUNTS: frozenset[DType] = frozenset(("float32", "int32"))


@operator("BoxWithNMSLimit")
@dataclass(frozen=True)
class BoxWithNmsLimit(OperatorLayer):
    """The boxes of each image that remain after suppression within each class, at most `detections_per_im`.

    The outputs are in the order of images and classes: scores, which soft suppression lowers, boxes, classes, the
    number of boxes of each image, the index of each box among those of its image, and the number of boxes of each class
    of each image. Class 0, without boxes, is the background.

    Shapes: scores (r, k), boxes (r, 4 k) and optionally the number of boxes of each image (n), as floats or int32, to
    (m), (m, 4), (m), (n), int32 (m) and int32 (n, k). Boxes have 5 numbers if `rotated`, and are (r, 4) for all classes
    if `cls_agnostic_bbox_reg`. The inputs may have two more axes of extent 1.

    Reference: `box_with_nms_limit_op.cc`, `generate_proposals_op_util_nms.h`.
    """

    score_thresh: float = 0.05
    """Boxes must have a higher score."""
    nms: float = 0.3
    """Boxes that overlap a better one of their class by more are dropped."""
    detections_per_im: int = 100
    """The largest number of boxes of an image; no limit if not positive."""
    soft_nms_enabled: bool = False
    """Whether overlapping boxes have lower scores instead of being dropped."""
    soft_nms_method: str = "linear"
    """How overlaps lower scores: `linear` (1 - overlap, above `nms`), or `gaussian` (exp(-overlap^2 / sigma))."""
    soft_nms_sigma: float = 0.5
    """Sigma of `gaussian`."""
    soft_nms_min_score_thres: float = 0.001
    """Boxes whose lowered scores are below it are dropped."""
    rotated: bool = False
    """Whether boxes are center x and y, width, height, and an angle in degrees."""
    cls_agnostic_bbox_reg: bool = False
    """Whether all classes have the same boxes."""
    input_boxes_include_bg_cls: bool = True
    """Whether boxes and scores begin with those of the background; otherwise the last score is its."""
    output_classes_include_bg_cls: bool = True
    """Whether the first class of the outputs is 1, otherwise 0."""
    legacy_plus_one: bool = True
    """Whether x2 and y2 are the last pixels of boxes, so that their widths are x2 - x1 + 1."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(3, 6)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, FLOAT, _COUNTS)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for an unknown method, E101 for five outputs."""
        layer = super().from_caffe2(operator)
        if layer.soft_nms_method not in ("linear", "gaussian"):
            operator.fail(
                f"`soft_nms_method` is `{visible(layer.soft_nms_method)}`: it must be linear or gaussian",
                "soft_nms_method",
            )
        if len(operator.outputs) == 5:
            operator.fail("output 4 of `BoxWithNMSLimit` comes with output 5", "output", code="E101")
        return layer

    @property
    def _numbers(self) -> int:
        return 5 if self.rotated else 4

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs that do not match."""
        for index, bottom in enumerate(bottoms[:2]):
            if len(bottom) != 4:
                check_axes("BoxWithNMSLimit", bottom, 2, index)
            elif differ(bottom[2:], (1, 1)):
                fail(f"input {index} of `BoxWithNMSLimit` has shape {text(bottom)}, expected (?, ?, 1, 1)")
        scores, boxes = bottoms[:2]
        classes = scores[1] if self.input_boxes_include_bg_cls else scores[1] - 1
        numbers = self._numbers * (1 if self.cls_agnostic_bbox_reg else classes)
        if differ(boxes[:2], (scores[0], numbers)):
            fail(
                f"boxes {text(boxes)} do not match scores {text(scores)}: expected {text((scores[0], numbers))}",
                field="input",
            )
        images = 1
        if len(bottoms) > 2:
            check_axes("BoxWithNMSLimit", bottoms[2], 1, 2)
            images = bottoms[2][0]
        m = UNKNOWN
        return (m,), (m, self._numbers), (m,), (images,), (m,), (images, scores[1])

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32, and int32 from the fifth output on."""
        self.check_dtypes(bottoms)
        types: DTypes = ("float32", "float32", "float32", "float32", "int32", "int32")
        return types[:tops]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per score."""
        return Cost(operations=product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E301 if the numbers of boxes do not add up."""
        import torch

        scores, boxes = (bottom.detach().flatten(1).cpu() for bottom in bottoms[:2])
        counts = [len(scores)] if len(bottoms) < 3 else bottoms[2].long().tolist()
        if sum(counts) != len(scores) or any(count < 0 for count in counts):
            raise NetcError(f"numbers of boxes {counts} do not add up to {len(scores)}", code="E301")
        found = [
            self._of_image(one, box.view(len(box), box.shape[1] // self._numbers, self._numbers))
            for one, box in zip(torch.split(scores, counts), torch.split(boxes, counts))
        ]
        kept, of_class, values, corners = (torch.cat(list(parts)) for parts in zip(*found))
        sizes = [torch.bincount(classes, minlength=scores.shape[1]) for _, classes, _, _ in found]
        named = of_class.float() if self.output_classes_include_bg_cls else of_class.float() - 1
        numbers = torch.tensor([len(one) for one, _, _, _ in found], dtype=scores.dtype)
        outputs = values, corners, named, numbers, kept.int(), torch.stack(sizes).int()
        return tuple(output.to(bottoms[0].device) for output in outputs)

    def _of_image(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Indices, classes, scores and boxes of an image: of scores (r, k) and boxes (r, k, 4)."""
        import torch

        none = torch.zeros(0, dtype=torch.long)
        parts = [(none, none, scores.new_zeros(0), boxes.new_zeros(0, self._numbers))]
        skipped = int(not self.input_boxes_include_bg_cls)
        for index in range(1, scores.shape[1]):
            own = boxes[:, 0 if self.cls_agnostic_bbox_reg else index - skipped]
            kept, values = self._of_class(own, scores[:, index - skipped])
            parts.append((kept, torch.full_like(kept, index), values[kept], own[kept]))
        found = tuple(torch.cat(list(columns)) for columns in zip(*parts))
        limit = self.detections_per_im
        if 0 < limit < len(found[0]):
            best = found[2].argsort(descending=True, stable=True)[:limit]
            rows = best[found[1][best].argsort(stable=True)]
            found = tuple(column[rows] for column in found)
        return found[0], found[1], found[2], found[3]

    def _of_class(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The indices of the boxes of a class that are kept, and all scores afterward."""
        from netc.functions.detectron_suppression import SoftSuppression, suppressed

        rows = (scores > self.score_thresh).nonzero()[:, 0]
        if not self.soft_nms_enabled:
            limit = self.detections_per_im if self.detections_per_im > 0 else None
            kept = suppressed(boxes[rows], scores[rows], self.nms, inclusive=self.legacy_plus_one, limit=limit)
            return rows[kept], scores
        soft = SoftSuppression(
            self.nms,
            self.soft_nms_min_score_thres,
            self.soft_nms_sigma,
            self.soft_nms_method == "gaussian",
            self.legacy_plus_one,
        )
        kept, lowered = soft.kept(boxes[rows], scores[rows])
        return rows[kept], scores.index_copy(0, rows, lowered)
