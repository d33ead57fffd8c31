"""Loops over cells and truths in float64, as darknet and its ports are written; tests compare with them."""

from __future__ import annotations

import numpy as np


def logistic(x):
    return 1 / (1 + np.exp(-x))


def overlap(a, b):
    """Intersection over union of (x, y, width, height)."""
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    common = 0 if w < 0 or h < 0 else w * h
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def enclosing(a, b):
    w = max(a[0] + a[2] / 2, b[0] + b[2] / 2) - min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = max(a[1] + a[3] / 2, b[1] + b[3] / 2) - min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    return w * h


def general_overlap(a, b):
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    union = a[2] * a[3] + b[2] * b[3] - (0 if w < 0 or h < 0 else w * h)
    outer = enclosing(a, b)
    return overlap(a, b) - (outer - union) / outer


def truths_of(labels):
    """The lists of truths of a batch, each up to its first 0."""
    for rows in labels.reshape(len(labels), -1, 5):
        listed = []
        for row in rows:
            if row[1] == 0:
                break
            listed.append((int(row[0]), tuple(row[1:])))
        yield listed


def side_slopes(box, truth, general):
    """The derivatives of the overlap at the top, bottom, left and right side, from darknet's partial derivatives."""
    top, bottom = box[1] - box[3] / 2, box[1] + box[3] / 2
    left, right = box[0] - box[2] / 2, box[0] + box[2] / 2
    t, b = truth[1] - truth[3] / 2, truth[1] + truth[3] / 2
    lft, r = truth[0] - truth[2] / 2, truth[0] + truth[2] / 2
    h, w = min(bottom, b) - max(top, t), min(right, r) - max(left, lft)
    common = h * w
    union = box[2] * box[3] + truth[2] * truth[3] - common
    area = np.array([-(right - left), right - left, -(bottom - top), bottom - top])
    inner = np.array([-w * (top > t), w * (bottom < b), -h * (left > lft), h * (right < r)])
    united = area - inner
    slopes = (union * inner - common * united) / union**2
    if general:
        wide, high = max(right, r) - min(left, lft), max(bottom, b) - min(top, t)
        outer = np.array([-wide * (top < t), wide * (bottom > b), -high * (left < lft), high * (right > r)])
        whole = wide * high
        slopes += (whole * united - union * outer) / whole**2
    return slopes


class Cell:
    """One box of one cell: its activated numbers, and where its deltas go."""

    def __init__(self, values, delta, anchor, column, row, grid):
        self.values, self.delta, self.anchor = values, delta, anchor
        self.column, self.row, self.grid = column, row, grid

    def box(self, x, y, w, h):
        """The box that four channels describe; anchors are fractions of the image."""
        v, (columns, rows) = self.values, self.grid
        width, height = np.exp(v[w]) * self.anchor[0], np.exp(v[h]) * self.anchor[1]
        return (self.column + v[x]) / columns, (self.row + v[y]) / rows, width, height

    def target(self, truth):
        columns, rows = self.grid
        place = truth[0] * columns - self.column, truth[1] * rows - self.row
        return np.array([*place, np.log(truth[2] / self.anchor[0]), np.log(truth[3] / self.anchor[1])])
