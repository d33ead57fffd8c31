"""Nets of Int8 operators: scales go from operator to operator, and from the init net to the predict net."""

from __future__ import annotations

import numpy as np
import pytest

import netc

QUANTIZE = """
op { type: "Int8Quantize" input: "data" output: "x"
     arg { name: "Y_scale" f: 0.5 } arg { name: "Y_zero_point" i: 10 } }
"""
FILL = """
op { type: "Int8GivenTensorFill" output: "w" arg { name: "shape" ints: 1 ints: 2 } arg { name: "values" s: "ac" }
     arg { name: "Y_scale" f: 1 } arg { name: "Y_zero_point" i: 96 } }
op { type: "Int8GivenIntTensorFill" output: "b" arg { name: "shape" ints: 1 } arg { name: "values" ints: 8 }
     arg { name: "Y_scale" f: 0.5 } }
"""
PRODUCT = """
op { type: "Int8FC" input: "x" input: "w" input: "b" output: "z" arg { name: "Y_scale" f: 2 } }
op { type: "Int8Dequantize" input: "z" output: "y" }
"""
DECLARED = 'external_input: "data" external_input: "w" external_input: "b" external_output: "y"\n'
DATA = np.array([[2, 5], [1, 100]], np.float32)


def run(text, tmp_path, init=None):
    (tmp_path / "net.pbtxt").write_text(text)
    weights = None
    if init is not None:
        weights = tmp_path / "init.pbtxt"
        weights.write_text(init)
    return netc.load(tmp_path / "net.pbtxt", weights=weights).run({"data": DATA}, ["z", "y"])


def test_one_net(tmp_path):
    found = run(QUANTIZE + FILL + PRODUCT, tmp_path)
    np.testing.assert_array_equal(found["z"], [[11], [153]])
    np.testing.assert_array_equal(found["y"], [[22], [306]])  # of 21 and 305, in units of 2: halves are rounded up


def test_weights_of_an_init_net(tmp_path):
    found = run(QUANTIZE + PRODUCT + DECLARED, tmp_path, init=FILL)
    np.testing.assert_array_equal(found["y"], [[22], [306]])


def test_a_scale_that_is_unknown(tmp_path):
    with pytest.raises(netc.NetcError, match="input 1 of `Int8FC` is not quantized") as error:
        run(QUANTIZE + PRODUCT + DECLARED, tmp_path)
    assert error.value.diagnostics[0].span.line == 5


def test_an_operator_of_real_numbers_reads_no_quantized_blob(tmp_path):
    with pytest.raises(netc.NetcError, match="input 0 of `Copy` is quantized"):
        run(QUANTIZE + 'op { type: "Copy" input: "x" output: "z" }', tmp_path)
