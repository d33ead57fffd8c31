"""The readers of FlowNet2: files of every kind, damaged ones, and a net from two images to a flow in a file."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.data import open_source
from netc.diagnostics import NetcError, Source
from netc.inspection import check
from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.ir.transform import Transform
from netc.layers.optical_flow.readers import FloatReader, FloReader, ImgReader
from netc.layers.optical_flow.writers import FloatWriter, FloWriter
from tests.layers.contract import raises, round_trip
from tests.layers.harness import layer_from, layer_of

REQUIRED = {"FLOReader": 'file: "a"', "FloatReader": 'file: "a"', "ImgReader": 'file: "a"'}
FLOW = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)
NUMBERS = np.random.default_rng(3).normal(size=(5, 3, 4)).astype(np.float32)
IMAGE = np.random.default_rng(4).integers(0, 256, (6, 7, 3), np.uint8)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(layer, phase="TEST", batches=1, seed=0):
    """The only top of some batches; the shape of the file is that of the layer."""
    source = open_source(layer, phase, tops=("x",), seed=seed)
    try:
        found = [source.next_batch().tops for _ in range(batches)]
        assert source.epoch_size() == layer.num
        shapes = source.record_shapes
    finally:
        source.close()
    assert all(len(tops) == 1 and tops[0].dtype == np.float32 for tops in found)
    assert layer.batch(shapes, 1) == (found[0][0].shape,)
    return [tops[0] for tops in found]


def test_flo():
    Path("x.flo").write_bytes(FloWriter(file="x").encoded(FLOW) + b"more")
    for top in read(FloReader("x.flo", 3), batches=2):
        np.testing.assert_array_equal(top, np.stack([FLOW] * 3))


def test_float3():
    Path("x.float3").write_bytes(FloatWriter(file="x").encoded(NUMBERS))
    (top,) = read(FloatReader("x.float3"))
    np.testing.assert_array_equal(top, NUMBERS[None])
    Path("plane").write_bytes(b"float\n2\n4\n3\n" + NUMBERS[0].tobytes())
    np.testing.assert_array_equal(read(FloatReader("plane"))[0], NUMBERS[None, :1])


@pytest.mark.parametrize("ending", ["png", "ppm", "pgm"])
def test_images(ending):
    image = cv2.cvtColor(IMAGE, cv2.COLOR_BGR2GRAY) if ending == "pgm" else IMAGE
    cv2.imwrite(f"x.{ending}", image)
    expected = (image[..., None].repeat(3, 2) if ending == "pgm" else image).transpose(2, 0, 1)
    for top in read(ImgReader(f"x.{ending}", 2), batches=2):
        np.testing.assert_array_equal(top, np.stack([expected] * 2))


def test_the_transformation_of_an_image_is_that_of_the_first_pass():
    cv2.imwrite("x.png", IMAGE)
    plain = IMAGE.transpose(2, 0, 1).astype(np.float32)
    transform = Transform(scale=0.5, mean_value=(10.0, 20.0, 30.0), crop_size=4)
    (top,) = read(ImgReader("x.png", 1, transform))
    expected = 0.5 * (plain - np.float32([10, 20, 30])[:, None, None])[:, 1:5, 1:5]
    np.testing.assert_allclose(top[0], expected)
    seen = set()
    for seed in range(8):
        tops = read(ImgReader("x.png", 2, Transform(mirror=True, crop_size=4)), "TRAIN", batches=2, seed=seed)
        assert all((item == tops[0][0]).all() for top in tops for item in top)
        seen.add(tops[0][0].tobytes())
    assert len(seen) > 3


HEADER = b"float\n3\n4\n3\n5\n"


@pytest.mark.parametrize(
    ("layer", "data", "text"),
    [
        (FloReader, b"PNG", "does not begin with `PIEH`"),
        (FloReader, b"PIEH\0\0", "ends within the header"),
        (FloReader, b"PIEH" + struct.pack("<ii", 4, 3) + bytes(95), "its 107 bytes do not hold 2x3x4 numbers"),
        (FloReader, b"PIEH" + struct.pack("<ii", 0, 3), "its header says that it has 2x3x0 numbers"),
        (FloReader, b"PIEH" + struct.pack("<ii", -4, -3), "2x-3x-4 numbers"),
        (FloReader, b"PIEH" + struct.pack("<ii", 2**31 - 1, 2**31 - 1), "do not hold 2x2147483647x2147483647"),
        (FloatReader, b"float\n4\n1\n1\n1\n1\n", "does not begin with `float`, 2 or 3"),
        (FloatReader, b"float\n3\n-4\n3\n5\n", "does not begin with `float`"),
        (FloatReader, b"float\n3\n4\n3\n" + b"9" * 2000, "does not begin with `float`"),
        (FloatReader, b"float\n3\n0\n3\n5\n", "its header says that it has 5x3x0 numbers"),
        (FloatReader, HEADER + bytes(239), "its 253 bytes do not hold 5x3x4 numbers"),
        (FloatReader, b"float\n2\n9999999999\n9999999999\n", "do not hold 1x9999999999x9999999999"),
        (FloatReader, b"", "does not begin with `float`"),
        (ImgReader, b"P6\n3 2\n255\n", "OpenCV cannot decode the image"),
        (ImgReader, b"P6\n100000 100000\n255\n", "larger than the limit"),
        (ImgReader, b"", "cannot decode an image of 0 bytes"),
    ],
)
def test_damaged_files(layer, data, text):
    Path("x").write_bytes(data)
    with raises("E504", text):
        read(layer("x"))


@pytest.mark.parametrize("layer", [FloReader, FloatReader, ImgReader])
def test_files_that_cannot_be_read(layer):
    os.mkfifo("pipe")
    Path("folder").mkdir()
    for name, text in (("none", "no such file"), ("pipe", "it is a pipe"), ("folder", "it is a directory")):
        with raises("E501", f"`{name}` cannot be read: {text}"):
            read(layer(name))


def test_a_file_that_is_cut_after_its_header_was_read():
    Path("x").write_bytes(FloatWriter(file="x").encoded(NUMBERS))
    source = open_source(FloatReader("x"), "TEST", tops=("x",))
    Path("x").write_bytes(HEADER + bytes(4))
    with raises("E504", "ends after 1 of 60 numbers"):
        source.next_batch()
    source.close()


def test_a_batch_that_exceeds_the_memory(monkeypatch):
    Path("x").write_bytes(FloatWriter(file="x").encoded(NUMBERS))
    source = open_source(FloatReader("x", 2**32 - 1), "TEST", tops=("x",))
    with raises("E104", "a batch of 4294967295 records of `x` takes"):
        source.next_batch()
    source.close()


def test_parameters_and_shapes():
    for kind in REQUIRED:
        layer = layer_from(kind, file="a")
        assert layer.num == 1
        assert layer.cost((), ((1, 2, 3, 4),)) == Cost()
        with raises("E101", "`file` is missing"):
            layer_from(kind)
        with raises("E103", "`num` must be positive"):
            layer_from(kind, file="a", num=0)
    assert round_trip("FLOReader", file="a", num=2) == FloReader("a", 2)
    message = {"reader_param": {"file": "a"}, "transform_param": {"scale": 0.5}}
    assert layer_of("ImgReader", message).to_caffe() == message
    assert ImgReader("a").random_fields(train=True) == ()
    assert ImgReader("a", 1, Transform(mirror=True)).random_fields(train=False) == ("mirror",)
    assert FloatReader("a", 3).batch(None, 1) == ((3, UNKNOWN, UNKNOWN, UNKNOWN),)
    assert ImgReader("a", 1, Transform(crop_size=5)).batch(None, 1) == ((1, 3, 5, 5),)
    with raises("E106", "`crop_height` is specific to layers with label maps"):
        layer_of("ImgReader", {"reader_param": {"file": "a"}, "transform_param": {"crop_height": 4, "crop_width": 4}})


NET = """
layer { name: "img0" type: "ImgReader" top: "img0" reader_param { file: "a.ppm" } transform_param { scale: 0.5 } }
layer { name: "img1" type: "ImgReader" top: "img1" reader_param { file: "b.png" } transform_param { scale: 0.5 } }
layer { name: "flow" type: "FLOReader" top: "flow" reader_param { file: "x.flo" } }
layer { name: "both" type: "Concat" bottom: "img0" bottom: "img1" top: "both" }
layer { name: "conv" type: "Convolution" bottom: "both" top: "found" convolution_param { num_output: 2 kernel_size: 3
  pad: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "L1Loss" bottom: "found" bottom: "flow" top: "loss" }
layer { name: "out" type: "FLOWriter" bottom: "found" writer_param { folder: "out" suffix: "-flow" } }
"""


def test_a_net_from_files_to_a_file():
    missing = [d for d in check(Source("net.prototxt", NET)) if d.code == "W020"]
    assert {d.message for d in missing} >= {"the file to read `a.ppm` does not exist"}
    cv2.imwrite("a.ppm", IMAGE)
    cv2.imwrite("b.png", 255 - IMAGE)
    flow = np.random.default_rng(5).normal(size=(2, 6, 7)).astype(np.float32)
    Path("x.flo").write_bytes(FloWriter(file="x").encoded(flow))
    assert not check(Source("net.prototxt", NET))
    Path("net.prototxt").write_text(NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.forward()
    np.testing.assert_array_equal(net.blobs["img0"].data[0], 0.5 * IMAGE.transpose(2, 0, 1))
    np.testing.assert_array_equal(net.blobs["flow"].data[0], flow)
    found = read(FloReader("out/0000000-flow.flo"))[0]
    np.testing.assert_array_equal(found, net.blobs["found"].data)
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 1e-6 lr_policy: "fixed" max_iter: 3 snapshot_prefix: "s" random_seed: 1'
    )
    caffe.SGDSolver("solver.prototxt").step(3)
    assert sorted(path.name for path in Path("out").iterdir()) == [f"000000{i}-flow.flo" for i in range(3)]


def test_an_error_names_the_layer():
    Path("net.prototxt").write_text(NET)
    with pytest.raises(NetcError, match=r"`a\.ppm` cannot be read: no such file") as caught:
        caffe.Net("net.prototxt", caffe.TEST).forward()
    (found,) = caught.value.diagnostics
    assert (found.code, found.notes) == ("E501", ("in layer `img0`",))
