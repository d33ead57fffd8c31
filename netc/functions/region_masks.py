"""Masks of the objects in regions: those a net of instances shall predict, and the overlaps of those it predicts.

Boxes are (x1, y1, x2, y2) in whole pixels, and x2 is the last pixel. The mask of an object begins at the first pixel of
its box. Resizing is OpenCV's bilinear one: pixel i of n lies at (i + 0.5) / n of the extent.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MOST_PIXELS = 1 << 24
"""Largest number of pixels of resized masks that are held at a time."""


class ObjectMasks(NamedTuple):
    """For each of k regions, the object that it is compared with."""

    masks: Tensor
    """(g, h, w): the masks of all objects, nonzero where an object is."""
    row: Tensor
    """(k): the object of each region."""
    sizes: Tensor
    """(k, 2): height and width of that object's mask."""
    boxes: Tensor
    """(k, 4): that object's box."""

    def of(self, rows: slice) -> ObjectMasks:
        """Those of some of the regions."""
        return self._replace(row=self.row[rows], sizes=self.sizes[rows], boxes=self.boxes[rows])

    def at(self, y: Tensor, x: Tensor) -> Tensor:
        """(k, m, n): the objects' masks at rows y (k, m) and columns x (k, n) of the image, 0 outside their boxes."""
        found = []
        for place, axis in ((y, 0), (x, 1)):
            start, last = self.boxes[:, 1 - axis, None], self.boxes[:, 3 - axis, None]
            within = place - start
            extent = self.sizes[:, axis, None].clamp(max=self.masks.shape[1 + axis])
            inside = (within >= 0) & (place <= last) & (within < extent)
            found.append((within.masked_fill(~inside, 0).long(), inside))
        (rows, down), (columns, across) = found
        values = self.masks[self.row[:, None, None], rows[:, :, None], columns[:, None]]
        return torch.where(down[:, :, None] & across[:, None], values, 0)


def masks_in_boxes(objects: ObjectMasks, boxes: Tensor, side: int, threshold: float) -> Tensor:
    """(k, side, side): whether an object covers at least `threshold` of the pixels of its region, resized to `side`."""
    (y, down), (x, across) = (_taps(boxes[:, i], boxes[:, i + 2], side) for i in (1, 0))
    found = boxes.new_zeros(boxes.shape[0], side, side)
    for i in (0, 1):
        for j in (0, 1):
            found = found + objects.at(y[i], x[j]) * down[i][:, :, None] * across[j][:, None]
    return found >= threshold


def _taps(start: Tensor, last: Tensor, count: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(k, count) twice and twice: the two pixels that each resized pixel lies between, and the part of each."""
    extent = (last - start + 1)[:, None].clamp(min=1)
    place = torch.minimum(_places(extent.new_tensor(range(count)), extent / count).clamp(min=0), extent - 1)
    low = place.floor()
    part = place - low
    high = torch.minimum(low + 1, extent - 1)
    return (low + start[:, None], high + start[:, None]), (1 - part, part)


def _places(pixels: Tensor, size: Tensor) -> Tensor:
    """Where the middles of pixels of a size lie, counted from the middle of a first pixel of size 1."""
    return (pixels + 0.5) * size - 0.5


def overlaps_of_masks(predicted: Tensor, objects: ObjectMasks, boxes: Tensor, threshold: float) -> Tensor:
    """(k): the overlap of masks (k, side, side), resized to their boxes, with those of objects; 0 if both are empty.

    A pixel belongs to a predicted mask from `threshold`. Waits for a GPU, once: the boxes' extents are needed.
    """
    if not boxes.shape[0] or not objects.masks.numel():
        return boxes.new_zeros(boxes.shape[0])
    width, height = ((boxes[:, 2:] - boxes[:, :2]).amax(0) + 1).clamp(min=1).long().tolist()
    each = max(1, MOST_PIXELS // (width * height))
    parts = [slice(at, at + each) for at in range(0, boxes.shape[0], each)]
    return torch.cat([_overlaps(predicted[p], objects.of(p), boxes[p], (height, width), threshold) for p in parts])


def _overlaps(
    predicted: Tensor, objects: ObjectMasks, boxes: Tensor, largest: tuple[int, int], threshold: float
) -> Tensor:
    side = predicted.shape[1]
    pixels = [torch.arange(extent, device=boxes.device)[None] for extent in largest]
    extents = [(boxes[:, i + 2] - boxes[:, i] + 1)[:, None] for i in (1, 0)]
    inside = [pixel < extent for pixel, extent in zip(pixels, extents)]
    index = torch.arange(side, device=boxes.device)
    places = [_places(pixel, side / extent.clamp(min=1)).clamp(0, side - 1) for pixel, extent in zip(pixels, extents)]
    rows, columns = ((1 - (place[..., None] - index).abs()).clamp(min=0).to(predicted) for place in places)
    resized = rows @ predicted @ columns.transpose(1, 2)
    of_region = (resized >= threshold) & inside[0][:, :, None] & inside[1][:, None]
    of_object = objects.at(boxes[:, 1, None] + pixels[0], boxes[:, 0, None] + pixels[1]) != 0
    common = (of_region & of_object).sum((1, 2))
    union = of_region.sum((1, 2)) + _areas(objects) - common
    return torch.where(union >= 1, common / union, 0)


def _areas(objects: ObjectMasks) -> Tensor:
    """(k): the sum of each region's object's mask."""
    y, x = (torch.arange(extent, device=objects.masks.device) for extent in objects.masks.shape[1:])
    used = (y[:, None] < objects.sizes[:, 0, None, None]) & (x < objects.sizes[:, 1, None, None])
    return (objects.masks[objects.row] * used).sum((1, 2))
