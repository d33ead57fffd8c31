import numpy as np
import pytest

from netc.ir.layer import Cost
from tests.layers.contract import raises
from tests.layers.harness import gradcheck
from tests.layers.operators.windows import columns, compute, frame, last, made, numbers

ARGUMENTS = {"kernel": 2, "kernel_w": 3, "stride": 2, "stride_w": 1, "dilation_h": 2, "pad": 1}


def expected(x):
    frames = [frame(x.shape[2], 2, 2, 2, 1, 1), frame(x.shape[3], 3, 1, 1, 1, 1)]
    found = np.nan_to_num(columns(x, (2, 3), frames, (2, 1), (2, 1)))
    return np.moveaxis(found, (-2, -1), (2, 3))


def test_columns():
    x = numbers(2, 3, 5, 6)
    taps = expected(x)
    n, c, kh, kw, *windows = taps.shape
    np.testing.assert_array_equal(compute("Im2Col", x, **ARGUMENTS), taps.reshape(n, c * kh * kw, *windows))
    nhwc = taps.transpose(0, 4, 5, 2, 3, 1).reshape(n, *windows, kh * kw * c)
    np.testing.assert_array_equal(compute("Im2Col", last(x), order="NHWC", **ARGUMENTS), nhwc)
    for order, shape in (("NCHW", (2, 3, 5, 6)), ("NHWC", (2, 5, 6, 3))):
        assert gradcheck(made("Im2Col", order=order, **ARGUMENTS), shape)


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
def test_the_sum_is_the_adjoint(order):
    x = numbers(2, 3, 5, 6) if order == "NCHW" else numbers(2, 5, 6, 3)
    y = compute("Im2Col", x, order=order, **ARGUMENTS)
    dy = numbers(*y.shape, seed=2)
    back = compute("Col2Im", dy, x, order=order, **ARGUMENTS)
    assert np.vdot(back, x) == pytest.approx(np.vdot(dy, y))
    layer = made("Col2Im", order=order, **ARGUMENTS)
    assert layer.cost((y.shape, x.shape), (x.shape,)) == Cost(operations=y.size)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({}, "E101", "`Im2Col` requires a kernel"),
        ({"kernel": 0}, "E103", "`kernel` is not positive"),
        ({"kernel": 2, "stride_h": 0}, "E103", "`stride` is not positive"),
        ({"kernel": 2, "pad": -1}, "E103", "`pad` is -1"),
    ],
)
def test_refused_arguments(arguments, code, text):
    with raises(code, text):
        made("Im2Col", **arguments)


def test_no_items():
    assert compute("Im2Col", numbers(0, 3, 5, 6), kernel=2).shape == (0, 12, 4, 5)


def test_refused_shapes():
    with raises("E102", "expected 4 axes"):
        made("Im2Col", kernel=2).infer(((1, 2, 3),), 1)
    with raises("E102", "a window of 3 does not fit into an input of 2"):
        made("Im2Col", kernel=3, pad=1).infer(((1, 2, 2, 3),), 1)
    with raises("E102", "expected the 32 elements of the windows"):
        made("Col2Im", kernel=2).infer(((1, 8, 2, 3), (1, 2, 3, 3)), 1)
