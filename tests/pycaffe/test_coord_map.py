"""Coordinates between the tops of a NetSpec: those of the fully convolutional networks, whose crops are published."""

from __future__ import annotations

import numpy as np
import pytest

from netc.pycaffe import NetSpec
from netc.pycaffe import layers as L
from netc.pycaffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    coord_map,
    coord_map_from_to,
    crop,
    inverse,
)


def up(x, kernel, stride):
    return L.Deconvolution(
        x, convolution_param={"num_output": 2, "kernel_size": kernel, "stride": stride, "bias_term": False}
    )


def score(x):
    return L.Convolution(x, num_output=2, kernel_size=1)


def vgg():
    """The five pools of VGG-16 with a padding of 100, and fc7."""
    n = NetSpec()
    n.data = L.Input()
    x, pools = n.data, []
    for block, count in enumerate((2, 2, 3, 3, 3)):
        for index in range(count):
            x = L.ReLU(
                L.Convolution(x, num_output=4, kernel_size=3, pad=100 if block == index == 0 else 1), in_place=True
            )
        x = L.Pooling(x, kernel_size=2, stride=2)
        pools.append(x)
    fc6 = L.Dropout(L.ReLU(L.Convolution(x, num_output=4, kernel_size=7)))
    return n, pools, L.Convolution(fc6, num_output=4, kernel_size=1)


def offset(top):
    return top.fn.params["crop_param"]


def test_the_offsets_of_fcn_32s_16s_and_8s():
    n, pools, fc7 = vgg()
    assert offset(crop(up(score(fc7), 64, 32), n.data)) == {"axis": 2, "offset": [19]}
    upscore2 = up(score(fc7), 4, 2)
    pool4 = crop(score(pools[3]), upscore2)
    assert offset(pool4) == {"axis": 2, "offset": [5]}
    fuse4 = L.Eltwise(upscore2, pool4)
    assert offset(crop(up(fuse4, 32, 16), n.data)) == {"axis": 2, "offset": [27]}
    upscore4 = up(fuse4, 4, 2)
    pool3 = crop(score(pools[2]), upscore4)
    assert offset(pool3) == {"axis": 2, "offset": [9]}
    assert offset(crop(up(L.Eltwise(upscore4, pool3), 16, 8), n.data)) == {"axis": 2, "offset": [31]}


def test_the_offset_of_fcn_alexnet():
    n = NetSpec()
    n.data = L.Input()
    x = L.LRN(
        L.Pooling(L.Convolution(n.data, num_output=4, kernel_size=11, stride=4, pad=100), kernel_size=3, stride=2)
    )
    x = L.Pooling(L.Convolution(x, num_output=4, kernel_size=5, pad=2), kernel_size=3, stride=2)
    x = L.Pooling(L.Convolution(x, num_output=4, kernel_size=3, pad=1), kernel_size=3, stride=2)
    x = L.Convolution(x, num_output=4, kernel_size=6)
    assert offset(crop(up(score(x), 63, 32), n.data)) == {"axis": 2, "offset": [18]}


def test_maps_of_single_layers():
    data = L.Input()
    dilated = L.Convolution(data, num_output=2, kernel_size=3, dilation=4, pad=1, stride=2)
    assert coord_map(dilated.fn) == (1, 0.5, (1 - (4 * 2 + 1 - 1) / 2) / 2)
    assert coord_map(up(data, 4, 2).fn) == (1, 2, 1.5)
    cropped = L.Crop(data, data, axis=2, offset=[3, 5])
    axis, scale, shift = coord_map(cropped.fn)
    assert (axis, scale) == (1, 1)
    np.testing.assert_array_equal(shift, [-3, -5])
    for same in (L.ReLU(data), L.LRN(data), L.Softmax(data), L.Eltwise(data, data), L.BatchNorm(data)):
        assert coord_map(same.fn) == (None, 1, 0)
    for none in (L.InnerProduct(data, num_output=2), L.Reshape(data, shape={"dim": [0, -1]}), data):
        with pytest.raises(UndefinedMapException, match=f"layers of type `{none.fn.type_name}` have no map"):
            coord_map(none.fn)


def test_compose_and_inverse():
    pool = (1, 0.5, -0.25)
    assert compose(inverse(pool), pool) == compose(pool, inverse(pool)) == (1, 1, 0)
    assert compose((None, 1, 0), pool) == compose(pool, (None, 1, 0)) == pool
    with pytest.raises(AxisMismatchException, match="maps along axes 1 and 2"):
        compose(pool, (2, 1, 0))


def test_tops_that_no_crop_aligns():
    data = L.Input()
    half = L.Pooling(data, kernel_size=2, stride=2)
    with pytest.raises(RuntimeError, match=r"tops at scale 0.5 cannot be aligned by a crop"):
        crop(data, half)
    with pytest.raises(RuntimeError, match=r"cannot be negative: -1.0"):
        crop(data, L.Pooling(data, kernel_size=3, pad=2))
    with pytest.raises(RuntimeError, match=r"must be an integer: 0.5"):
        crop(data, L.Pooling(data, kernel_size=2))
    with pytest.raises(RuntimeError, match="no common ancestor"):
        coord_map_from_to(data, L.Input())
