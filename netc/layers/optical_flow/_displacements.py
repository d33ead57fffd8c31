"""Two blobs compared element by element at every displacement, as the mean over the channels.

A row of the first blob, multiplied as a matrix with a row of the second, has all products of their pixels; those at the
displacements are a band along its diagonal. Rows are cut into blocks, so that little outside the band is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 16
"""The smallest number of pixels of a row that are multiplied at once."""


def products(
    one: Tensor,
    other: Tensor,
    pads: Sequence[int],
    borders: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    plane: Sequence[int],
    step: int,
) -> Tensor:
    """Return the mean products: (n, rows, columns, *plane).

    Element (y, x) is at `step` y + border y of the padded blobs, displaced by the numbers in `rows` and `columns`.
    """
    import torch

    n, c = one.shape[:2]
    height, width = plane
    band, apart = columns[-1] - columns[0] + 1, columns[1] - columns[0] if len(columns) > 1 else 1
    block = min(width, max(BLOCK, ceil_to(band // 2, step) // step))
    blocks = -(-width // block)
    span = (block - 1) * step + band
    first = _part(one, pads, borders, (height, blocks * block), step)
    left = first.permute(2, 0, 3, 1).reshape(height, n * blocks, block, c)
    start = (borders[0] + rows[0], borders[1] + columns[0])
    size = ((height - 1) * step + rows[-1] - rows[0] + 1, (blocks * block - 1) * step + band)
    second = _part(other, pads, start, size, 1)
    windows = second.unfold(3, span, block * step)  # (n, c, height, blocks, span)
    right = windows.permute(2, 0, 3, 1, 4).reshape(size[0], n * blocks, c, span)
    found = []
    for row in rows:
        taken = right[row - rows[0] :: step][:height]
        each = left.flatten(0, 1).bmm(taken.flatten(0, 1))  # (height n blocks, block, span)
        found.append(_band(each, step)[:, :, :band:apart])
    stacked = torch.stack(found).reshape(len(rows), height, n, blocks * block, len(columns))
    return stacked.permute(2, 0, 4, 1, 3)[..., :width] / c


def ceil_to(extent: int, step: int) -> int:
    """Return the smallest multiple of `step` that is not less than `extent`.

    >>> ceil_to(5, 2)
    6
    """
    return -(-extent // step) * step


def _band(each: Tensor, step: int) -> Tensor:
    """Move element (i, i step + d) of each matrix to (i, d): a row becomes `step` longer, and is cut again."""
    import torch.nn.functional as F

    count, height, width = each.shape
    return F.pad(each.reshape(count, -1), (0, height * step)).reshape(count, height, width + step)


def differences(
    one: Tensor,
    other: Tensor,
    pads: Sequence[int],
    borders: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    plane: Sequence[int],
    step: int,
) -> Tensor:
    """Return the mean absolute differences; see `products`."""
    import torch

    first = _part(one, pads, borders, plane, step)
    start = (borders[0] + rows[0], borders[1] + columns[0])
    size = [(e - 1) * step + axis[-1] - axis[0] + 1 for e, axis in zip(plane, (rows, columns))]
    second = _part(other, pads, start, size, 1)
    found = []
    for row in rows:
        for column in columns:
            y, x = row - rows[0], column - columns[0]
            displaced = second[:, :, y : y + (plane[0] - 1) * step + 1 : step, x : x + (plane[1] - 1) * step + 1 : step]
            found.append((first - displaced).abs().mean(1))
    return torch.stack(found, 1).reshape(one.shape[0], len(rows), len(columns), *plane)


def _part(x: Tensor, pads: Sequence[int], start: Sequence[int], size: Sequence[int], step: int) -> Tensor:
    """Return `size` elements, `step` apart, from `start` on in the padded plane; beyond it are zeros."""
    import torch.nn.functional as F

    sides: list[int] = []
    for extent, pad, first, count in reversed(list(zip(x.shape[2:], pads, start, size))):
        low = first - pad
        sides += [-low, low + (count - 1) * step + 1 - extent]
    return F.pad(x, sides)[:, :, ::step, ::step]
