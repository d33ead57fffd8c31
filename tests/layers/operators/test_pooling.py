import numpy as np
import pytest

from netc.ir.layer import Cost
from netc.ir.receptive_field import ReceptiveField
from tests.layers.contract import raises, traces, values
from tests.layers.harness import gradcheck
from tests.layers.operators.test_convolution import frames_of
from tests.layers.operators.windows import backward, columns, compute, last, made, max_gradient, numbers, window_axes

GEOMETRIES = [
    {"kernels": [3, 2], "strides": [2, 1]},
    {"kernels": [3, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernels": [3, 3], "strides": [2, 2], "pads": [2, 0, 1, 2]},
    {"kernels": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]},
    {"kernels": [3, 3], "strides": [2, 2], "pads": [-1, 0, 0, 1]},
    {"kernels": [3, 2], "strides": [2, 2], "legacy_pad": 1},
    {"kernels": [3, 2], "strides": [2, 3], "legacy_pad": 2},
    {"kernels": [2, 1], "strides": [4, 4], "legacy_pad": 2},
    {"kernels": [3, 3], "strides": [2, 2], "legacy_pad": 3},
    {"kernels": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "legacy_pad": 3},
    {"kernels": [3, 3], "strides": [2, 3], "pads": [2, 2, 0, 0], "legacy_pad": 3},
]


def windows(arguments, x):
    return columns(x, arguments["kernels"], frames_of(arguments, x.shape[2:]), arguments.get("strides"))


def mean(found, axes, include_pad=False):
    taps = window_axes(found, axes)
    return np.nansum(found, taps) / np.prod(found.shape[-axes:]) if include_pad else np.nanmean(found, taps)


POOLS = {
    "MaxPool": ({}, lambda found, axes: np.nanmax(found, window_axes(found, axes))),
    "AveragePool": ({}, mean),
    "AveragePool with pads": ({"count_include_pad": 1}, lambda found, axes: mean(found, axes, include_pad=True)),
    "LpPool": ({"p": 3.0}, lambda found, axes: (np.nansum(abs(found) ** 3, window_axes(found, axes))) ** (1 / 3)),
}


@pytest.mark.parametrize("arguments", GEOMETRIES, ids=str)
@pytest.mark.parametrize("pool", POOLS)
def test_planes(pool, arguments):
    x = numbers(2, 3, 7, 8) - 5
    more, rule = POOLS[pool]
    expected = rule(windows(arguments, x), 2)
    type = pool.split()[0]
    np.testing.assert_allclose(compute(type, x, **more, **arguments), expected, rtol=1e-10)
    nhwc = compute(type, last(x), order="NHWC", **more, **arguments)
    np.testing.assert_allclose(nhwc, last(expected), rtol=1e-10)


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("legacy", [0, 3])
@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool", "AveragePool with pads"])
def test_lines_and_volumes(pool, axes, legacy):
    more, rule = POOLS[pool]
    pads = [1, 0, 1][:axes] + ([0, 1, 1] if legacy == 0 else [1, 0, 1])[:axes]
    arguments = {"kernels": [2, 3, 2][:axes], "strides": [2, 2, 1][:axes], "pads": pads, "legacy_pad": legacy}
    x = numbers(2, 3, *(6, 5, 4)[:axes])
    found = compute(f"{pool.split()[0]}{axes}D", x, **more, **arguments)
    np.testing.assert_allclose(found, rule(windows(arguments, x), axes), rtol=1e-10)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
def test_whole_planes(shape, order):
    x = numbers(*shape)
    flat = x.reshape(2, 3, -1)
    for type, expected in (("MaxPool", flat.max(-1)), ("AveragePool", flat.mean(-1))):
        y = expected.reshape(2, 3, *(1,) * (x.ndim - 2))
        given = x if order == "NCHW" else last(x)
        found = compute(type, given, global_pooling=1, kernel=0, pad=0, stride=1, legacy_pad=3, order=order)
        np.testing.assert_allclose(found, y if order == "NCHW" else last(y), rtol=1e-10)
    norm = compute("LpPool", x.reshape(2, 3, -1, 1), global_pooling=1, p=1.0)
    np.testing.assert_allclose(norm[:, :, 0, 0], abs(flat).sum(-1), rtol=1e-10)


def test_no_items():
    assert compute("MaxPool", numbers(0, 3, 5, 6), kernel=2).shape == (0, 3, 4, 5)
    assert compute("AveragePool", numbers(0, 3, 5, 6), global_pooling=1).shape == (0, 3, 1, 1)


@pytest.mark.parametrize("arguments", GEOMETRIES, ids=str)
def test_the_gradient_of_a_maximum_goes_to_all_of_its_places(arguments):
    x = np.random.default_rng(5).integers(0, 3, (2, 2, 7, 8)).astype(np.float64)
    frames = frames_of(arguments, x.shape[2:])
    dy = numbers(2, 2, *(count for count, _ in frames), seed=6)
    (found,) = backward(made("MaxPool", **arguments), dy, x)
    expected = max_gradient(x, dy, arguments["kernels"], arguments["strides"], frames)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_whole_planes():
    x = np.array([[[[1.0, 3.0], [3.0, 2.0]]]])
    (found,) = backward(made("MaxPool", global_pooling=1), np.array([[[[5.0]]]]), x)
    assert found.tolist() == [[[[0, 5], [5, 0]]]]


@pytest.mark.parametrize("arguments", GEOMETRIES, ids=str)
@pytest.mark.parametrize("pool", POOLS)
def test_backward(pool, arguments):
    type, more = pool.split()[0], POOLS[pool][0]
    assert gradcheck(made(type, **more, **arguments), (2, 2, 7, 8))


@pytest.mark.parametrize("type", ["MaxPool", "AveragePool"])
def test_traces(type):
    traces(made(type, kernel=3, pads=[2, 0, 0, 1]), values(2, 3, 7, 8))


def test_cost_and_receptive_field():
    layer, whole = made("MaxPool", kernel=3, stride=2), made("MaxPool", global_pooling=1)
    shapes = ((2, 4, 7, 7),)
    assert layer.cost(shapes, layer.infer(shapes, 1)) == Cost(operations=2 * 4 * 9 * 9)
    assert whole.cost(shapes, whole.infer(shapes, 1)) == Cost(operations=2 * 4 * 49)
    fields = ((ReceptiveField(), ReceptiveField()),)
    assert layer.receptive_field(fields, shapes, (2, 4, 3, 3)) == (ReceptiveField(3, 2),) * 2
    assert whole.receptive_field(fields, shapes, (2, 4, 1, 1)) == (ReceptiveField(7),) * 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({"kernel": 3, "dilation": 2}, "E101", "does not support dilation"),
        ({"kernel": 2, "pad": 2}, "E103", "padding of 2 is not less than the kernel of 2"),
        ({"kernel": 2, "pads": [0, 0, 0, 2]}, "E103", "padding of 2"),
        ({"global_pooling": 1, "pad": 1}, "E101", "supports neither pads nor strides"),
        ({"global_pooling": 1, "stride": 2}, "E101", "supports neither pads nor strides"),
        ({}, "E101", "requires a kernel"),
    ],
)
def test_refused_arguments(arguments, code, text):
    with raises(code, text):
        made("AveragePool", **arguments)


@pytest.mark.parametrize(
    ("type", "shape", "arguments", "text"),
    [
        ("MaxPool", (2, 3, 8), {"kernel": 2}, "expected 4 axes"),
        ("MaxPool", (2, 3, 0, 8), {"global_pooling": 1}, "has no elements"),
        ("MaxPool", (2,), {"global_pooling": 1}, "at least 2 axes"),
        ("MaxPool", (1, 1, 4, 4), {"kernel": 1, "stride": 4, "legacy_pad": 3}, "begins beyond the input of 4"),
        ("MaxPool", (1, 1, 1, 1, 1, 1), {"kernels": [1] * 4}, "up to 3 spatial axes"),
        ("LpPool", (2, 3, 8), {"kernels": [2]}, "expected 4 axes"),
        ("AveragePool", (1, 1, 2, 4), {"kernel": 3}, "a window of 3 does not fit"),
    ],
)
def test_refused_shapes(type, shape, arguments, text):
    with raises("E102", text):
        made(type, **arguments).infer((shape,), 1)
