"""Greedy non-maximum suppression: in descending order of scores, a box drops the later ones that overlap it too much.

A box is dropped if its intersection over union with a kept box is strictly greater than the threshold; boxes of equal
score keep their order. Each step depends on the result of the one before, so it is computed on the CPU.

Boxes are processed in blocks, of several classes at once. The overlaps within a block become bits of integers, so that
the sequential part is one operation per box; the boxes that a block keeps then drop later ones in one pass.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from netc.functions.boxes import areas

BLOCK = 32
"""Boxes of a class in a block at least."""
PAIRS = 1 << 18
"""Pairs of boxes to compare at once, so that the results stay in a core's cache."""
GROUP = 1 << 13
"""Boxes to process at once at most."""


def nms(
    boxes: Tensor,
    scores: Tensor,
    threshold: float,
    *,
    eta: float = 1.0,
    limit: int | None = None,
    inclusive: bool = False,
) -> Tensor:
    """Return the indices of the boxes (n, 4) that are kept, in descending order of `scores` (n,), at most `limit`.

    With `eta` below 1, SSD's, each kept box multiplies a threshold above 0.5 by `eta`. `inclusive` boxes extend to the
    end of their last pixel, as in `netc.functions.boxes`.

    >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [1.0, 1.0, 3.0, 3.0]])
    >>> nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)
    tensor([1, 2])
    """
    order = scores.sort(descending=True, stable=True)[1]
    ordered = boxes[order].unsqueeze(0)
    kept = suppress(ordered, [len(order)], threshold, eta=eta, limit=limit, inclusive=inclusive)[0]
    return order[kept.to(order.device)][:limit]


def nms_of_classes(
    boxes: Tensor, scores: Tensor, threshold: float, *, lowest: float, top: int | None = None, eta: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the classes and box indices of what is kept of each class, class by class in descending order of scores.

    `scores` are (classes, n), `boxes` (n, 4) or (classes, n, 4). Only scores strictly greater than `lowest` take part,
    of each class the `top` greatest; NaN never does.

    >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9]])
    >>> nms_of_classes(boxes, torch.tensor([[0.5, 0.9], [0.1, 0.0]]), 0.5, lowest=0.05)
    (tensor([0, 1]), tensor([1, 0]))
    """
    values, indices = ranked(scores, lowest, top)
    chosen = boxes[indices] if boxes.dim() == 2 else boxes.gather(1, indices.unsqueeze(-1).expand(-1, -1, 4))
    counts = (values > lowest).sum(1).tolist()
    kept = suppress(chosen, counts, threshold, eta=eta).to(indices.device)
    return kept.nonzero()[:, 0], indices[kept]


def ranked(scores: Tensor, lowest: float, top: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the `top` greatest scores of each row of (rows, n) in descending order, and their columns.

    Equal scores are in the order of their columns; those not above `lowest`, and NaN, become -inf and come last.

    >>> ranked(torch.tensor([[0.2, 0.7, 0.1, 0.7]]), 0.1, 3)
    (tensor([[0.7000, 0.7000, 0.2000]]), tensor([[1, 3, 0]]))
    """
    scores = scores.masked_fill(~(scores > lowest), -torch.inf)
    if top is None or top >= scores.shape[1]:
        values, columns = scores.sort(dim=1, descending=True, stable=True)
        return values, columns
    values, columns = scores.topk(top, sorted=False)
    if not top:
        return values, columns
    least = values.amin(1, keepdim=True)
    tied = ((scores == least).sum(1) > (values == least).sum(1)) & (least > -torch.inf)[:, 0]
    if tied.any():
        values, columns = scores.sort(dim=1, descending=True, stable=True)
        return values[:, :top], columns[:, :top]
    columns = columns.sort(1)[0]
    values, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def suppress(
    boxes: Tensor,
    counts: list[int],
    threshold: float,
    *,
    eta: float = 1.0,
    limit: int | None = None,
    inclusive: bool = False,
) -> Tensor:
    """Return which of the boxes (classes, n, 4) are kept; of each class the first `counts`, in descending order.

    At least the first `limit` that are kept are found.
    """
    boxes = boxes.detach().to("cpu", torch.promote_types(boxes.dtype, torch.float32))
    kept = torch.zeros(boxes.shape[:2], dtype=torch.bool)
    for group in _groups(counts):
        most = counts[group[0]]
        rows = torch.tensor(group)
        valid = torch.arange(most) < torch.tensor(counts)[rows, None]
        sides = _Sides(boxes[rows, :most], inclusive)
        kept[rows, :most] = (
            _adaptively(sides, valid, threshold, eta) if eta < 1 else _in_blocks(sides, valid, threshold, limit or most)
        )
    return kept


