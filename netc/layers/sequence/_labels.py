"""Label sequences of layers for text: without blanks or up to their end, padded to one length."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def packed(labels: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kept elements of each row, moved to its front, and their number; the rest of the row is 0."""
    width = labels.shape[1]
    place = (kept.cumsum(1) - 1).where(kept, width)  # the others go to a column of their own, which is cut off
    front = labels.new_zeros(labels.shape[0], width + 1).scatter(1, place, labels)
    return front[:, :width], kept.sum(1)


def up_to_end(labels: Tensor) -> Tensor:
    """Return where the elements of each row precede its first negative one."""
    return (labels < 0).cumsum(1) == 0


def rounded(labels: Tensor) -> Tensor:
    """Return labels as integers, rounded as Caffe's code for sequences does: down from 0.5 above."""
    return labels.long() if not labels.is_floating_point() else (labels + 0.5).long()


def lengths_by_indicators(indicators: Tensor) -> Tensor:
    """Return the length of the first sequence of each stream: up to the next 0 after the first step."""
    import torch

    steps = len(indicators)
    starts = rounded(indicators) == 0
    step = torch.arange(steps, device=indicators.device).unsqueeze(1)
    return torch.where(starts & (step > 0), step, steps).amin(0)
