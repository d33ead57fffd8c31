import itertools

import numpy as np
import pytest
import torch
from torch import nn

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.convolution import Convolution, Deconvolution
from tests.layers.case import PLANES, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    Case(made("Convolution", 4, (3, 2), (2, 1), (1, 0), group=2), *PLANES),
    Case(made("Deconvolution", 4, (3, 2), (2, 1), (1, 0), group=2), ((2, 4, 3, 5),), ((1, 4, 5, 3),)),
]


def convolved(x, weight, bias, stride, pad, dilation, group):
    """Element by element, over any number of spatial axes; x is (n, c, *spatial)."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    kernel = weight.shape[2:]
    extents = [(e - d * (k - 1) - 1) // s + 1 for e, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    top = np.zeros((x.shape[0], weight.shape[0], *extents))
    inputs, outputs = x.shape[1] // group, weight.shape[0] // group
    for o in range(weight.shape[0]):
        channels = slice(o // outputs * inputs, o // outputs * inputs + inputs)
        for place in itertools.product(*map(range, extents)):
            for tap in itertools.product(*map(range, kernel)):
                at = tuple(i * s + t * d for i, s, t, d in zip(place, stride, tap, dilation))
                top[(slice(None), o, *place)] += x[(slice(None), channels, *at)] @ weight[(o, slice(None), *tap)]
    return top + bias.reshape(-1, *[1] * len(kernel))


def deconvolved(x, weight, bias, stride, pad, dilation, group):
    """Each element of x adds its multiple of the kernel; the padding is cut off at the end."""
    kernel = weight.shape[2:]
    extents = [s * (e - 1) + d * (k - 1) + 1 for e, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    inputs, outputs = x.shape[1] // group, weight.shape[1]
    top = np.zeros((x.shape[0], outputs * group, *extents))
    for c in range(x.shape[1]):
        filled = slice(c // inputs * outputs, c // inputs * outputs + outputs)
        for place in itertools.product(*map(range, x.shape[2:])):
            for tap in itertools.product(*map(range, kernel)):
                at = tuple(i * s + t * d for i, s, t, d in zip(place, stride, tap, dilation))
                added = np.outer(x[(slice(None), c, *place)], weight[(c, slice(None), *tap)])
                top[(slice(None), filled, *at)] += added
    top = top[(slice(None), slice(None), *(slice(p, e - p) for p, e in zip(pad, extents)))]
    return top + bias.reshape(-1, *[1] * len(kernel))


WINDOWS = [
    ((), (), (), ()),
    ((3,), (2,), (1,), (2,)),
    ((3, 2), (2, 1), (1, 2), (1, 3)),
    ((2, 1, 3), (1, 2, 2), (1, 0, 1), (2, 1, 1)),
    ((2, 3, 1, 2), (2, 1, 2, 1), (1, 2, 0, 1), (1, 1, 1, 2)),
    ((2, 1, 2, 1, 3), (1, 2, 1, 1, 2), (1, 0, 0, 0, 1), (1, 1, 2, 1, 1)),
]
EXTENTS = (5, 6, 4, 7, 3)


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("windows", WINDOWS, ids=lambda w: f"{len(w[0])}d")
@pytest.mark.parametrize(("cls", "reference"), [(Convolution, convolved), (Deconvolution, deconvolved)])
def test_forward(cls, reference, windows, stock):
    kernel, stride, pad, dilation = windows
    layer = cls(6, kernel, stride, pad, dilation, group=2)
    x = values(2, 4, *EXTENTS[: len(kernel)]).numpy()
    weight, bias = (values(*w.shape, seed=i).float().numpy() for i, w in enumerate(layer.weights((x.shape,))))
    (y,) = run(layer, x, weights=(weight, bias), stock=stock)
    np.testing.assert_allclose(y, reference(x, weight, bias, stride, pad, dilation, 2), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("cls", "reference"), [(Convolution, convolved), (Deconvolution, deconvolved)])
@pytest.mark.parametrize("axis", [0, 2, -3])
def test_other_batch_axes(cls, reference, axis):
    layer = cls(3, (2,), pad=(1,), axis=axis)
    x = values(2, 3, 4, 5)[0] if axis == 0 else values(2, 3, 4, 5, 6)
    weight, bias = (values(*w.shape, seed=i).float().numpy() for i, w in enumerate(layer.weights((tuple(x.shape),))))
    (y,) = run(layer, x.numpy(), weights=(weight, bias))
    folded = x.reshape(-1, *x.shape[-3:]).numpy()
    expected = reference(folded, weight, bias, (1, 1), (1, 1), (1, 1), 1)
    np.testing.assert_allclose(y, expected.reshape(*x.shape[:-3], *expected.shape[1:]), rtol=1e-10)


@pytest.mark.parametrize("cls", [Convolution, Deconvolution])
def test_several_bottoms_share_the_weights(cls):
    layer = cls(3, (2, 3), bias_term=False)
    x, other = values(2, 4, 5, 6), values(2, 4, 5, 6, seed=8)
    first, second = run(layer, x, other, tops=2)
    np.testing.assert_array_equal(first, run(layer, x)[0])
    np.testing.assert_array_equal(second, run(layer, other)[0])


@pytest.mark.parametrize("cls", [Convolution, Deconvolution])
def test_backward(cls):
    assert gradcheck(cls(4, (3, 2), (2, 1), (1, 0), (1, 2), group=2), (2, 4, 4, 5))
    assert gradcheck(cls(2, (2, 1, 2, 3), pad=(0, 0, 1, 1)), (1, 2, 3, 2, 2, 3))
    assert gradcheck(cls(2, (2,), axis=2), (2, 3, 2, 3), (2, 3, 2, 3), tops=2)
    assert gradcheck(cls(3), (4, 2))


@pytest.mark.parametrize("cls", [Convolution, Deconvolution])
@pytest.mark.parametrize("kernel", [(), (3,), (3, 2), (1, 2, 3), (1, 2, 2, 3)])
def test_sizes_and_traces(cls, kernel):
    small, large = (values(2, 4, *(e + more for e in EXTENTS[: len(kernel)])) for more in (0, 2))
    resizes(cls(3, kernel), (small,), (large,))
    traces(cls(3, kernel), small)


def test_a_stock_module_where_torch_has_one():
    modules = [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
    made = [
        type(module_of(cls(2, (1,)), ((2, 3, 4, 5, 6)[: 2 + axes],)))
        for cls in (Convolution, Deconvolution)
        for axes in (1, 2, 3)
    ]
    assert made == modules
    assert Convolution(2, (1,)).module(((2, 3, 4, 5, 6, 7),), 1) is None
    assert Convolution(2, (1,), axis=2).module(((2, 3, 4, 5),), 1) is None
    assert Deconvolution(2, (1,)).module(((2, 3, 4, 5),) * 2, 2) is None


def test_a_file_and_names():
    filler = Filler("gaussian", std=0.25)
    layer = round_trip(
        "Convolution",
        num_output=6,
        kernel_h=3,
        kernel_w=5,
        stride=[2],
        pad_w=2,
        dilation=[1, 2],
        group=3,
        axis=-3,
        bias_term=False,
        force_nd_im2col=True,
        weight_filler={"type": "gaussian", "std": 0.25},
    )
    assert layer == Convolution(6, (3, 5), (2,), (0, 2), (1, 2), 3, -3, False, True, filler)
    assert round_trip("Deconvolution", num_output=2, kernel_size=[4], stride_h=2, stride_w=3).stride == (2, 3)
    assert v1_name("Convolution") == "CONVOLUTION"
    assert v1_name("Deconvolution") == "DECONVOLUTION"


def test_blobs_and_cost():
    convolution, deconvolution = Convolution(6, (3, 2), group=2), Deconvolution(6, (3, 2), group=2)
    assert [w.shape for w in convolution.weights(((5, 4, 9, 8),))] == [(6, 2, 3, 2), (6,)]
    assert [w.shape for w in deconvolution.weights(((5, 4, 9, 8),))] == [(4, 3, 3, 2), (6,)]
    assert [w.name for w in Convolution(6, bias_term=False).weights(((5, 4),))] == ["weight"]
    assert convolution.cost(((5, 4, 9, 8),), ((5, 6, 7, 7),)) == Cost(macs=5 * 6 * 7 * 7 * 2 * 3 * 2)
    assert deconvolution.cost(((5, 4, 9, 8),), ((5, 6, 11, 9),)) == Cost(macs=5 * 4 * 9 * 8 * 3 * 3 * 2)


def test_unknown_extents():
    bottom = (UNKNOWN, UNKNOWN, 9, UNKNOWN)
    assert repr(Convolution(6, (3,), group=4, bias_term=False).infer((bottom,), 1)) == "((?, 6, 7, ?),)"
    assert repr(Deconvolution(6, (3,), (2,)).infer((bottom, (2, 4, 9, 8)), 2)[0]) == "(?, 6, 19, ?)"


@pytest.mark.parametrize(
    ("code", "text", "parameters"),
    [
        ("E101", "`kernel_size` and `kernel_h`, `kernel_w` exclude", {"kernel_size": [3], "kernel_h": 3}),
        ("E101", "`kernel_w` without `kernel_h`", {"kernel_w": 3}),
        ("E101", "`stride_h` without `stride_w`", {"kernel_size": [3], "stride_h": 3}),
        ("E103", "`num_output` is 0", {"kernel_size": [3], "num_output": 0}),
        ("E103", "`kernel_size` is 3x0", {"kernel_size": [3, 0]}),
        ("E103", "`stride` is 0", {"kernel_size": [3], "stride": [0]}),
        ("E103", "`dilation` is 0", {"kernel_size": [3], "dilation": [0]}),
        ("E103", "`group` is 0", {"kernel_size": [3], "group": 0}),
        ("E102", "`num_output` 4 is not a multiple of `group` 3", {"kernel_size": [3], "group": 3}),
    ],
)
def test_wrong_parameters(code, text, parameters):
    with raises(code, text):
        layer_from("Convolution", **{"num_output": 4, **parameters})


@pytest.mark.parametrize(
    ("code", "text", "layer", "bottoms"),
    [
        ("E101", "`kernel_size` is missing", Convolution(2), ((2, 3, 4),)),
        ("E101", "2 values of `pad` for 3 spatial axes", Convolution(2, (1,), pad=(1, 2)), ((2, 3, 4, 5, 6),)),
        ("E102", "axis 4 of a bottom with 3 axes", Convolution(2, (1,), axis=4), ((2, 3, 4),)),
        (
            "E102",
            "the number of channels, 5, is not a multiple of `group` 2",
            Convolution(2, (1,), group=2),
            ((2, 5, 4),),
        ),
        ("E102", "kernel of 7 does not fit an input of 4 with padding 1", Convolution(2, (7,), pad=(1,)), ((2, 3, 4),)),
        ("E102", "kernel of 5 does not fit an input of 4", Convolution(2, (3,), dilation=(2,)), ((2, 3, 4),)),
        ("E102", r"different shapes: \[2,3,4\], \[2,3,5\]", Convolution(2, (1,)), ((2, 3, 4), (2, 3, 5))),
        ("E102", "padding of 4 leaves nothing of the 6 elements", Deconvolution(2, (3,), pad=(4,)), ((2, 3, 4),)),
    ],
)
def test_bottoms_that_do_not_fit(code, text, layer, bottoms):
    with raises(code, text):
        layer.infer(bottoms, len(bottoms))


def test_other_channels_than_the_weights_have():
    module = module_of(Convolution(2, (1,)), ((2, 3, 4),), stock=False)
    with raises("E102", r"a bottom with 4 channels does not fit weights of shape \[2,3,1\]"):
        module(torch.ones(2, 4, 4))