def _groups(counts: list[int]) -> list[list[int]]:
    """Return classes that are processed at once: of similar counts, the largest first."""
    groups: list[list[int]] = []
    for row in sorted(range(len(counts)), key=lambda row: -counts[row]):
        most = counts[groups[-1][0]] if groups else 0
        if groups and (counts[row] > most // 2 or most <= BLOCK) and most * len(groups[-1]) < GROUP:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _in_blocks(sides: _Sides, alive: Tensor, threshold: float, limit: int) -> Tensor:
    """Return which boxes are kept; `alive` are the valid ones."""
    kept = torch.zeros_like(alive)
    left = torch.arange(alive.shape[1])
    while len(left):
        size = max(PAIRS // alive.numel(), BLOCK)
        block, rest = sides.columns(slice(0, size)), sides.columns(slice(size, None))
        found = _kept_of_block(block.overlaps(block) > threshold, alive[:, :size])
        kept[:, left[:size]] = found
        if kept.sum(1).amin() >= limit:
            break
        rows = found.any(0).nonzero()[:, 0]
        drops = (block.columns(rows).overlaps(rest) > threshold) & found[:, rows, None]
        alive = alive[:, size:] & ~drops.any(1)
        columns = alive.any(0).nonzero()[:, 0]
        left, alive, sides = left[size:][columns], alive[:, columns], rest.columns(columns)
    return kept


def _kept_of_block(overlapping: Tensor, alive: Tensor) -> Tensor:
    """Return which boxes (classes, n) are kept of those alive, given which pairs overlap."""
    kept = np.zeros(alive.shape, dtype=bool)
    starts = np.packbits(~alive.numpy(), axis=1, bitorder="little")
    for found, rows, start in zip(kept, np.packbits(overlapping.numpy(), axis=2, bitorder="little"), starts):
        dropped = int.from_bytes(start.tobytes(), "little")
        data, size = rows.tobytes(), rows.shape[1]
        for i in range(len(found)):
            if not dropped >> i & 1:
                found[i] = True
                dropped |= int.from_bytes(data[i * size : i * size + size], "little")
    return torch.from_numpy(kept)


def _adaptively(sides: _Sides, alive: Tensor, threshold: float, eta: float) -> Tensor:
    """Return which boxes are kept with thresholds that fall with each kept box."""
    kept = torch.zeros_like(alive)
    largest = torch.full(alive.shape, -torch.inf, dtype=sides.areas.dtype)
    thresholds = torch.full(alive.shape[:1], threshold, dtype=sides.areas.dtype)
    for i in range(alive.shape[1]):
        keep = kept[:, i] = alive[:, i] & ~(largest[:, i] > thresholds)
        overlaps = sides.columns(slice(i, i + 1)).overlaps(sides.columns(slice(i + 1, None)))[:, 0]
        later = largest[:, i + 1 :]
        later.copy_(torch.where(keep[:, None], torch.fmax(later, overlaps), later))
        thresholds = torch.where(keep & (thresholds > 0.5), thresholds * eta, thresholds)
    return kept


class _Sides:
    """Boxes (classes, n, 4) in the form in which their overlaps are computed."""

    def __init__(self, boxes: Tensor, inclusive: bool) -> None:
        self.extra = 1 if inclusive else 0
        self.areas = areas(boxes, inclusive)
        self.corners = [side.contiguous() for side in boxes.unbind(-1)]

    def columns(self, columns: slice | Tensor) -> _Sides:
        """The selected boxes of each class."""
        selected = _Sides.__new__(_Sides)
        selected.extra, selected.areas = self.extra, self.areas[:, columns]
        selected.corners = [side[:, columns] for side in self.corners]
        return selected

    def overlaps(self, others: _Sides) -> Tensor:
        """Return the intersections over unions (classes, n, m); boxes apart have a negative number, 0 or NaN."""
        ax, ay, bx, by = (side.unsqueeze(2) for side in self.corners)
        cx, cy, dx, dy = (side.unsqueeze(1) for side in others.corners)
        width, edge = torch.minimum(bx, dx), torch.maximum(ax, cx)
        width -= edge
        height = torch.minimum(by, dy)
        height -= torch.maximum(ay, cy, out=edge)
        if self.extra:
            width += self.extra
            height += self.extra
        common = width.clamp_min_(0).mul_(height)
        union = torch.add(self.areas.unsqueeze(2), others.areas.unsqueeze(1), out=height).sub_(common)
        return common.div_(union)
