import numpy as np
import pytest
from torch.overrides import TorchFunctionMode

from netc.ir.layer import Cost, Mode
from netc.ir.receptive_field import ReceptiveField
from tests.layers.contract import raises, traces, values
from tests.layers.harness import gradcheck
from tests.layers.operators.windows import compute, convolution, frame, last, made, numbers


class Calls(TorchFunctionMode):
    """Keeps the names of the functions of torch that are called, but for reading shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ not in ("__get__", "dim"):
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


GEOMETRIES = [
    {"kernels": [3, 2]},
    {"kernels": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]},
    {"kernels": [3, 2], "strides": [2, 3], "pads": [0, 2, 3, 1], "dilations": [2, 1]},
    {"kernels": [2, 2], "pads": [-1, 0, 0, -2]},
    {"kernels": [3, 2], "strides": [2, 2], "legacy_pad": 1},
    {"kernels": [3, 2], "strides": [2, 3], "legacy_pad": 2},
    {"kernels": [2, 1], "strides": [4, 4], "legacy_pad": 2},
    {"kernels": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0], "legacy_pad": 3},
    {"kernels": [2, 2], "strides": [2, 3], "legacy_pad": 3},
]
X = 2, 4, 7, 8


def frames_of(arguments, spatial):
    """What Caffe2's ComputeSizeAndPad gives for each axis."""
    kernel = arguments["kernels"]
    ones = [1] * len(kernel)
    pads = arguments.get("pads", [0] * 2 * len(kernel))
    stride, dilation = arguments.get("strides", ones), arguments.get("dilations", ones)
    heads, tails = pads[: len(kernel)], pads[len(kernel) :]
    legacy = [arguments.get("legacy_pad", 0)] * len(kernel)
    return [frame(*one) for one in zip(spatial, kernel, stride, dilation, heads, tails, legacy)]


def expected(arguments, x, w, b, group=1):
    frames = frames_of(arguments, x.shape[2:])
    return convolution(x, w, b, frames, arguments.get("strides"), arguments.get("dilations"), group)


@pytest.mark.parametrize("arguments", GEOMETRIES, ids=str)
@pytest.mark.parametrize("group", [1, 2])
def test_planes(arguments, group):
    x, w, b = numbers(*X), numbers(6, 4 // group, *arguments["kernels"], seed=2), numbers(6, seed=3)
    y = expected(arguments, x, w, b, group)
    np.testing.assert_allclose(compute("Conv", x, w, b, group=group, **arguments), y, rtol=1e-10)
    nhwc = compute("Conv2D", last(x), last(w), b, group=group, order="NHWC", **arguments)
    np.testing.assert_allclose(nhwc, last(y), rtol=1e-10)
    np.testing.assert_allclose(compute("ConvRelu", x, w, b, group=group, **arguments), y.clip(0), rtol=1e-10)


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
def test_lines_and_volumes(axes, order):
    arguments = {"kernels": [3, 2, 2][:axes], "strides": [2, 1, 1][:axes]}
    arguments["pads"] = [1, 0, 1][:axes] + [0, 1, 1][:axes]
    x, w = numbers(2, 3, *(6, 4, 5)[:axes]), numbers(5, 3, *arguments["kernels"], seed=2)
    y = expected(arguments, x, w, None)
    moved = (x, w) if order == "NCHW" else (last(x), last(w))
    found = compute(f"Conv{axes}D", *moved, order=order, **arguments)
    np.testing.assert_allclose(found, y if order == "NCHW" else last(y), rtol=1e-10)


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@pytest.mark.parametrize("arguments", GEOMETRIES[:6], ids=str)
def test_backward(arguments, order):
    layer = made("Conv", group=2, order=order, **arguments)
    shapes = (X, (6, 2, *arguments["kernels"]), (6,))
    if order == "NHWC":
        shapes = ((2, 7, 8, 4), (6, *arguments["kernels"], 2), (6,))
    assert gradcheck(layer, *shapes)


def test_traces():
    layer = made("Conv", kernels=[3, 2], strides=[2, 3], legacy_pad=2, order="NHWC")
    traces(layer, values(2, 7, 8, 4), values(6, 3, 2, 4), values(6))


def test_no_items():
    assert compute("Conv", numbers(0, 3, 5, 6), numbers(4, 3, 2, 2), kernel=2).shape == (0, 4, 4, 5)


@pytest.mark.parametrize(
    "arguments", [{"kernel": 3, "pad": 1}, {"kernel": 3, "stride": 2, "pads": [1, 1, 0, 0]}, {"kernel": 1}], ids=str
)
def test_one_call_where_torch_has_the_same_windows(arguments):
    layer = made("Conv", **arguments)
    tensors = values(1, 3, 6, 6), values(4, 3, *layer.kernel), values(4)
    with Calls() as calls:
        layer.forward(tensors, (), Mode(training=False, tops=1))
    assert calls.names == ["conv2d"]


def test_cost_and_receptive_field():
    layer = made("Conv", kernel=3, stride=2)
    shapes = (2, 4, 7, 7), (6, 4, 3, 3), (6,)
    tops = layer.infer(shapes, 1)
    assert layer.cost(shapes, tops) == Cost(macs=2 * 6 * 9 * 36, operations=2 * 6 * 9)
    relu = made("ConvRelu", kernel=3, stride=2)
    assert relu.cost(shapes, tops).operations == 2 * 2 * 6 * 9
    fields = ((ReceptiveField(), ReceptiveField()),)
    assert layer.receptive_field(fields, shapes[:1], tops[0]) == (ReceptiveField(3, 2),) * 2
    assert made("Conv", kernel=3, order="NHWC").receptive_field(fields, shapes[:1], tops[0]) is None


@pytest.mark.parametrize(
    ("shapes", "arguments", "text"),
    [
        (((1, 3, 8), (4, 3, 3, 3)), {"kernel": 3}, "expected 4 axes: kernel \\[3,3\\]"),
        (((1, 3, 8, 8), (4, 3, 3)), {"kernel": 3}, "expected as many axes as the input"),
        (((1, 3, 8, 8), (4, 4, 3, 3)), {"kernel": 3}, "has 3 channels, but the filter \\[4,4,3,3\\] expects 4"),
        (((1, 4, 8, 8), (4, 4, 3, 3)), {"kernel": 3, "group": 2}, "expects 4 in each of 2 groups"),
        (((1, 4, 8, 8), (5, 2, 3, 3)), {"kernel": 3, "group": 2}, "5 outputs cannot be divided into 2 groups"),
        (((1, 3, 8, 8), (4, 3, 3, 3)), {"kernel": 2}, "the filter has shape .*, but the kernel is \\[2,2\\]"),
        (((1, 3, 8, 8), (4, 3, 3, 3), (4, 1)), {"kernel": 3}, "input 2 of `Conv` has shape \\[4,1\\]"),
        (((1, 3, 8, 8), (4, 3, 3, 3), (3,)), {"kernel": 3}, "input 2 of `Conv` has shape \\[3\\], expected \\[4\\]"),
        (((1, 3, 2, 8), (4, 3, 3, 3)), {"kernel": 3}, "a window of 3 does not fit"),
        (((1, 3, 0, 8), (4, 3, 1, 1)), {"kernel": 1, "pad": 1}, "has no elements"),
        (((1, 1, 2, 2, 2, 2), (1, 1, 1, 1, 1, 1)), {"kernels": [1] * 4}, "up to 3 spatial axes"),
    ],
)
def test_refused_shapes(shapes, arguments, text):
    with raises("E102", text):
        made("Conv", **arguments).infer(shapes, 1)
