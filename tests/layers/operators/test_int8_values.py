"""Int8Quantize, Int8Dequantize, Int8GivenTensorFill, Int8GivenIntTensorFill."""

from __future__ import annotations

import numpy as np

from netc.ir.quantization import Quantization
from tests.layers.operators import single
from tests.layers.operators.int8 import X, check_nearest, integers, layer_of, reals_of, run
from tests.layers.operators.single import raises


def test_real_numbers_and_back():
    x = np.random.default_rng(0).uniform(-4, 4, (3, 40)).astype(np.float32)
    q = run("Int8Quantize", (x, None), y=X)
    check_nearest(q, x, X)
    layer = single.described("Int8Dequantize", 1).quantized_by((X,))
    (y,) = single.computed(layer, single.tensors_of([q]), 1)
    np.testing.assert_allclose(y.numpy(), reals_of(q, X), rtol=1e-6)


def test_halves_are_rounded_to_even_and_bounds_kept():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1000, -1000], np.float32)
    found = run("Int8Quantize", (x, None), y=Quantization(1.0, 10))
    np.testing.assert_array_equal(found, [10, 12, 12, 10, 8, 255, 0])


def test_integers_of_the_file():
    x = integers(2, 3)
    found = single.run("Int8GivenTensorFill", shape=[2, 3], values=x.tobytes(), Y_scale=0.5, Y_zero_point=9)
    np.testing.assert_array_equal(found, x)
    layer = single.described("Int8GivenTensorFill", 0, shape=[2, 3], values=x.tobytes(), Y_scale=0.5, Y_zero_point=9)
    assert layer.quantization == Quantization(0.5, 9)
    numbers = single.run("Int8GivenIntTensorFill", shape=[3], values=[-7, 0, 90000], Y_scale=0.5)
    np.testing.assert_array_equal(numbers, np.array([-7, 0, 90000], np.int32))


def test_they_refuse():
    with raises("E105", "2 values for a blob of shape"):
        single.described("Int8GivenTensorFill", 0, shape=[3], values=b"ab")
    with raises("E103", "negative extent"):
        single.described("Int8GivenIntTensorFill", 0, shape=[-1], values=[1])
    with raises("E107", "is not quantized"):
        single.described("Int8Dequantize", 1).quantized_by((None,))
    with raises("E107", "is quantized"):
        single.described("Sqr", 1).quantized_by((X,))
    with raises("E107", "expected float32"):
        single.run("Int8Quantize", integers(3))
    with raises("E103", "must be positive"):
        layer_of("Int8Quantize", None, y=Quantization(0.0, 0))
    with raises("E103", "outside 0 to 255"):
        layer_of("Int8Quantize", None, y=Quantization(1.0, 256))
