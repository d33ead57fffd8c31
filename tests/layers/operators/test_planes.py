"""PadImage, SpaceToBatch, BatchToSpace, ResizeNearest, UpsampleNearest, UpsampleBilinear, ChannelShuffle."""

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.operators.resize import scaled
from tests.layers.contract import raises, traces, values
from tests.layers.harness import gradcheck
from tests.layers.operators.windows import backward, compute, last, made, numbers


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("pads", [[1, 2, 3, 1], [0, 0, 0, 0], [-1, 2, 1, -2]], ids=str)
def test_pad_image(mode, pads):
    x = numbers(2, 3, 4, 5)
    top, left, bottom, right = (max(pad, 0) for pad in pads)
    more = {"constant_values": 1.5} if mode == "constant" else {}
    expected = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode, **more)
    top, left, bottom, right = (max(-pad, 0) for pad in pads)
    expected = expected[:, :, top : expected.shape[2] - bottom, left : expected.shape[3] - right]
    np.testing.assert_array_equal(compute("PadImage", x, pads=pads, mode=mode, value=1.5), expected)
    nhwc = compute("PadImage", last(x), pads=pads, mode=mode, value=1.5, order="NHWC")
    np.testing.assert_array_equal(nhwc, last(expected))
    assert gradcheck(made("PadImage", pads=pads, mode=mode), (1, 2, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({"mode": "symmetric"}, "E103", "unknown `mode` 'symmetric'"),
        ({"legacy_pad": 3}, "E101", "does not support `legacy_pad`"),
        ({"stride": 2}, "E101", "does not support `stride`"),
        ({"dilation": 2}, "E101", "does not support `dilation`"),
        ({"global_pooling": 1}, "E101", "does not support `global_pooling`"),
        ({"kernels": [1], "pads": [1, 1]}, "E101", "has 2 pads, expected 4"),
    ],
)
def test_refused_pad_image(arguments, code, text):
    with raises(code, text):
        made("PadImage", **arguments)


def test_refused_shapes_of_pad_image():
    with raises("E102", "expected 4 axes"):
        made("PadImage", pad=1).infer(((1, 2, 3),), 1)
    with raises("E102", "not all positive"):
        made("PadImage", pads=[-2, 0, -1, 0]).infer(((1, 2, 3, 3),), 1)
    with raises("E102", "`reflect` adds at most 2 elements to an extent of 3"):
        made("PadImage", pads=[0, 3, 0, 0], mode="reflect").infer(((1, 2, 3, 3),), 1)


