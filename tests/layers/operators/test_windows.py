import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.operators._windows import AxisWindows
from tests.layers.contract import raises
from tests.layers.operators.windows import frame, made


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kernel": 3}, ((3, 3), (1, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernel_h": 3, "kernel_w": 2}, ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernel_h": 3, "kernel_w": 2, "kernel": 4}, ((4, 4), (1, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernels": [3, 2], "kernel": 4}, ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernels": [3], "kernel": 4}, ((3, 4), (1, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernels": [3, 2, 5], "kernel": 4}, ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernels": [3], "strides": [2], "pads": [1, 0]}, ((3,), (2,), (1,), (1, 0))),
        ({"kernels": [1, 2, 3]}, ((1, 2, 3), (1, 1, 1), (1, 1, 1), (0,) * 6)),
        ({"kernel": 3, "stride": 2, "dilation": 4, "pad": 1}, ((3, 3), (2, 2), (4, 4), (1, 1, 1, 1))),
        ({"kernel": 3, "stride_h": 2, "dilation_w": 2, "pad_t": 1}, ((3, 3), (1, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernel": 3, "stride_h": 2, "stride_w": 1}, ((3, 3), (2, 1), (1, 1), (0, 0, 0, 0))),
        ({"kernel": 3, "pad_t": 1, "pad_l": 2, "pad_b": 3, "pad_r": 4}, ((3, 3), (1, 1), (1, 1), (1, 2, 3, 4))),
        ({"kernel": 3, "pads": [1, 2, 3, 4], "pad": 5}, ((3, 3), (1, 1), (1, 1), (1, 2, 3, 4))),
    ],
)
def test_arguments(arguments, expected):
    layer = made("Conv", **arguments)
    assert (layer.kernel, layer.stride, layer.dilation, layer.pads) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({}, "E101", "requires a kernel"),
        ({"kernel_h": 3}, "E101", "requires a kernel"),
        ({"kernel": 0}, "E103", "`kernel` is 0"),
        ({"kernel": 3.0}, "E006", "expected an integer"),
        ({"kernels": [2, 2], "kernel_h": 1, "kernel_w": 1, "pad": 1}, "E101", "4 numbers for `pad`, expected 8"),
        ({"kernel": 3, "strides": [1]}, "E101", "1 numbers for `stride`, expected 2"),
        ({"kernel": 3, "dilations": [1, 1, 1]}, "E101", "3 numbers for `dilation`"),
        ({"kernel": 3, "stride": 0}, "E103", "`stride` is 0"),
        ({"kernel": 3, "dilation": 0}, "E103", "`dilation` is 0"),
        ({"kernel": 3, "legacy_pad": 4}, "E103", "unknown `legacy_pad: 4`"),
        ({"kernel": 3, "legacy_pad": 1, "pads": [0, 0, 0, 0]}, "E101", "determines the padding: `pads`"),
        ({"kernel": 3, "legacy_pad": 2, "pad": 0}, "E101", "determines the padding: `pad`"),
        (
            {"kernel": 3, "legacy_pad": 2, "pad_t": 0, "pad_l": 0, "pad_b": 0, "pad_r": 0},
            "E101",
            "determines the padding: `pad_t`",
        ),
        ({"kernel": 3, "legacy_pad": 3, "pads": [-1, 0, 0, 0]}, "E103", "not negative"),
        ({"kernel": 3, "legacy_pad": 2, "dilation": 2}, "E101", "does not support dilation"),
        ({"kernel": 3, "order": "CHWN"}, "E103", "unknown `order` 'CHWN'"),
        ({"kernel": 3, "group": 0}, "E103", "`group` is 0"),
        ({"kernel": 3, "global_pooling": 1}, "E101", "does not support `global_pooling`"),
    ],
)
def test_refused_arguments(arguments, code, text):
    with raises(code, text):
        made("Conv", **arguments)
    if "dilation" not in arguments or arguments["dilation"] == 0:
        with raises(code, text):
            made("LC", **arguments)


@pytest.mark.parametrize("legacy", [0, 1, 2, 3])
def test_frames(legacy):
    for extent in range(2, 9):
        for kernel in range(1, 4):
            for stride in range(1, 5):
                for head in (0, 1) if legacy in (0, 3) and kernel > 1 else (0,):
                    tail = 1 - head if legacy == 0 and kernel > 1 else head
                    pads = {} if legacy in (1, 2) else {"pads": [head, tail]}
                    layer = made("Conv", kernels=[kernel], strides=[stride], legacy_pad=legacy, **pads)
                    windows, start = frame(extent, kernel, stride, 1, head, tail, legacy)
                    if windows < 1:
                        with raises("E102", "does not fit"):
                            layer.frames((extent,))
                        continue
                    end = (windows - 1) * stride + kernel - extent - start
                    assert layer.frames((extent,)) == (AxisWindows(windows, start, end),)


def test_unknown_extents():
    layer = made("Conv", kernel=3, pad=1, stride=2)
    assert layer.infer(((UNKNOWN, 3, UNKNOWN, 9), (4, 3, 3, 3)), 1) == ((UNKNOWN, 4, UNKNOWN, 5),)
    for legacy in (1, 2, 3):
        shapes = made("MaxPool", kernel=3, legacy_pad=legacy).infer(((2, 3, UNKNOWN, UNKNOWN),), 1)
        assert shapes == ((2, 3, UNKNOWN, UNKNOWN),)


def test_legacy_pad_3_with_a_pad_of_the_kernel():
    with raises("E102", "requires a pad of 1 that is less than the kernel of 1"):
        made("Conv", kernel=1, pad=1, legacy_pad=3).frames((4, 4))
