"""Int8Reshape, Int8Flatten, Int8Slice, Int8ResizeNearest, Int8ChannelShuffle, Int8Concat."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.int8 import W, X, integers, layer_of, run
from tests.layers.operators.single import described, ints, raises

DATA = integers(2, 3, 4, 6)


def test_shapes():
    y, old = run("Int8Reshape", (DATA, X), y=X, outputs=2, shape=[0, -1])
    np.testing.assert_array_equal(y, DATA.reshape(2, 72))
    np.testing.assert_array_equal(old, DATA.shape)
    y, _ = run("Int8Reshape", (DATA, X), (ints(6, 24), None), y=X, outputs=2)
    np.testing.assert_array_equal(y, DATA.reshape(6, 24))
    np.testing.assert_array_equal(run("Int8Flatten", (DATA, X), y=X, axis=2), DATA.reshape(6, 24))


def test_regions():
    found = run("Int8Slice", (DATA, X), y=X, starts=[0, 1, 0, 0], ends=[-1, 3, -1, -1])
    np.testing.assert_array_equal(found, DATA[:, 1:3])
    found = run("Int8Slice", (DATA, X), (ints(0, 0, 0, 2), None), (ints(-1, -1, -1, 5), None), y=X)
    np.testing.assert_array_equal(found, DATA[..., 2:5])


def test_planes():
    found = run("Int8ResizeNearest", (DATA, X), y=X, height_scale=2.0, width_scale=1.5)
    rows, columns = np.arange(6) // 2, (np.arange(6) / 1.5).astype(int)
    np.testing.assert_array_equal(found, DATA[:, rows][:, :, columns])
    found = run("Int8ChannelShuffle", (DATA, X), y=X, group=3, order="NHWC")
    np.testing.assert_array_equal(found, DATA.reshape(2, 3, 4, 3, 2).swapaxes(3, 4).reshape(DATA.shape))


@pytest.mark.parametrize(("arguments", "axis"), [({}, 0), ({"order": "NHWC"}, 3), ({"axis": 2, "order": "NHWC"}, 2)])
def test_joined(arguments, axis):
    other = integers(2, 3, 4, 6, seed=1).take(range(2), axis)
    found, extents = run("Int8Concat", (DATA, X), (other, X), y=X, outputs=2, **arguments)
    np.testing.assert_array_equal(found, np.concatenate((DATA, other), axis))
    np.testing.assert_array_equal(extents, [DATA.shape[axis], 2])


def test_they_refuse():
    for type, arguments in (("Int8Flatten", {}), ("Int8Concat", {}), ("Int8ResizeNearest", {"width_scale": 2.0})):
        with raises("E103", "must be those of its input"):
            layer_of(type, X, y=W, **arguments)
    with raises("E020", "1 input, got 2"):
        described("Int8Flatten", 2)
    with raises("E102"):
        run("Int8Reshape", (DATA, X), y=X, outputs=2, shape=[5, -1])
    with raises("E101", "starts"):
        layer_of("Int8Slice", X, y=X)
