"""DeformableConvolution of the Caffe ports, compared with their arithmetic in NumPy, one sample after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from netc.functions.points import sampled
from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Mode
from netc.layers.deformable_convolution import DeformableConvolution, ModulatedDeformableConvolution
from tests.exporters.test_layers import net
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.detection.regions import exports_to
from tests.layers.harness import run

CASES = [
    Case(
        made("DeformableConvolution", 4, (3,), (2,), (1,), group=2, deformable_group=2),
        ((2, 4, 5, 4), (2, 36, 3, 2)),
        ((1, 4, 6, 3), (1, 36, 3, 2)),
        source=Source(places_lost=True),
    ),
    Case(
        made("DeformableConvolution", 3, (2, 1), dilation=(2, 1), bias_term=False, group=1, deformable_group=1),
        ((1, 2, 4, 3), (1, 4, 2, 3)),
        ((2, 2, 5, 2), (2, 4, 3, 2)),
        source=Source(places_lost=True),
    ),
    Case(
        ModulatedDeformableConvolution(4, (3,), (2,), (1,), group=2, deformable_group=2),
        ((2, 4, 5, 4), (2, 36, 3, 2), (2, 18, 3, 2)),
        ((1, 4, 6, 3), (1, 36, 3, 2), (1, 18, 3, 2)),
        source=Source(places_lost=True),
    ),
]
REQUIRED = {
    "DeformableConvolution": "num_output: 6 kernel_size: 1 group: 1",
    "ModulatedDeformableConvolution": "num_output: 6 kernel_size: 1",
}
PAIRS = {"kernel_h": 3, "kernel_w": 2, "stride_h": 3, "stride_w": 2, "pad_h": 2, "pad_w": 1}
WHOLE = {
    f"{message}.{name}": {message: {"num_output": 6, "group": 1, **PAIRS}}
    for message in ("deformable_convolution_param", "modulated_deformable_convolution_param")
    for name in PAIRS
}


def sample(plane: np.ndarray, y: float, x: float) -> float:
    """A bilinear sample of a plane, by the rule of the ports."""
    height, width = plane.shape
    if not (0 <= y < height and 0 <= x < width):
        return 0.0
    ends = []
    for place, extent in ((y, height), (x, width)):
        low = int(np.floor(place))
        ends.append((extent - 1, extent - 1, 0.0) if low >= extent - 1 else (low, low + 1, place - low))
    (top, bottom, down), (left, right, across) = ends
    above = (1 - across) * plane[top, left] + across * plane[top, right]
    below = (1 - across) * plane[bottom, left] + across * plane[bottom, right]
    return (1 - down) * above + down * below


def faded(plane: np.ndarray, y: float, x: float) -> float:
    """A bilinear sample of a plane with zeros around it, by the rule of the second version."""
    height, width = plane.shape
    if not (-1 < y < height and -1 < x < width):
        return 0.0
    top, left, total = int(np.floor(y)), int(np.floor(x)), 0.0
    for row, down in ((top, top + 1 - y), (top + 1, y - top)):
        for column, across in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                total += down * across * plane[row, column]
    return total


def expected(layer: DeformableConvolution, image, offsets, weight, bias, factors=None) -> np.ndarray:
    w = layer.windows(2)
    (n, channels), (oh, ow) = image.shape[:2], offsets.shape[2:]
    moves = offsets.reshape(n, layer.deformable_group, *w.kernel, 2, oh, ow)
    top = np.zeros((n, layer.num_output, oh, ow)) + bias[:, None, None]
    each = channels // layer.group
    for i, o, c, y, x in np.ndindex(n, layer.num_output, each, oh, ow):
        channel = o // (layer.num_output // layer.group) * each + c
        group = channel // (channels // layer.deformable_group)
        for k, m in np.ndindex(*w.kernel):
            dy, dx = moves[i, group, k, m, :, y, x]
            place = (
                y * w.stride[0] - w.pad[0] + k * w.dilation[0] + dy,
                x * w.stride[1] - w.pad[1] + m * w.dilation[1] + dx,
            )
            if factors is None:
                top[i, o, y, x] += weight[o, c, k, m] * sample(image[i, channel], *place)
            else:
                factor = factors[i, (group * w.kernel[0] + k) * w.kernel[1] + m, y, x]
                top[i, o, y, x] += weight[o, c, k, m] * factor * faded(image[i, channel], *place)
    return top


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (DeformableConvolution(4, (3,), pad=(1,), group=2, deformable_group=2), (5, 6)),
        (DeformableConvolution(2, (2, 3), (2, 1), (0, 2), (1, 2), group=1, deformable_group=4), (6, 5)),
        (DeformableConvolution(4, (1,)), (3, 4)),
    ],
    ids=str,
)
def test_samples_are_moved(layer, size):
    random = np.random.default_rng(3)
    image = random.normal(size=(2, 4, *size))
    channels = 2 * layer.deformable_group * int(np.prod(layer.windows(2).kernel))
    probe = layer.infer((image.shape, (2, channels, UNKNOWN, UNKNOWN)), 1)[0]
    offsets = random.normal(scale=1.5, size=(2, channels, *probe[2:]))
    offsets[:, ::3] = offsets[:, ::3].round()
    weight, bias = (random.normal(size=w.shape) for w in layer.weights((image.shape,)))
    (found,) = run(layer, image, offsets, weights=(weight, bias))
    np.testing.assert_allclose(found, expected(layer, image, offsets, weight, bias), rtol=1e-5, atol=1e-5)


def test_without_offsets_it_is_a_convolution():
    layer = DeformableConvolution(6, (3,), (2,), (1,), group=2, deformable_group=1)
    image, weight, bias = values(2, 4, 7, 6), values(6, 2, 3, 3), values(6)
    (found,) = run(layer, image.numpy(), np.zeros((2, 18, 4, 3)), weights=(weight.numpy(), bias.numpy()))
    wanted = F.conv2d(image, weight, bias, stride=2, padding=1, groups=2)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_gradient_at_whole_numbers_is_that_to_the_right():
    image = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]], dtype=torch.float64)
    x = torch.tensor([0.0, 1.0, 2.0, 3.0, 3.5, 4.0, -0.5, float("nan")], dtype=torch.float64, requires_grad=True)
    found = sampled(image, torch.zeros_like(x), x)
    found.sum().backward()
    np.testing.assert_array_equal(found.detach()[0], [1, 2, 4, 8, 8, 0, 0, 0])
    np.testing.assert_array_equal(x.grad[:7], [1, 2, 4, 0, 0, 0, 0])


def test_shapes():
    layer = DeformableConvolution(8, (3,), pad=(1,))
    assert layer.infer(((2, 16, 9, 7), (2, 72, 9, 7)), 1) == ((2, 8, 9, 7),)
    assert layer.infer(((UNKNOWN, 16, UNKNOWN, 7), (UNKNOWN, 72, 9, UNKNOWN)), 1) == ((UNKNOWN, 8, UNKNOWN, 7),)
    assert [weight.shape for weight in layer.weights(((2, 16, 9, 7),))] == [(8, 4, 3, 3), (8,)]
    assert layer.cost(((2, 16, 9, 7), (2, 72, 9, 7)), ((2, 8, 9, 7),)) == Cost(
        macs=2 * 8 * 9 * 7 * 36, operations=8 * 2 * 16 * 9 * 9 * 7
    )
    with raises(
        "E102", r"expected offsets \[2,72,9,7\], two for each element of a kernel in 4 groups at each position"
    ):
        layer.infer(((2, 16, 9, 7), (2, 18, 9, 7)), 1)
    with raises("E102", "expected offsets"):
        layer.infer(((2, 16, 9, 7), (2, 72, 7, 5)), 1)
    with raises("E102", "14, is not a multiple of `deformable_group` 4"):
        layer.infer(((2, 14, 9, 7), (2, 72, 9, 7)), 1)
    with raises("E102", "expected a bottom with 4 axes"):
        layer.infer(((2, 16, 9), (2, 72, 9)), 1)


def test_files():
    given = {"num_output": 8, "kernel_size": [3], "pad": [2], "dilation": [2], "engine": 1}
    found = round_trip("DeformableConvolution", **given, weight_filler={"type": "xavier"})
    assert found == DeformableConvolution(8, (3,), pad=(2,), dilation=(2,), weight_filler=Filler("xavier"))
    found = round_trip("DeformableConvolution", num_output=8, kernel_h=3, kernel_w=1, group=1, deformable_group=2)
    assert found == DeformableConvolution(8, (3, 1), group=1, deformable_group=2)
    with raises("E103", "`deformable_group` is 0"):
        round_trip("DeformableConvolution", num_output=8, kernel_size=[3], deformable_group=0)


def test_one_module_for_other_sizes():
    layer = DeformableConvolution(8, (3,), pad=(1,), deformable_group=1)
    resizes(layer, (values(2, 4, 5, 6), values(2, 18, 5, 6)), (values(1, 4, 3, 4), values(1, 18, 3, 4)))
    traces(layer, values(2, 4, 5, 6), values(2, 18, 5, 6))


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (ModulatedDeformableConvolution(4, (3,), pad=(1,), group=2, deformable_group=2), (5, 6)),
        (ModulatedDeformableConvolution(2, (2, 3), (2, 1), (0, 2), (1, 2), deformable_group=4), (6, 5)),
        (ModulatedDeformableConvolution(4, (1,)), (3, 4)),
    ],
    ids=str,
)
def test_samples_are_multiplied(layer, size):
    random = np.random.default_rng(3)
    image, kernel = random.normal(size=(2, 4, *size)), int(np.prod(layer.windows(2).kernel))
    offset_channels, channels = 2 * layer.deformable_group * kernel, layer.deformable_group * kernel
    extents = (UNKNOWN, UNKNOWN)
    probe = layer.infer((image.shape, (2, offset_channels, *extents), (2, channels, *extents)), 1)[0]
    offsets = random.normal(scale=1.5, size=(2, offset_channels, *probe[2:]))
    offsets[:, ::3] = offsets[:, ::3].round()
    factors = random.normal(size=(2, channels, *probe[2:]))
    weight, bias = (random.normal(size=w.shape) for w in layer.weights((image.shape,)))
    (found,) = run(layer, image, offsets, factors, weights=(weight, bias))
    wanted = expected(layer, image, offsets, weight, bias, factors)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_sample_one_element_outside_has_no_gradient():
    layer = ModulatedDeformableConvolution(1, (1,), pad=(1,), bias_term=False)
    image, factors = values(1, 1, 3, 4), torch.ones(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    offsets = torch.zeros(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    (top,) = layer.forward((image, offsets, factors), (torch.ones(1, 1, 1, 1, dtype=torch.float64),), Mode(True, 1))
    torch.testing.assert_close(top, F.pad(image, (1, 1, 1, 1)))
    top.sum().backward()
    at_border = F.pad(torch.zeros(3, 4, dtype=torch.bool), (1, 1, 1, 1), value=True)
    assert not offsets.grad[0, :, at_border].any()
    assert not factors.grad[0, :, at_border].any()
    torch.testing.assert_close(factors.grad[0, 0, 1:-1, 1:-1], image[0, 0])


def test_shapes_and_files_of_the_second_version():
    layer = ModulatedDeformableConvolution(8, (3,), pad=(1,), deformable_group=2)
    shapes = ((UNKNOWN, 16, UNKNOWN, 7), (UNKNOWN, 36, 9, UNKNOWN), (2, 18, UNKNOWN, 7))
    assert layer.infer(shapes, 1) == ((UNKNOWN, 8, UNKNOWN, 7),)
    with raises("E102", r"expected factors \[2,18,9,7\], one for each element of a kernel in 2 groups"):
        layer.infer(((2, 16, 9, 7), (2, 36, 9, 7), (2, 9, 9, 7)), 1)
    with raises("E102", "expected offsets"):
        layer.infer(((2, 16, 9, 7), (2, 18, 9, 7), (2, 18, 9, 7)), 1)
    given = {
        "num_output": 8,
        "kernel_size": [3],
        "pad": [1],
        "deformable_group": 2,
        "weight_filler": {"type": "xavier"},
    }
    found = round_trip("ModulatedDeformableConvolution", **given)
    assert found == ModulatedDeformableConvolution(
        8, (3,), pad=(1,), deformable_group=2, weight_filler=Filler("xavier")
    )
    bottoms = values(2, 4, 5, 6), values(2, 18, 5, 6), values(2, 9, 5, 6)
    traces(ModulatedDeformableConvolution(8, (3,), pad=(1,)), *bottoms)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "python"])
def test_exports_of_the_second_version(form, tmp_path):
    text = "modulated_deformable_convolution_param { num_output: 4 kernel_size: 3 pad: 1 deformable_group: 2 }"
    shapes = ((2, 4, 5, 6), (2, 36, 5, 6), (2, 18, 5, 6))
    feed = {name: values(*shape).float().numpy() for name, shape in zip("abc", shapes)}
    exports_to(form, tmp_path, net(*shapes, type="ModulatedDeformableConvolution", text=text), [feed])
