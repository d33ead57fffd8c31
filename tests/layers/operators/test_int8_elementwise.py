"""Int8Add, Int8Sum, Int8Relu, Int8LeakyRelu, Int8Sigmoid, Int8Softmax."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.quantization import Quantization
from tests.layers.operators.int8 import W, X, check_nearest, integers, layer_of, reals_of, run
from tests.layers.operators.single import described, raises

UNIT = Quantization(1 / 256, 0)


@pytest.mark.parametrize("type", ["Int8Add", "Int8Sum", "Int8AddRelu", "Int8SumRelu"])
@pytest.mark.parametrize("y", [Quantization(0.04, 110), Quantization(0.5, 3), Quantization(0.02, 40)])
def test_sums(type, y):
    a, b = integers(40, 50), integers(40, 50, seed=1)
    found = run(type, (a, X), (b, W), y=y)
    lowest = y.zero_point if type.endswith("Relu") else 0
    check_nearest(found, reals_of(a, X) + reals_of(b, W), y, lowest)


def test_rectifiers():
    x = integers(2, 3, 5)
    np.testing.assert_array_equal(run("Int8Relu", (x, X), y=X), np.maximum(x, X.zero_point))
    real, y = reals_of(x, X), Quantization(0.04, 60)
    check_nearest(run("Int8LeakyRelu", (x, X), y=y, alpha=0.3), np.where(real < 0, 0.3 * real, real), y)


def test_sigmoid_and_softmax():
    x = integers(6, 4, 5)
    real = reals_of(x, Quantization(0.03, 120))
    check_nearest(run("Int8Sigmoid", (x, Quantization(0.03, 120)), y=UNIT), 1 / (1 + np.exp(-real)), UNIT)
    powers = np.exp(real.reshape(6, 20))
    found = run("Int8Softmax", (x, Quantization(0.03, 120)), y=UNIT)
    check_nearest(found.reshape(6, 20), powers / powers.sum(1, keepdims=True), UNIT)
    assert run("Int8Softmax", (integers(2, 1), X), y=UNIT).tolist() == [[255], [255]]
    assert run("Int8Softmax", (integers(0, 3), X), y=UNIT).shape == (0, 3)


def test_they_refuse():
    with raises("E102"):
        run("Int8Add", (integers(2, 3), X), (integers(3), W), y=X)
    with raises("E103", "1/1024 to 256"):
        layer_of("Int8Sum", X, W, y=Quantization(100.0, 0))
    with raises("E103", "must be those of its input"):
        layer_of("Int8Relu", X, y=W)
    with raises("E103", "between 0 and 1"):
        layer_of("Int8LeakyRelu", X, y=X, alpha=1.0)
    for y in (Quantization(1 / 128, 0), Quantization(1 / 256, 1)):
        with raises("E103", "must be 0"):
            layer_of("Int8Softmax", X, y=y)
    with raises("E107", "input 1 of `Int8Add` is not quantized"):
        layer_of("Int8Add", X, None, y=X)
    assert described("Int8Relu", 1).in_place_pairs == ((0, 0),)
