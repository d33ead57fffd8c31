"""Copy and its like, StopGradient, Cast, FloatToHalf, HalfToFloat, Shape, Size."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(2, 3)


@pytest.mark.parametrize(
    "type", ["Copy", "Alias", "CopyFromCPUInput", "EnsureCPUOutput", "CopyCPUToGPU", "CopyGPUToCPU", "EnsureDense"]
)
def test_copies(type):
    for x in (X, ints(1, 2), np.array([True])):
        found = run(type, x)
        np.testing.assert_array_equal(found, x)
        assert found.dtype == x.dtype
    np.testing.assert_array_equal(gradients(type, X, upstream=[X])[0], X)


def test_the_device_of_another_blob():
    np.testing.assert_array_equal(run("CopyOnDeviceLike", X, ints(1)), X)
    np.testing.assert_array_equal(run("StopGradient", X), X)
    with raises("E102", "scalar"):
        run("EnsureDense", X[0, 0])


def test_stop_gradient_has_none():
    (layer,) = (described("StopGradient", 1),)
    assert layer.no_gradient == (0,)
    import torch

    x = torch.ones(2, requires_grad=True)
    assert not layer.forward([x], [], None).requires_grad


NUMBERS = {
    1: "float32",
    2: "int32",
    5: "bool",
    6: "uint8",
    7: "int8",
    8: "uint16",
    9: "int16",
    10: "int64",
    13: "float64",
}
NAMES = {"float": "float32", "INT32": "int32", "Bool": "bool", "uint8": "uint8", "double": "float64", "INT64": "int64"}


@pytest.mark.parametrize(("to", "dtype"), [*NUMBERS.items(), *NAMES.items()])
def test_cast(to, dtype):
    for x in (
        np.array([0, 1.9, 2, 100.5], np.float32),
        np.array([0, 1.9, 2], np.float64),
        ints(0, 3),
        np.array([True]),
    ):
        found = run("Cast", x, to=to)
        np.testing.assert_array_equal(found, x.astype(dtype))
        assert found.dtype == dtype


def test_cast_truncates():
    assert run("Cast", np.array([-1.7, -0.2, 0.9], np.float32), to=2).tolist() == [-1, 0, 0]
    assert run("Cast", X).dtype == np.float32


def test_cast_refuses():
    for to in (0, 3, 4, 12, 99, "half", "string"):
        with raises("E103", "not a type it supports"):
            described("Cast", 1, to=to)
    with raises("E107"):
        run("Cast", X.astype(np.float16), to=1)


def test_half():
    x = np.array([0.1, 65519, 65520, -1e9, 2**-25, np.nan], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(run("FloatToHalf", x), x.astype(np.float16))
    assert run("FloatToHalf", x, clip=1)[2:4].tolist() == [65504, -65504]
    np.testing.assert_array_equal(run("HalfToFloat", x[:1].astype(np.float16)), x[:1].astype(np.float16))
    with raises("E107"):
        run("HalfToFloat", x)
    with raises("E107"):
        run("FloatToHalf", ints(1))


def test_shape_and_size():
    assert run("Shape", X).tolist() == [2, 3]
    assert run("Shape", X, axes=[1]).tolist() == [3]
    assert run("Shape", X[0, 0]).shape == (0,)
    assert run("Size", X) == 6
    assert run("Size", reals(0, 3)) == 0
    for axis in (-1, 2):
        with raises("E103", "out of range"):
            run("Shape", X, axes=[axis])
