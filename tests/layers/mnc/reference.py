"""The Python layers of MNC in NumPy, one box after the other, for tests; without random choices."""

from __future__ import annotations

import cv2
import numpy as np

from tests.layers.detection.frcnn import code, overlap

SIDE = 21
"""Height and width of a mask."""


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(image.astype(np.float32), (width, height))


def _common(a: np.ndarray, b: np.ndarray):
    """The slices of the intersection of two boxes in each of them; None without one."""
    x1, y1 = np.maximum(a[:2], b[:2])
    x2, y2 = np.minimum(a[2:], b[2:])
    if x1 > x2 or y1 > y2:
        return None
    return [(slice(y1 - one[1], y2 - one[1] + 1), slice(x1 - one[0], x2 - one[0] + 1)) for one in (a, b)]


def mask_in_box(box: np.ndarray, of: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask of the part of an object in a box."""
    parts = _common(box, of)
    if parts is None:
        return np.zeros((SIDE, SIDE), bool)
    target = np.zeros((box[3] - box[1] + 1, box[2] - box[0] + 1))
    target[parts[0]] = mask[parts[1]]
    return resized(target, SIDE, SIDE) >= 0.4


def overlap_of_masks(box: np.ndarray, of: np.ndarray, predicted: np.ndarray, mask: np.ndarray) -> float:
    own = resized(predicted, box[3] - box[1] + 1, box[2] - box[0] + 1) >= 0.4
    parts = _common(box, of)
    if parts is None:
        return 0.0
    common = (own[parts[0]] & (mask[parts[1]] > 0)).sum()
    union = own.sum() + mask.sum() - common
    return common / union if union else 0.0


def cut(masks: np.ndarray, sizes: np.ndarray, row: int) -> np.ndarray:
    height, width = sizes[row].astype(int)
    return masks[row, :height, :width]


def targets(box, objects, masks, sizes, scale, positive: bool, classes: int, inside, means, stds):
    """What the stages learn of one region (4): label, codes, weights, mask, match."""
    row = int(np.argmax([overlap(box, one[:4]) for one in objects]))
    codes, weights = np.zeros((classes, 4)), np.zeros((classes, 4))
    if not positive:
        return 0, codes, weights, np.zeros((SIDE, SIDE)), np.full(12, -1)
    label = int(objects[row, 4])
    codes[label] = (code(box, objects[row, :4]) - means) / stds
    weights[label] = inside
    own, of = (np.around(one / scale).astype(int) for one in (box, objects[row, :4]))
    mask = mask_in_box(own, of, cut(masks, sizes, row))
    return label, codes, weights, mask, np.array([row, *sizes[row], label, *own, *of])


def scene(seed: int = 0):
    """Objects of an image of 100 x 130 pixels, scaled by 2; their masks with rounded corners, and the masks' sizes."""
    random = np.random.default_rng(seed)
    objects = np.array([[10.0, 12, 70, 61, 3], [60, 30, 121, 95, 1], [4, 70, 40, 98, 4]])
    boxes = np.around(objects[:, :4] / 2).astype(int)
    sizes = np.stack([boxes[:, 3] - boxes[:, 1] + 1, boxes[:, 2] - boxes[:, 0] + 1], 1).astype(float)
    masks = np.zeros((3, *sizes.max(0).astype(int)))
    for row, (height, width) in enumerate(sizes.astype(int)):
        y, x = np.ogrid[:height, :width]
        round_part = ((y - height / 2) / height) ** 2 + ((x - width / 2) / width) ** 2 < 0.3
        masks[row, :height, :width] = round_part & (random.random((height, width)) < 0.9)
    return objects, masks, sizes


def near(objects: np.ndarray, count: int, seed: int = 4, spread: float = 14.0) -> np.ndarray:
    """Regions (count, 5) near objects."""
    random = np.random.default_rng(seed)
    boxes = objects[random.integers(len(objects), size=count), :4] + random.normal(scale=spread, size=(count, 4))
    return np.concatenate([np.zeros((count, 1)), np.clip(boxes, 0, [129, 99, 129, 99])], 1)