def space_to_batch(x, block, pad, pad_t):
    n, c, height, width = x.shape
    y = np.zeros((n * block * block, c, (height + pad_t + pad) // block, (width + 2 * pad) // block))
    for b, i, j in np.ndindex(len(y), *y.shape[2:]):
        row = i * block + b // n // block - pad_t
        column = j * block + b // n % block - pad
        if 0 <= row < height and 0 <= column < width:
            y[b, :, i, j] = x[b % n, :, row, column]
    return y


def batch_to_space(x, block, pad, pad_t):
    n, c, height, width = x.shape
    y = np.zeros((n // block // block, c, height * block - pad_t - pad, width * block - 2 * pad))
    for b, i, j in np.ndindex(n, height, width):
        row = i * block + b // len(y) // block - pad_t
        column = j * block + b // len(y) % block - pad
        if 0 <= row < y.shape[2] and 0 <= column < y.shape[3]:
            y[b % len(y), :, row, column] = x[b, :, i, j]
    return y


@pytest.mark.parametrize(("block", "pad", "more"), [(2, 0, {}), (3, 1, {}), (2, 1, {"pad_t": 3, "pad_l": 5})])
def test_space_to_batch(block, pad, more):
    pad_t = more.get("pad_t", pad)
    x = numbers(2, 3, 4 * block - pad_t - pad, 3 * block - 2 * pad)
    y = compute("SpaceToBatch", x, block_size=block, pad=pad, **more)
    np.testing.assert_array_equal(y, space_to_batch(x, block, pad, pad_t))
    np.testing.assert_array_equal(compute("BatchToSpace", y, block_size=block, pad=pad, **more), x)
    for type, shape in (("SpaceToBatch", x.shape), ("BatchToSpace", y.shape)):
        assert gradcheck(made(type, block_size=block, pad=pad, **more), shape)


@pytest.mark.parametrize("items", [9, 10, 15])
def test_items_beyond_the_places_of_a_block(items):
    x = numbers(items, 3, 3, 2)
    found = compute("BatchToSpace", x, pad=1)
    np.testing.assert_array_equal(found, batch_to_space(x, 2, 1, 1))
    assert backward(made("BatchToSpace", pad=1), np.ones_like(found), x)[0].sum() == found.size


def test_refused_space_to_batch():
    with raises("E101", "supports the order `NCHW` only"):
        made("SpaceToBatch", order="NHWC")
    with raises("E103", "`block_size` is 0"):
        made("SpaceToBatch", block_size=0)
    with raises("E102", "planes of \\[5,4\\] cannot be divided into blocks of 2"):
        made("SpaceToBatch").infer(((1, 2, 5, 4),), 1)
    with raises("E102", "a batch of 3 has fewer items than the 4 places"):
        made("BatchToSpace").infer(((3, 2, 5, 4),), 1)
    with raises("E102", "would have the extents \\[-2,0\\]"):
        made("BatchToSpace", pad=2).infer(((4, 2, 1, 2),), 1)
    assert made("BatchToSpace").infer(((UNKNOWN, 2, 3, UNKNOWN),), 1) == ((UNKNOWN, 2, 6, UNKNOWN),)


SCALES = [(2.0, 2.0), (1.0, 3.0), (1.5, 0.7), (0.4, 2.3), (1.1, 1.9)]


def places(extent, scale):
    """The sources of the elements along one axis, as C++ computes them in float."""
    count = int(np.float32(extent) * np.float32(scale))
    return [min(int(np.float32(i) / np.float32(scale)), extent - 1) for i in range(count)]


@pytest.mark.parametrize("scales", SCALES, ids=str)
def test_resize_nearest(scales):
    x = numbers(2, 3, 7, 9)
    expected = x[:, :, places(7, scales[0])][..., places(9, scales[1])]
    arguments = {"height_scale": scales[0], "width_scale": scales[1]}
    np.testing.assert_array_equal(compute("ResizeNearest", x, **arguments), expected)
    np.testing.assert_array_equal(compute("ResizeNearest", last(x), order="NHWC", **arguments), last(expected))
    given = compute("ResizeNearest", x.astype(np.float32), np.array(scales, np.float32), width_scale=5.0)
    np.testing.assert_array_equal(given, expected.astype(np.float32))
    assert gradcheck(made("ResizeNearest", **arguments), (1, 2, 7, 9))


@pytest.mark.parametrize("scales", SCALES, ids=str)
def test_upsample_bilinear(scales):
    x = numbers(2, 3, 7, 9)

    def weights(extent, scale):
        count = int(np.float32(extent) * np.float32(scale))
        ratio = (extent - 1) / (count - 1) if count > 1 else 0
        matrix = np.zeros((count, extent))
        for i in range(count):
            low = min(int(ratio * i + 1e-9), extent - 1)
            matrix[i, low] += 1 - (ratio * i - low)
            matrix[i, min(low + 1, extent - 1)] += ratio * i - low
        return matrix

    expected = weights(7, scales[0]) @ x @ weights(9, scales[1]).T
    found = compute("UpsampleBilinear", x, height_scale=scales[0], width_scale=scales[1], order="NHWC")
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    given = compute("UpsampleBilinear", x.astype(np.float32), np.array(scales, np.float32))
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
    assert gradcheck(made("UpsampleBilinear", height_scale=scales[0], width_scale=scales[1]), (1, 1, 4, 5))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4, 5)], ids=str)
def test_upsample_nearest(shape):
    x = numbers(*shape)
    np.testing.assert_array_equal(compute("UpsampleNearest", x), x.repeat(2, -1).repeat(2, -2))
    np.testing.assert_array_equal(compute("UpsampleNearest", x, scale=3), x.repeat(3, -1).repeat(3, -2))
    assert gradcheck(made("UpsampleNearest"), shape)


def test_refused_sizes():
    for type in ("ResizeNearest", "UpsampleBilinear"):
        with raises("E103", "`width_scale` is 0"):
            made(type, width_scale=0.0)
        with raises("E102", "would have the extents \\[0,5\\]"):
            made(type, height_scale=0.1).infer(((1, 2, 5, 5),), 1)
        with raises("E102", "expected 4 axes"):
            made(type).infer(((1, 2, 5),), 1)
        with raises("E102", "input 1 of .* expected \\[2\\]"):
            made(type).infer(((1, 2, 5, 5), (3,)), 1)
        with raises("E301", "the factors 0.1 and 2 leave no elements"):
            compute(type, numbers(1, 2, 5, 5).astype(np.float32), np.array([0.1, 2.0], np.float32))
        assert made(type).infer(((1, 2, 5, UNKNOWN), (2,)), 1) == ((1, 2, UNKNOWN, UNKNOWN),)
        assert made(type, width_scale=2.0).infer(((1, 2, 5, UNKNOWN),), 1) == ((1, 2, 5, UNKNOWN),)
    with raises("E103", "`scale` is 0"):
        made("UpsampleNearest", scale=0)
    with raises("E102", "expected 3 or 4 axes"):
        made("UpsampleNearest").infer(((2, 2),), 1)
    assert scaled(UNKNOWN, 2.0) is UNKNOWN


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 5), (2, 6, 3, 4)], ids=str)
@pytest.mark.parametrize("group", [1, 2, 3, 6])
def test_channel_shuffle(shape, group):
    x = numbers(*shape)
    order = [g * (6 // group) + k for k in range(6 // group) for g in range(group)]
    np.testing.assert_array_equal(compute("ChannelShuffle", x, group=group, kernel=1), x[:, order])
    nhwc = compute("ChannelShuffle", last(x), group=group, order="NHWC")
    np.testing.assert_array_equal(nhwc, last(x[:, order]))
    assert gradcheck(made("ChannelShuffle", group=group), shape)


def test_refused_channel_shuffle():
    with raises("E102", "6 channels cannot be divided into 4 groups"):
        made("ChannelShuffle", group=4).infer(((1, 6, 2, 2),), 1)
    with raises("E102", "at least 2 axes"):
        made("ChannelShuffle").infer(((6,),), 1)
    with raises("E103", "`group` is 0"):
        made("ChannelShuffle", group=0)


def test_traces():
    for type, arguments in (
        ("PadImage", {"pads": [1, -1, 0, 2], "mode": "edge"}),
        ("ResizeNearest", {"width_scale": 1.5, "height_scale": 2.0}),
        ("ChannelShuffle", {"group": 2}),
    ):
        traces(made(type, **arguments), values(1, 4, 4, 6))
