import math

import numpy as np
import pytest
import torch
from torch import nn

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.pooling import FLOAT_MAX, Pooling
from tests.layers.case import PLANES, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    Case(made("Pooling", "MAX", (3, 2), (2, 2), (1, 1)), *PLANES),
    Case(made("Pooling", "AVE", (3, 2), (2, 2), (1, 1)), *PLANES),
    Case(made("Pooling", "STOCHASTIC", (3, 2), (2, 2)), *PLANES, positive=True),
]


def windows(extent, kernel, stride, pad, ceil, padded):
    """For each window its elements, and what AVE takes for its length."""
    count = (math.ceil if ceil else math.floor)((extent + 2 * pad - kernel) / stride) + 1
    if padded and (count - 1) * stride >= extent + pad:
        count -= 1
    for start in (i * stride - pad for i in range(count)):
        yield range(max(start, 0), min(start + kernel, extent)), min(start + kernel, extent + pad) - start


def expected(layer, x):
    """Top and mask, window by window."""
    kernel = layer.kernel or x.shape[2:]
    ceil, padded = layer.round_mode == "CEIL", any(layer.pad)
    rows, columns = (
        list(windows(x.shape[2 + i], kernel[i], layer.stride[i], layer.pad[i], ceil, padded)) for i in (0, 1)
    )
    top, mask = np.zeros((2, *x.shape[:2], len(rows), len(columns)))
    for (n, c, i, j), _ in np.ndenumerate(top):
        (inside_h, length_h), (inside_w, length_w) = rows[i], columns[j]
        places = [(x[n, c, h, w], h * x.shape[3] + w) for h in inside_h for w in inside_w]
        if layer.pool == "MAX":
            top[n, c, i, j], mask[n, c, i, j] = max(places, key=lambda p: p[0], default=(-FLOAT_MAX, -1))
        else:
            with np.errstate(invalid="ignore"):
                top[n, c, i, j] = np.float64(sum(p[0] for p in places)) / (length_h * length_w)
    return top, mask


GEOMETRIES = [
    Pooling(kernel=(3, 2), stride=(2, 1)),
    Pooling(kernel=(3, 2), stride=(2, 3), round_mode="FLOOR"),
    Pooling(kernel=(3, 2), stride=(2, 2), pad=(1, 1)),
    Pooling(kernel=(3, 4), stride=(2, 3), pad=(2, 0)),
    Pooling(kernel=(3, 3), stride=(1, 2), pad=(2, 2), round_mode="FLOOR"),
    Pooling(kernel=(1, 2), stride=(2, 5), pad=(0, 1)),
    Pooling(kernel=(1, 1), stride=(2, 3)),
    Pooling(kernel=(1, 2), stride=(4, 4)),
    Pooling(kernel=(9, 8), stride=(4, 3)),
    Pooling(),
]


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("plane", [(7, 6), (8, 9), (6, 7)])
def test_forward(pool, geometry, plane):
    layer = Pooling(pool, geometry.kernel, geometry.stride, geometry.pad, geometry.round_mode)
    x = values(2, 3, *plane).numpy()
    top, mask = expected(layer, x)
    for stock in (True, False):
        np.testing.assert_allclose(run(layer, x, stock=stock)[0], top, rtol=1e-12)
    if pool == "MAX":
        found, places = run(layer, x, tops=2)
        np.testing.assert_array_equal(found, top)
        np.testing.assert_array_equal(places, mask)


