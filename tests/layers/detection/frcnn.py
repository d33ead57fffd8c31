"""The Python layers of py-faster-rcnn in NumPy, one box after the other, for tests; without random choices."""

from __future__ import annotations

import itertools

import numpy as np


def anchors(base: int, ratios, scales, rounded=np.round) -> np.ndarray:
    """The anchors of the first position."""
    found = []
    for ratio in ratios:
        w = rounded(np.sqrt(base * base / ratio))
        h = rounded(w * ratio)
        center = (base - 1) / 2
        for scale in scales:
            half_w, half_h = 0.5 * (w * scale - 1), 0.5 * (h * scale - 1)
            found.append([center - half_w, center - half_h, center + half_w, center + half_h])
    return np.array(found)


def placed(base: np.ndarray, stride: int, height: int, width: int):
    """Index (a, y, x) and box of each anchor, in the order of the original."""
    for y, x, a in itertools.product(range(height), range(width), range(len(base))):
        yield (a, y, x), base[a] + np.array([x, y, x, y]) * stride


def moved(box: np.ndarray, code: np.ndarray) -> np.ndarray:
    size = box[2:] - box[:2] + 1.0
    center = box[:2] + 0.5 * size + code[:2] * size
    half = 0.5 * np.exp(code[2:]) * size
    return np.concatenate([center - half, center + half])


def code(box: np.ndarray, target: np.ndarray) -> np.ndarray:
    size, other = box[2:] - box[:2] + 1.0, target[2:] - target[:2] + 1.0
    distance = target[:2] + 0.5 * other - (box[:2] + 0.5 * size)
    return np.concatenate([distance / size, np.log(other / size)])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if w <= 0 or h <= 0:
        return 0.0
    sizes = [(one[2] - one[0] + 1) * (one[3] - one[1] + 1) for one in (a, b)]
    return w * h / (sum(sizes) - w * h)


def suppressed(boxes: list[np.ndarray], threshold: float) -> list[int]:
    """Which of boxes, the best first, are kept."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if all(overlap(boxes[j], box) <= threshold for j in kept):
            kept.append(i)
    return kept


def proposals(base, stride, scores, codes, size, smallest, before, after, threshold, drop_small: bool):
    """The boxes and scores of one image: scores (a, h, w), codes (4 a, h, w)."""
    found = []
    for (a, y, x), box in placed(base, stride, *scores.shape[1:]):
        predicted = moved(box, codes[4 * a : 4 * a + 4, y, x])
        limits = np.array([size[1], size[0]] * 2) - 1
        predicted = np.maximum(np.minimum(predicted, limits), 0)
        sides = predicted[2:] - predicted[:2] + 1
        large = sides[0] >= smallest[1] and sides[1] >= smallest[0]
        if large or not drop_small:
            found.append((scores[a, y, x] * large, predicted))
    found.sort(key=lambda one: -one[0])
    found = found[:before]
    kept = suppressed([box for _, box in found], threshold)[:after]
    return np.array([found[i][1] for i in kept]), np.array([found[i][0] for i in kept])


def anchor_targets(layer, objects: np.ndarray, size, height: int, width: int):
    """Labels before sampling and codes, by (a, y, x)."""
    base = anchors(layer.base_size, layer.ratios, layer.scales)
    border = layer.allowed_border
    inside = [
        (at, box)
        for at, box in placed(base, layer.feat_stride, height, width)
        if min(box[:2]) >= -border and box[2] < size[1] + border and box[3] < size[0] + border
    ]
    overlaps = np.array([[overlap(box, one) for one in objects[:, :4]] for _, box in inside])
    labels, codes = {}, {}
    for (at, box), row in zip(inside, overlaps):
        positive = (row == overlaps.max(0)).any() or row.max() >= layer.positive_overlap
        negative = row.max() < layer.negative_overlap
        labels[at] = 0 if negative and (layer.clobber_positives or not positive) else 1 if positive else -1
        codes[at] = code(box, objects[row.argmax(), :4])
    return labels, codes
