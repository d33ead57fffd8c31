"""RMACRegions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import raises, reals, run


def expected(n, height, width, scales, overlap):
    """The grid of the paper's code."""
    shorter, steps = min(height, width), [1, 2, 3, 4, 5, 6]
    between = [(max(height, width) - shorter) / step for step in steps]
    errors = [abs((shorter**2 - shorter * b) / shorter**2 - overlap) for b in between]
    more = steps[int(np.argmin(errors))] if height != width else 0
    columns, rows = (more if width > height else 0), (more if height > width else 0)
    found = []
    for scale in range(1, scales + 1):
        side = 2 * shorter // (scale + 1)
        if side == 0:
            break
        x = np.linspace(0, width - side, scale + columns) if scale + columns > 1 else [0]
        y = np.linspace(0, height - side, scale + rows) if scale + rows > 1 else [0]
        found += [
            (int(a + 1e-6), int(b + 1e-6), int(a + 1e-6) + side - 1, int(b + 1e-6) + side - 1) for a in x for b in y
        ]
    return [(image, *region) for image in range(n) for region in found]


@pytest.mark.parametrize(("height", "width"), [(6, 8), (9, 4), (5, 5), (1, 1), (7, 30)])
@pytest.mark.parametrize(("scales", "overlap"), [(3, 0.4), (1, 0.1), (5, 0.8)])
def test_a_grid_at_each_scale(height, width, scales, overlap):
    found = run("RMACRegions", reals(2, 3, height, width), scales=scales, overlap=overlap)
    np.testing.assert_array_equal(found, expected(2, height, width, scales, overlap))


def test_what_is_empty_and_what_is_refused():
    assert run("RMACRegions", reals(0, 3, 4, 5)).shape == (0, 5)
    with raises("E102", "4 axes"):
        run("RMACRegions", reals(3, 4, 5))