def test_a_window_without_elements():
    x = values(1, 1, 4, 4).numpy() - 5
    top, mask = run(Pooling(kernel=(1, 1), stride=(2, 2)), x.astype(np.float32), tops=2)
    assert top[0, 0, 2].tolist() == [-np.float32(FLOAT_MAX)] * 3
    assert mask[0, 0].tolist() == [[0, 2, -1], [8, 10, -1], [-1, -1, -1]]
    (mean,) = run(Pooling("AVE", (1, 1), (2, 2)), x)
    assert np.isnan(mean[0, 0, 2]).all()
    inputs = torch.tensor(x, requires_grad=True)
    for pool in ("MAX", "AVE"):
        module_of(Pooling(pool, (1, 1), (2, 2)), ((1, 1, 4, 4),))(inputs)[..., :2, :2].sum().backward()
    assert inputs.grad[0, 0, ::2, ::2].tolist() == [[2, 2], [2, 2]]
    assert inputs.grad.sum() == 8


def test_the_first_of_equals_gets_the_gradient():
    x = torch.tensor([[3.0, 7.0, 7.0], [7.0, 7.0, 1.0]]).reshape(1, 1, 2, 3)
    for stock in (True, False):
        inputs = x.clone().requires_grad_()
        module_of(Pooling(kernel=(2, 2)), (x.shape,), stock=stock)(inputs).backward(torch.tensor([[[[2.0, 5.0]]]]))
        assert inputs.grad.flatten().tolist() == [0, 7, 0, 0, 0, 0]


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("geometry", GEOMETRIES[:6] + GEOMETRIES[8:], ids=str)
def test_backward(pool, geometry):
    layer = Pooling(pool, geometry.kernel, geometry.stride, geometry.pad, geometry.round_mode)
    assert gradcheck(layer, (2, 2, 7, 6))


def test_stochastic_in_training_picks_by_value():
    layer = Pooling("STOCHASTIC", (2, 3), (2, 2))
    x = torch.tensor([[1.0, 0, 3, 0, 2], [0, 4, 0, 2, 0], [0, 0, 0, 0, 6]]).double().reshape(1, 1, 3, 5)
    module = module_of(layer, (x.shape,)).train()
    torch.manual_seed(5)
    inputs = x.expand(4000, 1, 3, 5).clone().requires_grad_()
    top = module(inputs)
    assert top.shape == (4000, 1, 2, 2)
    first = top[:, 0, 0, 0].detach()
    assert {value: round((first == value).double().mean().item(), 1) for value in first.unique().tolist()} == {
        1.0: 0.1,
        3.0: 0.4,
        4.0: 0.5,
    }
    assert top[:, 0, 1].unique(dim=0).tolist() == [[0, 6]]
    top.backward(torch.full_like(top, 2.0))
    assert inputs.grad.sum() == 2 * top.numel()
    assert set(inputs.grad[:, 0, 2, 4].tolist()) == {2.0}


def test_stochastic_in_test_weighs_by_value():
    layer = Pooling("STOCHASTIC", (2, 2), (2, 2))
    x = np.abs(values(2, 3, 5, 6).numpy()) + 0.1
    x[0, 0, :2, :2] = 0
    expected_top = np.zeros((2, 3, 3, 3))
    for (n, c, i, j), _ in np.ndenumerate(expected_top):
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        expected_top[n, c, i, j] = (window**2).sum() / max(window.sum(), 1e-30)
    np.testing.assert_allclose(run(layer, x)[0], expected_top, rtol=1e-12)
    inputs = torch.tensor(x[:1, 1:]).requires_grad_()
    assert torch.autograd.gradcheck(module_of(layer, (inputs.shape,)).eval(), (inputs,))


@pytest.mark.parametrize("pool", ["MAX", "AVE", "STOCHASTIC"])
def test_sizes_and_traces(pool):
    other = Pooling(pool, (1, 2), (2, 3)) if pool == "STOCHASTIC" else Pooling(pool, (3, 2), (2, 2), (2, 1))
    for layer in (Pooling(pool, (3, 2), (2, 2)), other, Pooling(pool)):
        resizes(layer, (values(2, 3, 7, 6).abs(),), (values(4, 3, 8, 9).abs(),))
        x = values(2, 3, 7, 6).abs()
        torch.testing.assert_close(
            module_of(layer, (x.shape,), stock=True).eval()(x), module_of(layer, (x.shape,), stock=False).eval()(x)
        )
        traces(layer, x)
    resizes(Pooling(kernel=(2, 3)), (values(2, 3, 7, 6),), (values(4, 3, 8, 9),), tops=2)
    traces(Pooling(kernel=(2, 3), stride=(2, 4)), values(2, 3, 7, 6), tops=2)


