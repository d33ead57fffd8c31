"""The layers of MS-CNN in NumPy, one position after the other, for tests."""

from __future__ import annotations

import math

import numpy as np


def share(a, b) -> float:
    """Intersection over union of boxes of x, y, width and height."""
    if min(*a[2:], *b[2:]) <= 0:
        return 0.0
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = w * h if w > 0 and h > 0 else 0.0
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def clamped(value: float, limit: float, mean: float = 0.0, std: float = 1.0) -> float:
    return max((-limit - mean) / std, min((limit - mean) / std, value))


def labels_of(random, n: int, h: int, w: int, classes: int, positive: float = 0.3) -> np.ndarray:
    """Labels (n, 6, h, w), some positions with an object."""
    found = np.zeros((n, 6, h, w))
    present = random.random((n, h, w)) < positive
    found[:, 0] = present * random.integers(1, classes, (n, h, w))
    found[:, 1:3] = random.uniform(0, 8 * max(h, w), (n, 2, h, w))
    found[:, 3:5] = random.uniform(1, 60, (n, 2, h, w))
    found[:, 5] = np.where(present, random.uniform(0.5, 1, (n, h, w)), random.uniform(0, 0.6, (n, h, w)))
    return found


def chosen(layer, x, target) -> np.ndarray:
    """Background positions that `bootstrap`, or any other text than the random modes, chooses."""
    n, h, w = len(x), *x.shape[2:]
    found = np.zeros((n, h * w), bool)
    for i in range(n):
        label = target[i, 0].ravel().astype(int)
        overlap = target[i, 5].ravel()
        candidates = [j for j in range(h * w) if label[j] == 0 and overlap[j] < layer.bg_threshold]
        if layer.sample_mode != "bootstrap":
            found[i, candidates] = True
            continue
        own = np.minimum(label, 1) if layer.objectness else label
        for k in range(1, layer.cls_num):
            count = max(4, int((own == k).sum() * layer.bg_multiple))
            ranked = sorted(candidates, key=lambda j: (x[i, k].ravel()[j], j), reverse=True)
            found[i, ranked[:count]] = True
    return found.reshape(n, h, w)


def weights_of(layer, label, overlap, kept, cpu: bool) -> np.ndarray:
    """The weight of each position (n, h, w)."""
    found = np.ones(label.shape)
    if layer.iou_weighted:
        found[label != 0] = overlap[label != 0]
    if layer.pos_neg_weighted:
        up, down = found[label != 0].sum(), found[kept].sum()
        part, total = 1 / (1 + layer.bg_multiple), kept.sum() + (label != 0).sum()
        if up:
            found[label != 0] *= part * total / up
        if up if cpu else down:
            found[label == 0] *= (1 - part) * total / down
    return found


def distances(layer, codes, box, place) -> list[float]:
    """What the codes at a place lack."""
    mean, std = layer.bbox_mean or (0,) * 4, layer.bbox_std or (1,) * 4
    found = []
    for k in range(4):
        field = (layer.field_w, layer.field_h)[k % 2]
        if k < 2:
            wanted = (box[k] - (place[k] + 0.5) * layer.downsample_rate) / field
            limit, first = 1 / layer.field_xyr, 0
        else:
            wanted, limit, first = math.log(max(box[k], 2) / field), math.log(layer.field_whr), 2
        middle, wide = (mean[first] + mean[first + 1]) / 2, math.sqrt(std[first] * std[first + 1])
        found.append(clamped(codes[k], limit, middle, wide) - (wanted - mean[k]) / std[k])
    return found


def loss(layer, x, target, cpu: bool = False):
    """The two numbers of the top, and the gradient of the first."""
    kept, label = chosen(layer, x, target), target[:, 0].astype(int)
    weights = weights_of(layer, label, target[:, 5], kept, cpu)
    gradient = np.zeros(x.shape)
    sums, counts = [0.0, 0.0], [0, 0]
    for place in np.ndindex(label.shape):
        own, at = label[place], (place[0], slice(None), *place[1:])
        if own == layer.ignore_label or (own == 0 and not kept[place]):
            continue
        scores = np.exp(x[at][: layer.cls_num])
        scores /= scores.sum()
        true_class = min(own, 1) if layer.objectness else own
        sums[0] -= math.log(scores[true_class]) * weights[place]
        counts[0] += 1
        scores[true_class] -= 1
        gradient[at][: layer.cls_num] = scores * weights[place]
        if own:
            counts[1] += 4
            for k, away in enumerate(distances(layer, x[at][layer.cls_num :], target[at][1:5], place[:0:-1])):
                far = layer.bb_smooth and abs(away) >= 1
                sums[1] += abs(away) - 0.5 if far else away**2 / 2
                gradient[at][layer.cls_num + k] = math.copysign(1, away) if far else away
    gradient[:, : layer.cls_num] /= max(counts[0], 1)
    gradient[:, layer.cls_num :] *= layer.factor / max(counts[1], 1)
    of_codes = layer.factor * sums[1] / max(counts[1], 1)
    return (sums[0] / max(counts[0], 1) + of_codes, of_codes), gradient


def accuracy(layer, x, target):
    """The three numbers of the tops."""
    right, counts, overlaps = [0, 0], [0, 0], []
    for i, row, column in np.ndindex(len(x), *x.shape[2:]):
        own, *box, overlap = target[i, :, row, column]
        own = int(own)
        if own == layer.ignore_label or (own == 0 and overlap >= layer.bg_threshold):
            continue
        values = x[i, :, row, column]
        ranked = sorted(range(layer.cls_num), key=lambda k: (values[k], k), reverse=True)
        hit = (min(own, 1) if layer.objectness else own) in ranked[: layer.top_k]
        for j in range(2 if own else 1):
            right[j] += hit
            counts[j] += 1
        if own:
            found = []
            for k, field in enumerate((layer.field_w, layer.field_h)):
                size = field * math.exp(clamped(values[layer.cls_num + 2 + k], math.log(layer.field_whr)))
                middle = clamped(values[layer.cls_num + k], 1 / layer.field_xyr) * field
                found.append((middle + ((column, row)[k] + 0.5) * layer.downsample_rate - size / 2, size))
            (x1, w), (y1, h) = found
            overlaps.append(share((x1, y1, w, h), (box[0] - box[2] / 2, box[1] - box[3] / 2, *box[2:])))
    fractions = [r / c if c else -1 for r, c in zip(right, counts)]
    return fractions, sum(overlaps) / len(overlaps) if overlaps else -1
