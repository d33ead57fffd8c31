import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.pooling import Pooling
from netc.layers.spatial_pyramid import SPP
from tests.layers.case import PLANES, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, run

CASES = [
    Case(made("SPP", 2), *PLANES),
]


def bins(extent, count):
    """Elements of each bin: non-overlapping windows over a plane with the padding before it."""
    kernel = -(-extent // count)
    pad = (kernel * count - extent + 1) // 2
    return [range(max(i * kernel - pad, 0), min((i + 1) * kernel - pad, extent)) for i in range(count)]


@pytest.mark.parametrize("plane", [(8, 12), (7, 13), (9, 10)])
def test_forward(plane):
    x = values(2, 3, *plane).numpy()
    levels = [
        np.stack([x[:, :, h][..., w].max((2, 3)) for h in bins(plane[0], n) for w in bins(plane[1], n)], -1)
        for n in (1, 2, 4)
    ]
    expected = np.concatenate([level.reshape(2, -1) for level in levels], 1)
    np.testing.assert_array_equal(run(SPP(3), x)[0], expected)
    (single,) = run(SPP(1), x)
    np.testing.assert_array_equal(single, x.max((2, 3), keepdims=True))


def test_means_divide_by_the_padded_window():
    x = values(2, 3, 7, 5).numpy()
    (y,) = run(SPP(2, "AVE"), x)
    np.testing.assert_allclose(y[:, :3], x.mean((2, 3)), rtol=1e-12)
    (quarters,) = run(Pooling("AVE", (4, 3), (4, 3), (1, 1)), x)
    np.testing.assert_array_equal(y[:, 3:], quarters.reshape(2, -1))


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_backward_sizes_and_traces(pool):
    assert gradcheck(SPP(2, pool), (2, 3, 5, 6))
    resizes(SPP(3, pool), (values(2, 3, 7, 8),), (values(4, 3, 12, 9),))
    traces(SPP(2, pool), values(2, 3, 7, 8))


def test_stochastic_in_test_weighs_by_value():
    x = values(2, 3, 4, 8).abs().numpy()
    (y,) = run(SPP(2, "STOCHASTIC"), x)
    np.testing.assert_allclose(y[:, :3], (x**2).sum((2, 3)) / x.sum((2, 3)), rtol=1e-12)


def test_file_names_cost_and_unknown_extents():
    assert round_trip("SPP", pyramid_height=3, pool="AVE") == SPP(3, "AVE")
    assert v1_name("SPP") is None
    assert SPP(3).cost(((2, 5, 8, 9),), ((2, 105),)) == Cost(0, 720 * 3)
    assert repr(SPP(3).infer(((UNKNOWN, 5, UNKNOWN, 9),), 1)) == "((?, 105),)"
    assert SPP(1).infer(((2, 5, 8, 9),), 1) == ((2, 5, 1, 1),)


@pytest.mark.parametrize(
    ("text", "layer", "bottom"),
    [
        ("`SPP` expects a bottom with 4 axes .n, c, h, w., got 3", SPP(2), (2, 3, 4)),
        ("a plane without elements", SPP(2), (2, 3, 0, 4)),
        ("4 bins of a plane of 5: padding of 2 is not less than the kernel of 2", SPP(3), (2, 3, 8, 5)),
        (
            "dividing a plane of 5 into 2 bins needs padding, which `STOCHASTIC` does not",
            SPP(2, "STOCHASTIC"),
            (2, 3, 4, 5),
        ),
    ],
)
def test_mismatches(text, layer, bottom):
    with raises("E102", text):
        layer.infer((bottom,), 1)


def test_a_pyramid_needs_a_level():
    with raises("E103", "`pyramid_height` is 0"):
        layer_from("SPP")


def test_a_pyramid_is_no_higher_than_a_blob_can_hold():
    assert layer_from("SPP", pyramid_height=16).infer(((1, 1, UNKNOWN, UNKNOWN),), 1) == ((1, (4**16 - 1) // 3),)
    with raises("E104", "`pyramid_height` is 17"):
        layer_from("SPP", pyramid_height=17)