def test_a_stock_module_where_torch_counts_the_same_windows():
    bottom = ((2, 3, 7, 6),)
    assert type(module_of(Pooling(kernel=(3, 3), stride=(2, 3)), bottom)) is nn.MaxPool2d
    assert type(module_of(Pooling("AVE", kernel=(3, 3), pad=(1, 1)), bottom)) is nn.AvgPool2d
    assert type(module_of(Pooling(kernel=(1, 1), stride=(2, 2), round_mode="FLOOR"), bottom)) is nn.MaxPool2d
    assert type(module_of(Pooling(), bottom)) is nn.AdaptiveMaxPool2d
    assert type(module_of(Pooling("AVE"), bottom)) is nn.AdaptiveAvgPool2d
    assert Pooling(kernel=(1, 1), stride=(2, 2)).module(bottom, 1) is None
    assert Pooling(kernel=(3, 3), pad=(2, 2)).module(bottom, 1) is None
    assert Pooling(kernel=(3, 3)).module(bottom, 2) is None


def test_a_file_and_names():
    layer = round_trip("Pooling", pool="AVE", kernel_h=3, kernel_w=5, stride=2, pad_h=0, pad_w=2, round_mode="FLOOR")
    assert layer == Pooling("AVE", (3, 5), (2, 2), (0, 2), "FLOOR")
    assert round_trip("Pooling", global_pooling=True) == Pooling()
    assert round_trip("Pooling", kernel_size=3, stride_h=1, stride_w=2, pad=1) == Pooling("MAX", (3, 3), (1, 2), (1, 1))
    assert layer_from("Pooling", kernel_size=3, kernel_h=2).kernel == (3, 3), "half a pair is not looked at"
    assert v1_name("Pooling") == "POOLING"


def test_cost_and_unknown_extents():
    assert Pooling(kernel=(3, 2)).cost(((5, 4, 9, 8),), ((5, 4, 7, 7),)) == Cost(0, 5 * 4 * 7 * 7 * 3 * 2)
    assert Pooling().cost(((5, 4, 9, 8),), ((5, 4, 1, 1),)) == Cost(0, 5 * 4 * 9 * 8)
    assert repr(Pooling(kernel=(3, 2), pad=(1, 1)).infer(((UNKNOWN, 4, 9, UNKNOWN),), 1)[0]) == "(?, 4, 9, ?)"
    assert Pooling().infer(((2, 4, UNKNOWN, UNKNOWN),), 1)[0] == (2, 4, 1, 1)


@pytest.mark.parametrize(
    ("code", "text", "parameters"),
    [
        ("E101", "`kernel_size` is missing", {}),
        ("E101", "`kernel_h` without `kernel_w`", {"kernel_h": 3}),
        ("E101", "`kernel_size` and `kernel_h`, `kernel_w` exclude", {"kernel_size": 3, "kernel_h": 3, "kernel_w": 3}),
        ("E101", "`stride` and `stride_h`, `stride_w` exclude", {"kernel_size": 3, "stride": 2, "stride_h": 3}),
        ("E101", "`pad_w` without `pad_h`", {"kernel_size": 3, "pad_w": 1}),
        ("E101", "`global_pooling` does not support `kernel_size`", {"kernel_size": 3, "global_pooling": True}),
        ("E101", "`global_pooling` supports neither `pad` nor `stride`", {"stride": 3, "global_pooling": True}),
        ("E101", "`STOCHASTIC` pooling does not support `pad`", {"pool": "STOCHASTIC", "kernel_size": 3, "pad": 1}),
        ("E103", "`kernel_size` is 0x0", {"kernel_size": 0}),
        ("E103", "`stride` is 1x0", {"kernel_size": 1, "stride_h": 1, "stride_w": 0}),
        ("E103", "padding of 2 is not less than the kernel of 2", {"kernel_h": 3, "kernel_w": 2, "pad": 2}),
    ],
)
def test_wrong_parameters(code, text, parameters):
    with raises(code, text):
        layer_from("Pooling", **parameters)


