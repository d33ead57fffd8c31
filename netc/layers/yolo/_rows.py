"""SSD's labels as YOLO's lists of truths, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netc.ir.dims import agree, differ
from netc.ir.layer import Mode
from netc.layers.yolo._grid import TRUTH

if TYPE_CHECKING:
    from torch import Tensor

ROW = 8
"""Numbers of a row of SSD's labels: item, class, instance, the corners, difficult."""


def are_rows(bottoms: Sequence[Sequence[int]]) -> bool:
    """Whether labels are SSD's: one row of 8 numbers per box of the batch."""
    return may_be_rows(bottoms) and agree(bottoms[1][3], ROW)


def may_be_rows(bottoms: Sequence[Sequence[int]]) -> bool:
    """Whether labels are SSD's for some values of the unknown extents."""
    labels = bottoms[1]
    return len(labels) == 4 and not differ(labels[3], ROW) and not differ(labels[0], 1)


def rows_of_lists(labels: Tensor, first: int) -> Tensor:
    """Return lists of truths, one for each image, as SSD's rows (1, 1, m, 8); rows after the end of a list are -1."""
    import torch

    lists = labels.reshape(labels.shape[0], -1, TRUTH)
    listed = (lists[..., 1] != 0).cumprod(1).bool()
    item = torch.arange(len(lists), dtype=lists.dtype, device=lists.device)[:, None].expand(listed.shape)
    none, center, half = torch.zeros_like(item), lists[..., 1:3], lists[..., 3:] / 2
    parts = (item[..., None], lists[..., :1] + first, none[..., None], center - half, center + half, none[..., None])
    return torch.where(listed[..., None], torch.cat(parts, -1), -1).reshape(1, 1, -1, ROW)


def lists_of_rows(labels: Tensor, images: int, mode: Mode, first: int = 1) -> Tensor:
    """Return SSD's rows as a list of truths (batch, t, 5) for each image; class 0 has the label `first`."""
    import torch

    rows = labels.reshape(-1, ROW)
    rows = rows[rows[:, 0] != -1]
    mode.check_range(rows[:, 0], 0, images, "item of a box")
    rows = rows[(rows[:, 0] >= 0) & (rows[:, 0] < images)]
    image = rows[:, 0].long()
    low, high = rows[:, 3:5], rows[:, 5:7]
    truths = torch.cat((rows[:, 1:2] - first, (low + high) / 2, high - low), 1)
    place = torch.nn.functional.one_hot(image, images).cumsum(0).gather(1, image[:, None])[:, 0] - 1
    most = int(place.max()) + 1 if len(place) else 0
    lists = rows.new_zeros(images, most, truths.shape[1])
    lists[image, place] = truths
    return lists
