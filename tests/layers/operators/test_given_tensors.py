"""GivenTensorFill and its variants, and blobs of strings."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import Source
from tests.layers.operators.single import described, ints, raises, reals, run

VARIANTS = [
    ("GivenTensorFill", [1.5, -2.0], "float32"),
    ("GivenTensorDoubleFill", [1.5, -2.0], "float64"),
    ("GivenTensorIntFill", [1, -2], "int32"),
    ("GivenTensorInt64Fill", [1, -(2**40)], "int64"),
    ("GivenTensorInt16Fill", [1, -2], "int16"),
    ("GivenTensorBoolFill", [1, 0], "bool"),
    ("GivenTensorByteStringToUInt8Fill", [b"\x00\xff"], "uint8"),
]
EXPECTED = {"uint8": [0, 255], "bool": [True, False]}


@pytest.mark.parametrize(("type", "values", "dtype"), VARIANTS)
def test_values_in_each_type_and_shape(type, values, dtype):
    expected = np.array(EXPECTED.get(dtype, values), dtype)
    for inputs, arguments, shape in (
        ((), {"shape": [2, 1]}, (2, 1)),
        ((reals(1, 2),), {}, (1, 2)),
        ((reals(1),), {"extra_shape": [2]}, (1, 2)),
        ((ints(2, dtype=np.int64),), {"input_as_shape": 1}, (2,)),
    ):
        found = run(type, *inputs, values=values, **arguments)
        np.testing.assert_array_equal(found, expected.reshape(shape))
        assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (1, [0.5], "float32"),
        (13, [0.5], "float64"),
        (2, [3], "int32"),
        ("int64", [3], "int64"),
        (5, [1], "bool"),
        (8, [3], "uint16"),
    ],
)
def test_the_type_of_given_tensor_fill_is_an_argument(dtype, values, expected):
    found = run("GivenTensorFill", shape=[1], values=values, dtype=dtype)
    assert found.dtype == expected
    assert found.tolist() == values


def test_other_variants_ignore_the_type():
    assert run("GivenTensorIntFill", shape=[1], values=[3], dtype=1).dtype == np.int32


def test_what_is_refused():
    with raises("E105", "expected 3"):
        described("GivenTensorFill", 0, shape=[3], values=[1.0, 2.0])
    with raises("E105", "expected 3"):
        run("GivenTensorFill", reals(3), values=[1.0, 2.0])
    with raises("E105", "expected 3"):
        run("GivenTensorFill", ints(3, dtype=np.int64), values=[1.0, 2.0], input_as_shape=1)
    with raises("E105", "2 strings"):
        described("GivenTensorByteStringToUInt8Fill", 0, shape=[2], values=[b"a", b"b"])
    with raises("E006", "list of integers, expected a list of floats"):
        described("GivenTensorFill", 0, shape=[1], values=[1])
    for type, value in (("GivenTensorIntFill", 1 << 31), ("GivenTensorInt16Fill", -(1 << 15) - 1)):
        with raises("E103", "not a value of type"):
            described(type, 0, shape=[1], values=[value])
    for dtype in (0, 6, 12, "half"):
        with raises("E103", "not a type it supports"):
            described("GivenTensorFill", 0, shape=[1], values=[1.0], dtype=dtype)
    with raises("E103", "not a type it supports"):
        described("GivenTensorByteStringToUInt8Fill", 0, shape=[1], values=[b"a"], dtype=1)


STRINGS = """
    op { type: "GivenTensorStringFill" output: "words" arg { name: "shape" ints: 2 ints: 1 }
         arg { name: "values" strings: "cat" strings: "\\377\\000" } }
    op { type: "ConstantFill" output: "filled" arg { name: "shape" ints: 2 }
         arg { name: "value" s: "dog" } arg { name: "dtype" i: 4 } }
    op { type: "Sqr" input: "x" output: "y" }
"""


def test_run_returns_strings_as_bytes():
    net = netc.load(Source("net.pbtxt", STRINGS))
    found = net.run({"x": np.float32(3)}, ["words", "y", "filled"])
    assert list(found) == ["words", "y", "filled"]
    assert found["words"].tolist() == [[b"cat"], [b"\xff\x00"]]
    assert found["filled"].tolist() == [b"dog", b"dog"]
    assert found["y"] == 9
    assert set(net.run({"x": np.float32(3)})) == {"words", "filled", "y"}


def test_tensors_do_not_hold_strings():
    import torch

    with raises("E302", "do not hold strings"):
        netc.load(Source("net.pbtxt", STRINGS))(x=torch.ones(1))
    text = STRINGS + 'op { type: "Copy" input: "words" output: "copy" }'
    with raises("E302", "do not hold strings"):
        netc.load(Source("net.pbtxt", text)).run({"x": np.float32(3)}, ["copy"])
    with raises("E302", "do not hold strings"):
        run("GivenTensorStringFill", reals(1), values=[b"a"])


def test_an_init_net_may_fill_strings(tmp_path):
    weights = (
        STRINGS.replace('op { type: "Sqr" input: "x" output: "y" }', "")
        + """
        op { type: "ConstantFill" output: "w" arg { name: "shape" ints: 2 } arg { name: "value" f: 2 } }
    """
    )
    (tmp_path / "init_net.pbtxt").write_text(weights)
    net = 'op { type: "ResizeLike" input: "w" input: "x" output: "y" } external_input: "x" external_input: "w"'
    (tmp_path / "net.pbtxt").write_text(net)
    found = netc.load(tmp_path / "net.pbtxt", weights=tmp_path / "init_net.pbtxt").run({"x": reals(2, 1)}, ["y"])
    assert found["y"].tolist() == [[2], [2]]
