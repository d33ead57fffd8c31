"""Reshape, Flatten, FlattenToVec, ResizeLike, ExpandDims, Squeeze, MergeDim, PrependDim."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(2, 3, 4)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [([4, 6], (4, 6)), ([0, -1], (2, 12)), ([-1], (24,)), ([0, 0, 2, -1], (2, 3, 2, 2)), ([3, 0, -1], None)],
)
def test_extents_of_0_and_minus_1(shape, expected):
    expected = expected or np.zeros((3, 3, 0)).shape
    if 0 in expected:
        with raises("E102", "do not fit"):
            run("Reshape", X, outputs=2, shape=shape)
        return
    for blob in (None, np.int32, np.int64):
        inputs, arguments = ((X,), {"shape": shape}) if blob is None else ((X, np.array(shape, blob)), {})
        found, old = run("Reshape", *inputs, outputs=2, **arguments)
        np.testing.assert_array_equal(found, X.reshape(expected))
        assert old.tolist() == [2, 3, 4]
        assert old.dtype == (blob or np.int64)


def test_a_scalar_has_an_empty_shape():
    assert run("Reshape", reals(1, 1), outputs=2, shape=[])[0].shape == ()
    assert run("Reshape", reals(1, 1), ints(dtype=np.int64), outputs=2)[0].shape == ()


def test_unknown_extents():
    layer = described("Reshape", 1, 2, shape=[0, -1])
    assert layer.infer(((UNKNOWN, 3, 4),), 2) == ((UNKNOWN, 12), (3,))
    layer = described("Reshape", 2, 2)
    assert layer.infer(((2, 3), (UNKNOWN,)), 2) == (None, (2,))
    assert layer.infer(((2, 3), (3,)), 2) == ((UNKNOWN,) * 3, (2,))


def test_reshape_refuses():
    with raises("E103", "more than one"):
        run("Reshape", X, outputs=2, shape=[-1, -1])
    with raises("E103", "below -1"):
        run("Reshape", X, outputs=2, shape=[-2, 12])
    with raises("E102", "24 elements"):
        run("Reshape", X, outputs=2, shape=[5, 5])
    with raises("E102", "24 elements"):
        run("Reshape", X, outputs=2, shape=[5, -1])
    with raises("E102", "lacks"):
        run("Reshape", X, outputs=2, shape=[2, 3, 4, 0])
    with raises("E102", "0 elements"):
        run("Reshape", reals(0, 3), outputs=2, shape=[0, -1])
    with raises("E101", "requires"):
        described("Reshape", 1, 2)
    with raises("E101", "as well"):
        described("Reshape", 2, 2, shape=[1])
    with raises("E107"):
        run("Reshape", X, reals(1), outputs=2)
    with raises("E102", "1 axes"):
        run("Reshape", X, ints(4, 6).reshape(1, 2), outputs=2)


@pytest.mark.parametrize(("axis", "shape"), [(0, (1, 24)), (1, (2, 12)), (2, (6, 4)), (3, (24, 1))])
def test_flatten(axis, shape):
    np.testing.assert_array_equal(run("Flatten", X, axis=axis), X.reshape(shape))
    (found,) = gradients("Flatten", X, upstream=[X], axis=axis)
    np.testing.assert_array_equal(found, X)


def test_flatten_refuses():
    for axis in (-1, 4):
        with raises("E103", "out of range"):
            run("Flatten", X, axis=axis)
    with raises("E102", "scalar"):
        run("FlattenToVec", np.float32(1))


def test_vectors_and_shapes_of_other_blobs():
    np.testing.assert_array_equal(run("FlattenToVec", X), X.ravel())
    assert run("FlattenToVec", reals(0, 3)).shape == (0,)
    np.testing.assert_array_equal(run("ResizeLike", X, ints(*range(24)).reshape(6, 4)), X.reshape(6, 4))
    with raises("E102", "numbers of elements"):
        run("ResizeLike", X, reals(5, 5))


@pytest.mark.parametrize(
    ("dims", "shape"),
    [([0], (1, 2, 3, 4)), ([3, 1], (2, 1, 3, 1, 4)), ([3, 4], (2, 3, 4, 1, 1)), ([1, 1], (2, 1, 3, 4))],
)
def test_axes_come_and_go(dims, shape):
    np.testing.assert_array_equal(run("ExpandDims", X, dims=dims), X.reshape(shape))
    np.testing.assert_array_equal(run("Squeeze", X.reshape(shape), dims=dims), X)


def test_axes_that_are_not_there():
    with raises("E103", "out of range"):
        run("ExpandDims", X, dims=[4])
    with raises("E103", "out of range"):
        run("Squeeze", X, dims=[3])
    with raises("E102", "extent 3, expected 1"):
        run("Squeeze", X, dims=[1])
    for type in ("ExpandDims", "Squeeze"):
        with raises("E101", "requires"):
            described(type, 1)
        with raises("E103", "negative"):
            described(type, 1, dims=[-1])


def test_the_first_axis_is_joined_and_split():
    np.testing.assert_array_equal(run("MergeDim", X), X.reshape(6, 4))
    np.testing.assert_array_equal(run("PrependDim", X, dim_size=2), X.reshape(2, 1, 3, 4))
    with raises("E102", "at least 2 axes"):
        run("MergeDim", reals(3))
    with raises("E102", "multiple"):
        run("PrependDim", X, dim_size=3)
    with raises("E103", "positive"):
        described("PrependDim", 1)