def test_bottoms_and_tops_that_do_not_fit():
    with raises("E102", "`Pooling` expects a bottom with 4 axes .n, c, h, w., got 3"):
        Pooling().infer(((2, 3, 4),), 1)
    with raises("E102", "kernel of 5 does not fit an input of 2 with padding 1"):
        Pooling(kernel=(5, 3), pad=(1, 1)).infer(((2, 3, 2, 4),), 1)
    with raises("E020", "`AVE` pooling does not support a second top"):
        Pooling("AVE").infer(((2, 3, 4, 5),), 2)


def windows_of(layer, frames, x):
    """For each element of a top: its place, its window of the bottom, and the number of elements that AVE counts."""
    for place in np.ndindex(*x.shape[:2], *(frame.windows for frame in frames)):
        starts = [i * f.stride - f.before for i, f in zip(place[2:], frames)]
        ends = [min(start + f.kernel, f.extent + f.before) for start, f in zip(starts, frames)]
        inside = tuple(slice(max(0, start), max(0, end)) for start, end in zip(starts, ends))
        yield place, x[place[:2]][inside], math.prod(end - start for start, end in zip(starts, ends))


@pytest.mark.parametrize(
    "layer",
    [
        Pooling("MAX", (2, 2), (2, 2)),
        Pooling("MAX", (3, 2, 3), (2, 1, 2), (1, 0, 2), "FLOOR"),
        Pooling("AVE", (3, 2, 3), (2, 2, 2), (1, 0, 2)),
        Pooling("AVE", (2, 2, 3), (2, 2, 2)),
        Pooling("AVE"),
        Pooling("MAX"),
    ],
)
def test_three_spatial_axes(layer):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6, 7))
    frames = layer.frames(x.shape[2:])
    assert [frame.extent for frame in frames] == [5, 6, 7]
    (top,) = run(layer, torch.tensor(x))
    assert tuple(top.shape) == layer.infer((x.shape,), 1)[0]
    for place, window, count in windows_of(layer, frames, x):
        expected = window.max() if layer.pool == "MAX" else window.sum() / count
        assert top[place].item() == pytest.approx(expected, rel=1e-12)


def test_a_value_per_axis():
    lists = {"kernel_size__list": [1, 2, 3], "stride__list": [1, 2, 2], "pad__list": [0, 1, 1]}
    layer = layer_from("Pooling", kernel_size=1, stride=1, pad=0, **lists)
    assert (layer.kernel, layer.stride, layer.pad) == ((1, 2, 3), (1, 2, 2), (0, 1, 1))
    assert layer.to_caffe() == lists
    assert layer_from("Pooling", kernel_size=2, kernel_size__list=[2, 3], stride=2).kernel == (2, 3)


def test_volumes_that_cannot_be_pooled():
    volume = (1, 3, 5, 6, 7)
    with raises("E102", "`STOCHASTIC` pooling requires a bottom with 4 axes"):
        Pooling("STOCHASTIC", (2, 2)).infer((volume,), 1)
    with raises("E102", "a second top requires a bottom with 4 axes"):
        Pooling(kernel=(2, 2)).infer((volume,), 2)
    with raises("E101", "2 values of `kernel_size` for 3 spatial axes"):
        Pooling(kernel=(2, 3)).infer((volume,), 1)
    with raises("E102", "4 or 5 axes, got 6"):
        Pooling(kernel=(2, 2)).infer(((*volume, 8),), 1)
