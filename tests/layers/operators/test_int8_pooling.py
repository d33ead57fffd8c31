"""Int8MaxPool, Int8AveragePool, and both with a rectifier."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.quantization import Quantization
from tests.layers.operators.int8 import X, check_nearest, integers, layer_of, reals_of, run
from tests.layers.operators.single import raises

Y = Quantization(0.02, 90)
OPTIONS = {"kernel": 3, "stride": 2, "pad": 1, "order": "NHWC"}


def windows(x, fill):
    """(n, oh, ow, 9, c): the elements of windows of 3 x 3 with stride 2 and a padding of 1."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill)
    rows, columns = range(0, x.shape[1] - 2, 2), range(0, x.shape[2] - 2, 2)
    parts = [[x[:, i : i + 3, j : j + 3].reshape(len(x), 9, -1) for j in columns] for i in rows]
    return np.array(parts).transpose(2, 0, 1, 3, 4)


@pytest.mark.parametrize("relu", ["", "Relu"])
def test_maxima(relu):
    x = integers(2, 6, 7, 3) // 2
    expected = windows(x, 0).max(3)
    expected = np.maximum(expected, X.zero_point) if relu else expected
    np.testing.assert_array_equal(run(f"Int8MaxPool{relu}", (x, X), y=X, **OPTIONS), expected)


@pytest.mark.parametrize("relu", ["", "Relu"])
def test_means(relu):
    x = integers(2, 6, 7, 3)
    found = run(f"Int8AveragePool{relu}", (x, X), y=Y, **OPTIONS)
    check_nearest(found, windows(reals_of(x, X), 0).mean(3), Y, Y.zero_point if relu else 0)


def test_means_of_whole_planes():
    x = integers(2, 6, 7, 3)
    found = run("Int8AveragePool", (x, X), y=Y, global_pooling=1, order="NHWC")
    check_nearest(found, reals_of(x, X).mean((1, 2), keepdims=True), Y)
    np.testing.assert_array_equal(
        run("Int8MaxPool", (x, X), y=X, global_pooling=1, order="NHWC"), x.max((1, 2), keepdims=True)
    )


def test_they_refuse():
    with raises("E103", "must be those of its input"):
        layer_of("Int8MaxPool", X, y=Y, **OPTIONS)
    with raises("E103", "only `order: NHWC`"):
        layer_of("Int8AveragePool", X, y=Y, kernel=2)
    with raises("E102", "4 axes"):
        run("Int8MaxPool", (integers(2, 6, 7), X), y=X, global_pooling=1, order="NHWC")
