"""HeatmapMaxKeypoint."""

from __future__ import annotations

import numpy as np

from tests.layers.operators.single import raises, reals, run


def expected(maps, boxes, softmax):
    size = maps.shape[2]
    found = np.zeros((len(maps), 4, maps.shape[1]))
    for n, k in np.ndindex(*maps.shape[:2]):
        heat = maps[n, k].astype(np.float64)
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        near = np.zeros((3, 3))
        for i, j in np.ndindex(3, 3):
            y, x = row + i - 1, column + j - 1
            y, x = (1 if p < 0 else size - 2 if p >= size else p for p in (y, x))
            near[i, j] = heat[y, x]
        slope = np.array([near[1, 2] - near[1, 0], near[2, 1] - near[0, 1]]) / 2
        mixed = (near[2, 2] - near[2, 0] - near[0, 2] + near[0, 0]) / 4
        curve = np.array(
            [[near[1, 0] - 2 * near[1, 1] + near[1, 2], mixed], [mixed, near[0, 1] - 2 * near[1, 1] + near[2, 1]]]
        )
        step, height = np.zeros(2), near[1, 1]
        if abs(np.linalg.det(curve)) >= 1e-4:
            step = np.linalg.solve(curve, -slope)
            step *= min(1.5 / abs(step).max(), 1) if abs(step).max() else 1
            height = near[1, 1] + slope @ step + step @ curve @ step / 2
        x1, y1, x2, y2 = boxes[n, :4]
        found[n, 0, k] = x1 + (0.5 + column + step[0]) * max(x2 - x1, 1) / size
        found[n, 1, k] = y1 + (0.5 + row + step[1]) * max(y2 - y1, 1) / size
        found[n, 2, k] = height
        found[n, 3, k] = np.exp(heat[row, column]) / np.exp(heat).sum() if softmax else 0
    return found


def test_the_highest_points():
    maps = reals(20, 4, 5, 5)
    maps[0, 0] = 1  # flat
    maps[1, :, 0, 0] = maps[2, :, 4, 2] = 9  # at the edge
    maps[3, 0] = 0.001 * maps[3, 0]  # almost flat
    boxes = np.random.default_rng(1).uniform(0, 20, (20, 4)).astype(np.float32)
    for softmax in (0, 1):
        found = run("HeatmapMaxKeypoint", maps, boxes, should_output_softmax=softmax)
        np.testing.assert_allclose(found, expected(maps, boxes, softmax), rtol=1e-3, atol=1e-3)


def test_more_numbers_of_a_box_and_no_boxes():
    maps = reals(2, 1, 2, 2)
    boxes = reals(2, 5)
    np.testing.assert_array_equal(
        run("HeatmapMaxKeypoint", maps, boxes), run("HeatmapMaxKeypoint", maps, boxes[:, :4].copy())
    )
    assert run("HeatmapMaxKeypoint", reals(0, 3, 4, 4), reals(0, 4)).shape == (0, 4, 3)


def test_it_refuses():
    for shape in ((2, 3, 4, 5), (2, 3, 1, 1)):
        with raises("E102", "square"):
            run("HeatmapMaxKeypoint", reals(*shape), reals(2, 4))
    for shape in ((3, 4), (2, 3)):
        with raises("E102", "one box per item"):
            run("HeatmapMaxKeypoint", reals(2, 3, 4, 4), reals(*shape))
