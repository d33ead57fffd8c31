"""Boxes of Detectron's operators in NumPy, one at a time: upright (x1, y1, x2, y2) and rotated (x, y, w, h, angle)."""

from __future__ import annotations

import math

import cv2
import numpy as np


def area(box: np.ndarray, plus: int) -> float:
    return box[2] * box[3] if len(box) == 5 else (box[2] - box[0] + plus) * (box[3] - box[1] + plus)


def common(a: np.ndarray, b: np.ndarray, plus: int) -> float:
    if len(a) == 5:
        (xa, ya, wa, ha, ta), (xb, yb, wb, hb, tb) = a.tolist(), b.tolist()
        kind, points = cv2.rotatedRectangleIntersection(((xa, ya), (wa, ha), -ta), ((xb, yb), (wb, hb), -tb))
        return 0.0 if kind == cv2.INTERSECT_NONE else cv2.contourArea(cv2.convexHull(points))
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    return float(np.prod(np.maximum(high - low + plus, 0)))


def overlap(a: np.ndarray, b: np.ndarray, plus: int) -> float:
    shared = common(a, b, plus)
    union = area(a, plus) + area(b, plus) - shared
    return shared / union if union else math.nan


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float, plus: int, limit: int = -1) -> list[int]:
    """The indices that are kept, best first."""
    order, kept = sorted(range(len(boxes)), key=lambda i: -scores[i]), []
    while order and len(kept) != limit:
        best, *order = order
        kept.append(best)
        order = [i for i in order if overlap(boxes[best], boxes[i], plus) <= threshold]
    return kept


def decoded(box: np.ndarray, code: np.ndarray, weights: tuple[float, ...] = (1, 1, 1, 1), plus: int = 1) -> np.ndarray:
    """One box, moved and scaled."""
    x, y, w, h = box[:4]
    if len(box) == 4:
        w, h = box[2] - x + plus, box[3] - y + plus
        x, y = x + w / 2, y + h / 2
    dx, dy, dw, dh = (c / weight for c, weight in zip(code, weights))
    x, y = dx * w + x, dy * h + y
    w, h = (side * math.exp(min(step, math.log(1000 / 16))) for side, step in ((w, dw), (h, dh)))
    if len(box) == 4:
        return np.array([x - w / 2, y - h / 2, x + w / 2 - plus, y + h / 2 - plus])
    angle = box[4] + math.degrees(code[4])
    return np.array([x, y, w, h, angle + 180 if angle < -90 else angle - 180 if angle > 90 else angle])


def clipped(box: np.ndarray, height: int, width: int, plus: int = 1) -> np.ndarray:
    """One box within an image; a rotated one if its angle is at most one degree."""
    last = np.array([width, height, width, height]) - plus
    if len(box) == 4:
        return np.clip(box, 0, last)
    if abs(box[4]) > 1:
        return box
    half = (box[2:4] - plus) / 2
    x1, y1, x2, y2 = np.clip(np.concatenate((box[:2] - half, box[:2] + half)), 0, last)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1 + plus, y2 - y1 + plus, box[4]])


def boxes(count: int, seed: int = 0, rotated: bool = False) -> np.ndarray:
    """Boxes in an image of 40 x 40 pixels, many of which overlap."""
    generator = np.random.default_rng(seed)
    corner, size = generator.uniform(0, 25, (count, 2)), generator.uniform(3, 15, (count, 2))
    found = (corner + size / 2, size, generator.uniform(-80, 80, (count, 1))) if rotated else (corner, corner + size)
    return np.concatenate(found, 1).astype(np.float32)
