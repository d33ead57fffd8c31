"""Files in which every number that some fork of Caffe uses is set: names, types and blobs come out all the same."""

import numpy as np
import pytest

import netc
from netc.weights import read
from netc.weights.wire import FIXED32, VARINT, delimited, tag, varint
from tests.weights.fixtures import array, blob_proto, saved
from tests.weights.test_caffemodel import first_blob

CONTESTED = [
    *range(13, 16), 45, 46, 99, *range(102, 305), *range(600, 606), 1001, 1002, 1101, 2201, 2202, 2203, 2210, 6660,
    6661, 6662, 6801, 6802, 8082, *range(8781, 8788), 10000, 10001, 11870, 11890, 11902, 100000, *range(100015, 100030),
    *range(8266710, 8266714),
]  # fmt: skip
"""Numbers of LayerParameter that forks of Caffe use, most of them for several things, and neighbours that none uses."""
JUNK = {
    VARINT: varint(2**64 - 1),
    1: bytes(8),
    2: varint(3) + b"\xff\xff\xff",
    3: tag(7, 2) + varint(4) + b"blob",
    FIXED32: b"\xff\xff\xff\x7f",
}
"""A payload of each wire type that no message of Caffe's survives; a group holds a field 7 of its own."""


def contested(wire_type: int) -> bytes:
    """Every contested number in one wire type."""
    ends = {n: tag(n, 4) if wire_type == 3 else b"" for n in CONTESTED}
    return b"".join(tag(n, wire_type) + JUNK[wire_type] + ends[n] for n in CONTESTED)


@pytest.mark.parametrize("wire_type", JUNK)
def test_field_numbers_of_forks_are_skipped(wire_type, tmp_path):
    weight, bias = array(4, 3, 2, 2), array(4)
    junk = contested(wire_type)
    blobs = [delimited(7, blob_proto(values).SerializeToString()) for values in (weight, bias)]
    layer = junk + delimited(1, b"conv") + blobs[0] + junk + delimited(2, b"Convolution") + blobs[1] + junk
    path = saved(tmp_path, delimited(1, b"forks") + delimited(100, layer), "forks.caffemodel")
    (found,) = read(path).layers
    assert (found.name, found.type) == ("conv", "Convolution")
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 5, 5] } } }'
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"'
        " convolution_param { num_output: 4 kernel_size: 2 } }"
    )
    module = netc.load(net, path)
    for blob, values in zip(module.blobs, (weight, bias), strict=True):
        np.testing.assert_array_equal(blob.data.numpy(), values)


@pytest.mark.parametrize("wire_type", JUNK)
def test_field_numbers_of_forks_in_v1_layers_are_skipped(wire_type, tmp_path):
    numbers = [n for n in range(7, 120) if n != 50]
    ends = {n: tag(n, 4) if wire_type == 3 else b"" for n in numbers}
    junk = b"".join(tag(n, wire_type) + JUNK[wire_type] + ends[n] for n in numbers)
    weight = array(2, 3, 1, 1)
    blob = delimited(6, blob_proto(weight, legacy=True).SerializeToString())
    layer = junk + delimited(4, b"bn") + tag(5, VARINT) + varint(43) + junk + blob + junk
    (found,) = read(saved(tmp_path, delimited(2, layer))).layers
    assert (found.name, found.type) == ("bn", "43")
    np.testing.assert_array_equal(found.blobs[0].data, weight)


def test_field_numbers_of_raw_values_are_ignored_next_to_plain_values(tmp_path):
    values = array(3, 4)
    opencl = tag(10, VARINT) + b"\x04" + delimited(11, b"packed") + delimited(12, b"half") + tag(13, VARINT) + b"\x09"
    blob = first_blob(tmp_path, blob_proto(values).SerializeToString() + opencl)
    np.testing.assert_array_equal(blob.data, values)
