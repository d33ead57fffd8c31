"""DisparityData: .pfm files of either byte order, lists, and what the layer refuses."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.data import open_source
from netc.data.float_files import open_pfm
from netc.ir.layer import Cost
from netc.layers.optical_flow.disparity_data import DisparityData
from netc.layers.optical_flow.writers import PfmWriter
from tests.layers.contract import raises, round_trip
from tests.layers.harness import layer_of

REQUIRED = {"DisparityData": 'source: "a" new_height: 6 new_width: 7 is_color: false'}
WHOLE = {
    f"DisparityData image_data_param.{name}": {
        "image_data_param": {"source": "a", "new_height": 8, "new_width": 9, "is_color": False}
    }
    for name in ("new_height", "new_width")
}
FIELDS = {"source": "list.txt", "batch_size": 2, "new_height": 3, "new_width": 4, "is_color": False}
PLANES = np.random.default_rng(1).normal(size=(3, 3, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index, plane in enumerate(PLANES):
        cv2.imwrite(f"{index}.pfm", plane)
    Path("list.txt").write_text("".join(f"{index}.pfm {index + 5}\n" for index in range(3)))


def batches(layer, count=1):
    source = open_source(layer, "TRAIN", tops=("data", "label"))
    try:
        shapes, found = source.record_shapes, []
        source.configure(np.empty, normalize_on_host=True)
        for _ in range(count):
            found.append(source.next_batch().tops)
    finally:
        source.close()
    assert layer.batch(shapes, 2) == tuple(top.shape for top in found[0])
    return found


def test_batches():
    layer = round_trip("DisparityData", **FIELDS)
    (first, labels), (second, more) = batches(layer, 2)
    np.testing.assert_array_equal(first, -PLANES[[0, 1], None])
    np.testing.assert_array_equal(second, -PLANES[[2, 0], None])
    assert (labels.tolist(), more.tolist()) == ([5, 6], [7, 5])


def test_both_byte_orders_and_colors(tmp_path):
    big = PfmWriter(file="x").encoded(-PLANES)
    Path("big.pfm").write_bytes(big)
    file = open_pfm(Path("big.pfm"))
    assert (file.shape, file.dtype) == ((3, 3, 4), ">f4")
    np.testing.assert_array_equal(file.read(), PLANES)
    header, data = big[: -PLANES.nbytes], big[-PLANES.nbytes :]
    little = header.replace(b"1.0", b"-2.5e0") + np.frombuffer(data, ">f4").astype("<f4").tobytes()
    Path("little.pfm").write_bytes(little)
    np.testing.assert_array_equal(open_pfm(Path("little.pfm")).read(), PLANES)
    assert open_pfm(Path("0.pfm")).dtype == "<f4"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"P5\n4 3\n1.0\n", "does not begin with `Pf` or `PF`"),
        (b"Pf\n4 3\n", "does not begin with `Pf`"),
        (b"Pf\n4 3\n1.0\n" + bytes(47), "do not hold 1x3x4 numbers"),
        (b"Pf\n9999999999 9999999999\n1.0\n", "do not hold 1x9999999999x9999999999"),
        (b"Pf\n0 3\n1.0\n", "its header says that it has 1x3x0 numbers"),
        (b"Pf\n3 4\n1.0\n" + bytes(48), "it has 1x4x3 numbers, expected 1x3x4"),
        (b"PF\n4 3\n1.0\n" + bytes(144), "it has 3x3x4 numbers, expected 1x3x4"),
    ],
)
def test_damaged_files(data, text):
    Path("0.pfm").write_bytes(data)
    with raises("E504", f"`0.pfm` of `list.txt`: .*{text}"):
        batches(DisparityData("list.txt", 2, new_height=3, new_width=4))


def test_files_that_cannot_be_read():
    Path("0.pfm").unlink()
    with raises("E504", "no such file"):
        batches(DisparityData("list.txt", 2, new_height=3, new_width=4))
    os.mkfifo("0.pfm")
    with raises("E504", "it is a pipe"):
        batches(DisparityData("list.txt", 2, new_height=3, new_width=4))
    with raises("E501", "`none` cannot be read"):
        batches(DisparityData("none", 2, new_height=3, new_width=4))


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"source": ""}, "E101", "`source` is missing"),
        ({"batch_size": 0}, "E103", "`batch_size` must be positive"),
        ({"is_color": True}, "E103", "reads one plane"),
        ({"new_height": 0, "new_width": 0}, "E101", "`new_height` and `new_width` are missing"),
        ({"new_height": 0}, "E101", "must be given together"),
        ({"new_height": 1 << 20, "new_width": 1 << 20}, "E104", "larger than the limit"),
    ],
)
def test_parameters_that_do_not_fit(change, code, text):
    with raises(code, text):
        layer_of("DisparityData", {"image_data_param": {**FIELDS, **change}})
    with raises("E101", "does not support `transform_param`"):
        layer_of("DisparityData", {"image_data_param": FIELDS, "transform_param": {"mirror": True}})
    assert DisparityData(shuffle=True).random_fields(train=True) == ("shuffle",)
    assert DisparityData().cost((), ()) == Cost()


def test_a_net_reads_disparities():
    Path("net.prototxt").write_text(
        'layer { name: "d" type: "DisparityData" top: "disparity" top: "label" image_data_param { source: "list.txt"'
        " batch_size: 3 new_height: 3 new_width: 4 is_color: false } }\n"
        'layer { name: "s" type: "Silence" bottom: "label" }\n'
        'layer { name: "p" type: "Power" bottom: "disparity" top: "y" power_param { scale: 2 } }'
    )
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data[:, 0], -2 * PLANES)
