"""ConstantFill, Float16ConstantFill, RangeFill, DiagonalFill, and where the shape of a filler comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import Source
from netc.ir.dims import UNKNOWN
from tests.layers.operators.single import described, ints, raises, reals, run

TYPES = {
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


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"value": 0.5}, np.float32(0.5)),
        ({"value": 7}, np.int64(7)),
        ({}, np.float32(0)),
        ({"value": 2.5, "dtype": 13}, np.float64(2.5)),
        ({"dtype": 10}, np.int64(0)),
        ({"value": 2, "dtype": 5}, np.True_),
        *(({"value": 100, "dtype": d}, np.dtype(TYPES[d]).type(100)) for d in (2, 6, 7, 8, 9, 10)),
    ],
)
def test_the_type_follows_from_the_arguments(arguments, expected):
    found = run("ConstantFill", shape=[2, 3], **arguments)
    np.testing.assert_array_equal(found, np.full((2, 3), expected))
    assert found.dtype == expected.dtype


def test_values_that_do_not_fit_the_type():
    with raises("E006", "integer, expected a float"):
        described("ConstantFill", 0, shape=[1], value=1, dtype=1)
    with raises("E006", "float, expected an integer"):
        described("ConstantFill", 0, shape=[1], value=1.0, dtype=2)
    for dtype, value in ((6, 256), (7, 128), (8, -1), (9, 1 << 15), (2, 1 << 31)):
        with raises("E103", "not a value of type"):
            described("ConstantFill", 0, shape=[1], value=value, dtype=dtype)
    for dtype in (0, 3, 12, 99):
        with raises("E103", "not a type it supports"):
            described("ConstantFill", 0, shape=[1], dtype=dtype)
    with raises("E103", "not a number"):
        described("ConstantFill", 0, shape=[1], value="text")
    with raises("E006", "string, expected an integer"):
        described("ConstantFill", 0, shape=[1], dtype="float")


FILLERS = ["ConstantFill", "RangeFill", "UniformFill", "UniformIntFill", "GaussianFill", "XavierFill", "MSRAFill"]


@pytest.mark.parametrize("type", FILLERS)
def test_where_the_shape_comes_from(type):
    assert run(type, shape=[2, 3]).shape == (2, 3)
    assert run(type, shape=[0, 3]).shape == (0, 3)
    assert run(type, reals(2, 3)).shape == (2, 3)
    assert run(type, ints(1, 2), extra_shape=[4]).shape == (2, 4)
    shape = ints(2, 5, dtype=np.int64)
    assert run(type, shape, input_as_shape=1).shape == (2, 5)
    assert run(type, shape, input_as_shape=1, extra_shape=[1, 3]).shape == (2, 5, 1, 3)


@pytest.mark.parametrize("type", FILLERS)
def test_shapes_that_are_refused(type):
    with raises("E101", "as well"):
        described(type, 1, shape=[2])
    with raises("E101", "extends"):
        described(type, 0, shape=[2], extra_shape=[3])
    with raises("E101", "requires an input"):
        described(type, 0, shape=[2], input_as_shape=1)
    with raises("E006", "list of integers"):
        described(type, 0, shape=3)
    with raises("E103", "negative extent"):
        described(type, 0, shape=[-1, 2])
    with raises("E301", "negative extent"):
        run(type, ints(2, -5, dtype=np.int64), input_as_shape=1)
    with raises("E102", "1 axes"):
        run(type, ints(2, dtype=np.int64).reshape(1, 1), input_as_shape=1)
    with raises("E102", "no extents"):
        run(type, ints(dtype=np.int64), input_as_shape=1)
    with raises("E107"):
        run(type, ints(2, 3), input_as_shape=1)


def test_unknown_extents():
    layer = described("ConstantFill", 1, input_as_shape=1, extra_shape=[3])
    assert layer.infer(((2,),), 1) == ((UNKNOWN, UNKNOWN, 3),)
    assert layer.infer(((UNKNOWN,),), 1) == (None,)
    assert described("ConstantFill", 1).infer(((UNKNOWN, 2),), 1) == ((UNKNOWN, 2),)


def test_scalars_and_ranges():
    assert run("ConstantFill", shape=[], value=3.0).shape == ()
    np.testing.assert_array_equal(run("RangeFill", shape=[2, 3]), np.arange(6, dtype=np.float32).reshape(2, 3))
    half = run("Float16ConstantFill", shape=[3], value=0.1)
    np.testing.assert_array_equal(half, np.full(3, 0.1, np.float16))
    assert half.dtype == np.float16


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (9, 3), (1, 5), (3, 3, 3), (2, 2, 2, 2), (0, 3)])
def test_the_diagonal(shape):
    expected = np.zeros(shape)
    if expected.size:
        np.fill_diagonal(expected, 2.0, wrap=True)
    np.testing.assert_array_equal(run("DiagonalFill", shape=list(shape), value=2.0), expected)
    found = run("DiagonalFill", ints(*shape, dtype=np.int64), input_as_shape=1, value=2)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64


def test_no_diagonal():
    with raises("E102", "at least 2 axes"):
        run("DiagonalFill", shape=[3])
    with raises("E102", "equal extents"):
        run("DiagonalFill", shape=[3, 3, 4])
    with raises("E102", "equal extents"):
        run("DiagonalFill", ints(3, 3, 4, dtype=np.int64), input_as_shape=1)


def test_a_fill_has_the_precision_and_the_device_of_its_net():
    text = """
        op { type: "ConstantFill" output: "w" arg { name: "shape" ints: 2 ints: 3 } arg { name: "value" f: 0.1 } }
        op { type: "GivenTensorFill" output: "b" arg { name: "shape" ints: 2 } arg { name: "values" floats: [1, 2] } }
        op { type: "FC" input: "x" input: "w" input: "b" output: "y" }
        op { type: "ConstantFill" output: "n" arg { name: "shape" ints: 2 } arg { name: "value" i: 1 } }
    """
    net = netc.load(Source("net.pbtxt", text)).double()
    x = torch.full((1, 3), 0.1, dtype=torch.float64)
    found = net.evaluate({"x": x}, ["y", "n"])
    assert found["y"].dtype == torch.float64
    assert found["n"].dtype == torch.int64
    assert not net.state_dict()
    assert {t.device.type for t in net.to("meta").evaluate({"x": x.to("meta")}, ["y", "n"]).values()} == {"meta"}
