"""Clusters of rectangles, compared with the steps of OpenCV's groupRectangles, which OpenCV 5 lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.functions.group_rectangles import group_rectangles


def near(seed, count):
    """Rectangles around a few, some of them within others."""
    random = np.random.default_rng(seed)
    centers = np.array([[10, 10, 80, 90], [200, 40, 60, 60], [20, 20, 60, 60], [205, 45, 20, 20], [300, 300, 9, 9]])
    return (centers[random.integers(len(centers), size=count)] + random.integers(-3, 4, (count, 4))).astype(np.int64)


def similar(a, b, eps):
    delta = eps * (min(a[2], b[2]) + min(a[3], b[3])) * 0.5
    sides = ((one[0], one[1], one[0] + one[2], one[1] + one[3]) for one in (a, b))
    return all(abs(p - q) <= delta for p, q in zip(*sides))


def grouped(rectangles, threshold, eps):
    """The means of the clusters, and their sizes."""
    if threshold <= 0 or not rectangles:
        return [tuple(r) for r in rectangles], [1] * len(rectangles)
    clusters = []
    waiting = list(range(len(rectangles)))
    while waiting:
        members, front = [], [waiting.pop(0)]
        while front:
            members.append(front.pop())
            near = [i for i in waiting if similar(rectangles[members[-1]], rectangles[i], eps)]
            waiting = [i for i in waiting if i not in near]
            front += near
        clusters.append([rectangles[i] for i in members])
    means = [tuple(round(float(np.float32(sum(c)) * np.float32(1 / len(m)))) for c in zip(*m)) for m in clusters]
    sizes = [len(members) for members in clusters]
    kept = [i for i in range(len(means)) if sizes[i] > threshold and not within(i, means, sizes, threshold, eps)]
    return [means[i] for i in kept], [sizes[i] for i in kept]


def within(i, means, sizes, threshold, eps):
    x, y, w, h = means[i]
    for j, (left, top, width, height) in enumerate(means):
        dx, dy = round(width * eps), round(height * eps)
        inside = x >= left - dx and y >= top - dy and x + w <= left + width + dx and y + h <= top + height + dy
        if j != i and sizes[j] > threshold and inside and (sizes[j] > max(3, sizes[i]) or sizes[i] < 3):
            return True
    return False


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("threshold", "eps"), [(1, 0.05), (2, 0.2), (3, 0.02), (1, 0.5), (0, 0.2), (9, 0.3)])
def test_means_and_sizes(seed, threshold, eps):
    given = near(seed, 5 + 7 * seed)
    groups, weights = grouped(given.tolist(), threshold, eps)
    found, sizes = group_rectangles(torch.tensor(given), threshold, eps)
    assert [tuple(row) for row in found.tolist()] == groups
    assert sizes.tolist() == weights


def test_clusters_within_larger_ones_are_dropped():
    large, small = [[10, 10, 100, 100]] * 5, [[30, 30, 20, 20]] * 4
    for count, wanted in ((5, [5]), (4, [4, 4])):
        given = torch.tensor(small + large[:count])
        _, sizes = group_rectangles(given, 1, 0.2)
        assert sizes.tolist() == wanted
        assert grouped(given.tolist(), 1, 0.2)[1] == wanted


def test_nothing():
    found, sizes = group_rectangles(torch.zeros(0, 4, dtype=torch.int64), 2, 0.2)
    assert found.shape == (0, 4)
    assert sizes.shape == (0,)


def test_chains_are_one_cluster():
    given = torch.tensor([[i, i, 50, 50] for i in range(0, 400, 4)])
    found, sizes = group_rectangles(given[torch.randperm(100)], 1, 0.1)
    assert sizes.tolist() == [100]
    assert found.tolist() == [[198, 198, 50, 50]]
