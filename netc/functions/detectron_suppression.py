"""Non-maximum suppression of Detectron's operators in Caffe2: greedy or soft, of upright or rotated boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netc.functions import rotated_boxes
from netc.functions.boxes import areas, iou
from netc.functions.suppression import nms


def suppressed(
    boxes: Tensor, scores: Tensor, threshold: float, *, inclusive: bool = True, limit: int | None = None
) -> Tensor:
    """Return the indices of the boxes (n, 4) or (n, 5) that are kept, in descending order of scores, at most `limit`.

    Of upright boxes without an area only the best is kept: the ratio of Caffe2 is not a number for two of them.

    >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [1.0, 1.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    >>> suppressed(boxes, torch.tensor([0.5, 0.9, 0.1, 0.2]), 0.5, inclusive=False)
    tensor([1, 3])
    """
    boxes, scores = boxes.detach().cpu(), scores.detach().cpu()
    order = scores.argsort(descending=True, stable=True)
    if boxes.shape[1] == 5:
        return _greedy_rotated(boxes, order, threshold, limit)
    flat = areas(boxes, inclusive)[order] == 0
    order = order[~(flat & (flat.cumsum(0) > 1))]
    return order[nms(boxes[order], scores[order], threshold, limit=limit, inclusive=inclusive)]


def _greedy_rotated(boxes: Tensor, order: Tensor, threshold: float, limit: int | None) -> Tensor:
    kept: list[int] = []
    while len(order) and (limit is None or len(kept) < limit):
        kept.append(int(order[0]))
        order = order[1:]
        order = order[rotated_boxes.overlaps(boxes[kept[-1]], boxes[order]) <= threshold]
    return torch.tensor(kept, dtype=torch.long)


@dataclass(frozen=True)
class SoftSuppression:
    """Soft-NMS: boxes that overlap a better one have their scores lowered, and are dropped below `lowest`.

    Bodla et al., Soft-NMS, 2017.
    """

    threshold: float
    """Overlaps above it lower a score linearly."""
    lowest: float
    sigma: float
    """The scale of the overlaps' squares, if `gaussian`."""
    gaussian: bool = False
    inclusive: bool = True

    def kept(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices of the boxes (n, 4) or (n, 5) that are kept, best first, and all scores (n) afterward.

        >>> soft = SoftSuppression(0.3, 0.01, 0.5, inclusive=False)
        >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0]])
        >>> soft.kept(boxes, torch.tensor([0.9, 0.8]))
        (tensor([0, 1]), tensor([0.9000, 0.4000]))
        """
        boxes, scores = boxes.detach().cpu(), scores.detach().cpu().clone()
        pending, kept = torch.arange(len(boxes)), []
        while len(pending):
            best = int(scores[pending].argmax())
            kept.append(int(pending[best]))
            pending[best] = pending[0].clone()
            pending = pending[1:]
            scores[pending] *= self._factors(boxes[kept[-1]], boxes[pending]).to(scores.dtype)
            pending = pending[scores[pending] >= self.lowest]
        return torch.tensor(kept, dtype=torch.long), scores

    def _factors(self, box: Tensor, others: Tensor) -> Tensor:
        rotated = len(box) == 5
        overlaps = rotated_boxes.overlaps(box, others) if rotated else iou(box[None], others, self.inclusive)[0]
        if self.gaussian:
            return (-overlaps * overlaps / self.sigma).exp()
        return torch.where(overlaps > self.threshold, 1 - overlaps, 1)
