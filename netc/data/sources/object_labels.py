"""The labels of MS-CNN's maps: the object that the field around each position overlaps most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.sources.object_canvas import Floats, Part, half_away

if TYPE_CHECKING:
    from netc.data.batch import Array

IN_REGION = 0.4
"""Part of a field in regions to ignore from which it is ignored."""
PICKED = 0.2
"""Overlap from which an object without a position has the one at its center."""


@dataclass
class LabelMaker:
    """The labels of a crop."""

    objects: Floats
    regions: Floats
    skips_ignored: bool
    """Whether fields do not see ignored objects (panoramic port)."""

    def of(self, layer: Any, size: tuple[int, int], part: Part) -> list[Array]:
        """The labels (6, h, w) of all maps."""
        count = len(self.objects)
        matched = np.zeros(count, bool)
        best, best_map = np.zeros(count), np.zeros(count, int)
        found = []
        for index in range(len(layer.field_w)):
            label, own, most = self._of_map(layer, index, size, part)
            matched |= own
            better = most > best
            best_map[better], best[better] = index, most[better]
            found.append(label)
        for i in np.flatnonzero(~matched & (self.objects[:, 1] == 0) & (best >= PICKED)):
            label, rate = found[best_map[i]], layer.downsample_rate[best_map[i]]
            box = _centered(self.objects[i])
            x, y = (int(min(max(box[k] // rate, 0), label.shape[2 - k] - 1)) for k in (0, 1))
            if label[0, y, x] <= 0:
                label[:5, y, x] = self.objects[i, 0], *box
        return found

    def _of_map(self, layer: Any, index: int, size: tuple[int, int], part: Part) -> tuple[Array, Array, Floats]:
        """The label of one map, which objects have a position in it, and the greatest overlap of each object."""
        rate, shape = layer.downsample_rate[index], layer.label_size(index, *size)
        fields = _fields(shape, rate, layer.field_w[index], layer.field_h[index])
        used = _inside(shape, part, rate)
        hidden = sum((_overlap(fields, *_box(row), of_field=True) for row in self.regions), np.zeros(shape))
        used &= hidden < IN_REGION
        label = np.zeros((6, *shape), np.float32)
        most, nearest = np.zeros(shape), np.full(shape, -1)
        greatest = np.zeros(len(self.objects))
        for i, row in enumerate(self.objects):
            if row[1] and self.skips_ignored:
                continue
            shared = np.where(used, _overlap(fields, *_box(row[2:6])), 0)
            greatest[i] = shared.max(initial=0)
            better = shared > most
            most[better], nearest[better] = shared[better], i
        label[5] = np.where(used, most, 1)
        hit = (most > layer.fg_threshold) & (nearest >= 0)
        owner = nearest[hit]
        classes = np.where(self.objects[:, 1] == 0, self.objects[:, 0], 0)
        boxes = np.array([_centered(row) for row in self.objects]).reshape(-1, 4)
        label[0][hit], label[1:5, hit] = classes[owner], boxes[owner].T
        own = np.isin(np.arange(len(self.objects)), owner)
        return label, own, greatest


def _fields(shape: tuple[int, int], rate: int, width: float, height: float) -> tuple[Floats, Floats, float, float]:
    """The left and upper edges of the fields of a map, and their extents."""
    x, y = ((np.arange(count) + 0.5) * rate for count in shape[::-1])
    return x[None] - width / 2, y[:, None] - height / 2, width, height


def _box(corners: Floats) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = corners.tolist()
    return x1, y1, x2 - x1, y2 - y1


def _centered(row: Floats) -> tuple[float, float, float, float]:
    """Center and size of an object."""
    x1, y1, x2, y2 = row[2:6].tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _overlap(
    fields: tuple[Floats, Floats, float, float],
    x: float,
    y: float,
    width: float,
    height: float,
    of_field: bool = False,
) -> Floats:
    """Intersection over union of each field with a box, or over the field (h, w)."""
    left, top, own_width, own_height = fields
    if width <= 0 or height <= 0:
        return np.zeros((len(top), left.shape[1]))
    w = (np.minimum(left + own_width, x + width) - np.maximum(left, x)).clip(min=0)
    h = (np.minimum(top + own_height, y + height) - np.maximum(top, y)).clip(min=0)
    common, own = w * h, own_width * own_height
    shared: Floats = common / (own if of_field else own + width * height - common)
    return shared


def _inside(shape: tuple[int, int], part: Part, rate: int) -> Array:
    """Which positions of a map are in the image (h, w)."""
    found = np.zeros(shape, bool)
    top, left, height, width = (half_away(value / rate) for value in part[:4])
    found[top : top + height, left : left + width] = True
    return found
