"""Images sampled between their pixels, by rows of channels: one gather for each of the four neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def bilinear(image: Tensor, x: Tensor, y: Tensor, outside: Tensor | None = None) -> Tensor:
    """Return the image (n, c, h, w) at the positions x and y (n, oh, ow), in pixels: (n, c, oh, ow).

    A neighbor beyond the last row or column is the last one. Where `outside` is true the position is not read, and
    the result is 0. Without it, neighbors outside the image are 0.
    """
    import torch

    if outside is not None:
        x, y = (torch.where(outside, 0.0, position) for position in (x, y))
    left, above = x.detach().floor(), y.detach().floor()
    right_share, below_share = x - left, y - above
    total: Tensor | None = None
    for column, across in ((left, 1 - right_share), (left + 1, right_share)):
        for row, down in ((above, 1 - below_share), (above + 1, below_share)):
            part = _neighbor(image, column, row, across * down, outside)
            total = part if total is None else total + part
    assert total is not None, "there are four neighbors"
    return total.movedim(-1, 1)


def _neighbor(image: Tensor, column: Tensor, row: Tensor, share: Tensor, outside: Tensor | None) -> Tensor:
    """Return one neighbor of each position times its share: (n, oh, ow, c)."""
    import torch

    n, c, h, w = image.shape
    if outside is None:
        outside = (column < 0) | (column >= w) | (row < 0) | (row >= h) | column.isnan() | row.isnan()
    share = torch.where(outside, 0.0, share)
    place = _clamped(row, h) * w + _clamped(column, w)
    first = torch.arange(n, device=image.device).reshape(-1, 1, 1) * (h * w)
    rows = image.movedim(1, -1).reshape(n * h * w, c)
    taken = rows.index_select(0, (first + place).reshape(-1))
    return taken.reshape(*place.shape, c) * share.unsqueeze(-1)


def _clamped(position: Tensor, extent: int) -> Tensor:
    return position.nan_to_num(0.0).clamp(0, extent - 1).long()
