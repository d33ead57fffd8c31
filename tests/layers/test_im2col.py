import itertools

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.im2col import Im2col
from tests.layers.case import PLANES, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, run

CASES = [
    Case(made("Im2col", (3, 2), (2, 1), (1, 0)), *PLANES),
]


def columns(x, kernel, stride, pad, dilation):
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    extents = [(e - d * (k - 1) - 1) // s + 1 for e, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    taps = list(itertools.product(*map(range, kernel)))
    top = np.zeros((x.shape[0], x.shape[1] * len(taps), *extents))
    for c, (number, tap) in itertools.product(range(x.shape[1]), enumerate(taps)):
        for place in itertools.product(*map(range, extents)):
            at = tuple(i * s + t * d for i, s, t, d in zip(place, stride, tap, dilation))
            top[(slice(None), c * len(taps) + number, *place)] = x[(slice(None), c, *at)]
    return top


@pytest.mark.parametrize(
    "windows",
    [
        ((3,), (2,), (1,), (2,)),
        ((3, 2), (2, 1), (1, 2), (1, 3)),
        ((2, 1, 3), (1, 2, 2), (1, 0, 1), (2, 1, 1)),
    ],
)
def test_forward(windows):
    x = values(2, 3, *(5, 6, 4)[: len(windows[0])]).numpy()
    np.testing.assert_array_equal(run(Im2col(*windows), x)[0], columns(x, *windows))


def test_several_batch_axes():
    x = values(2, 3, 4, 5, 6).numpy()
    (y,) = run(Im2col((3, 2), axis=-3), x)
    expected = columns(x.reshape(6, 4, 5, 6), (3, 2), (1, 1), (0, 0), (1, 1))
    np.testing.assert_array_equal(y, expected.reshape(2, 3, *expected.shape[1:]))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_backward_sizes_and_traces(axes):
    layer = Im2col((2,), (2,), (1,), (2,))
    assert gradcheck(layer, (2, 3, *(5, 6, 4)[:axes]))
    small, large = (values(2, 3, *(e + more for e in (5, 6, 4)[:axes])) for more in (0, 2))
    resizes(layer, (small,), (large,))
    traces(layer, small)


def test_file_cost_and_unknown_extents():
    layer = round_trip(
        "Im2col", kernel_h=3, kernel_w=2, stride=[2], pad_h=1, dilation=[2], axis=-3, force_nd_im2col=True
    )
    assert layer == Im2col((3, 2), (2,), (1, 0), (2,), -3, True)
    assert v1_name("Im2col") == "IM2COL"
    assert repr(layer.infer(((UNKNOWN, 4, 9, UNKNOWN),), 1)) == "((?, 24, 4, ?),)"
    assert layer.cost(((2, 4, 9, 8),), ((2, 24, 4, 3),)) == Cost()


def test_mismatches():
    with raises("E103", "`kernel_size` is 0"):
        layer_from("Im2col", kernel_size=[0])
    with raises("E103", "`stride` is 0"):
        layer_from("Im2col", kernel_size=[1], stride=[0])
    with raises("E103", "`dilation` is 0"):
        layer_from("Im2col", kernel_size=[1], dilation=[0])
    with raises("E101", "`kernel_size` is missing"):
        layer_from("Im2col").infer(((2, 3, 4),), 1)
    with raises("E102", "axis 5 of a bottom with 3 axes"):
        Im2col((1,), axis=5).infer(((2, 3, 4),), 1)
    with raises("E102", "no spatial axis after axis 2 of a bottom with 3 axes"):
        Im2col((1,), axis=-1).infer(((2, 3, 4),), 1)
    with raises("E102", "kernel of 7 does not fit an input of 4 with padding 1"):
        Im2col((4,), pad=(1,), dilation=(2,)).infer(((2, 3, 4),), 1)
