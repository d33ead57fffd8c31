"""Layers in place of FCN's Python data layers, on folders with the layouts of the data sets."""

from __future__ import annotations

import contextlib
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from netc.compiler import graph_of, record_shapes, resolver
from netc.data import matlab, open_source
from netc.data.matlab import read_variable
from netc.diagnostics import Source
from netc.frontends import read_net
from netc.ir.graph import State
from netc.ir.layer import Cost
from netc.layers.segmentation.fcn_data import (
    NyudSegData,
    PascalContextSegData,
    SbddSegData,
    SiftFlowSegData,
    VocSegData,
)
from tests.data.databases import fault
from tests.data.test_label_maps import palette_png
from tests.layers.contract import raises

MEAN = (104.00699, 116.66877, 122.67892)
RANDOM = np.random.default_rng(7)
IMAGES = {f"{i}": RANDOM.integers(0, 256, (9 + i, 12 - i, 3), dtype=np.uint8) for i in range(5)}
LABELS = {name: RANDOM.integers(0, 21, image.shape[:2], dtype=np.uint8) for name, image in IMAGES.items()}


def written(path: str, data: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data)


def image_file(path: str, image: np.ndarray) -> None:
    written(path, bytes(cv2.imencode(".png", image)[1]))


def mat_file(path: str, **variables) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables, do_compression=True)


def split(path: str, names=tuple(IMAGES)) -> None:
    written(path, "".join(f"{name}\n" for name in names).encode())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def voc(names=tuple(IMAGES)):
    for part in ("train", "val"):
        split(f"voc/ImageSets/Segmentation/{part}.txt", names)
    for name in IMAGES:
        image_file(f"voc/JPEGImages/{name}.jpg", IMAGES[name])  # whatever its name says, the content is a PNG
        written(f"voc/SegmentationClass/{name}.png", palette_png(LABELS[name]))


def node_of(module: str, param: str, tops="data label", phase="TRAIN"):
    names = " ".join(f'top: "{top}"' for top in tops.split())
    module, _, name = module.rpartition(".")
    text = f"""layer {{ name: "d" type: "Python" {names}
      python_param {{ module: '{module}' layer: '{name}' param_str: "{param}" }} }}"""
    net = read_net(Source("net", text))
    net.report.raise_errors()
    (node,) = graph_of(net, State(phase)).nodes
    return node


def plain(node):
    """The layer without the names of its class in the file."""
    return replace(node.layer, module_name="", class_name="")


def batches(node, count=1, **settings):
    source = open_source(node.layer, "TRAIN", resolve_path=resolver(node), tops=node.origin.tops, **settings)
    with contextlib.closing(source):
        return [source.next_batch().tops for _ in range(count)]


def test_voc():
    voc()
    node = node_of("voc_layers.VOCSegDataLayer", f"{{'voc_dir': 'voc', 'seed': 1337, 'split': 'val', 'mean': {MEAN}}}")
    assert plain(node) == VocSegData("val", True, 1337, voc_dir="voc", mean=MEAN)
    assert node.layer.random_fields(train=True) == ()
    assert node.layer.cost((), ()) == Cost()
    for (data, label), name in zip(batches(node, 7), [*IMAGES, "0", "1"]):
        expected = (IMAGES[name] - np.array(MEAN)).astype(np.float32).transpose(2, 0, 1)
        np.testing.assert_array_equal(data, expected[None])
        np.testing.assert_array_equal(label, LABELS[name][None, None])
        assert data.dtype == label.dtype == np.float32


def test_shapes_are_those_of_the_first_image():
    voc()
    voc_str = f"{{'voc_dir': 'voc', 'split': 'val', 'mean': {MEAN}}}"
    unknown = node_of("voc_layers.VOCSegDataLayer", voc_str).layer.batch(None, 2)
    assert repr(unknown) == "((1, 3, ?, ?), (1, 1, ?, ?))"
    net = read_net(
        Source(
            "net",
            'layer { name: "d" type: "Python" top: "data" top: "label" python_param { '
            f"module: 'voc_layers' layer: 'VOCSegDataLayer' param_str: \"{voc_str}\" }} }}",
        )
    )
    graph = graph_of(net, State("TRAIN"), record_shapes)
    assert [graph.shape(top) for top in graph.nodes[0].tops] == [(1, 3, 9, 12), (1, 1, 9, 12)]


def test_training_draws_with_replacement_and_resumes():
    voc()
    node = node_of("voc_layers.VOCSegDataLayer", f"'voc_dir': 'voc', 'split': 'train', 'mean': {MEAN}, 'seed': 3")
    assert node.layer.random_fields(train=True) == ("randomize",)
    heights = [data.shape[2] for data, _ in batches(node, 60)]
    assert set(heights) == {9, 10, 11, 12, 13}
    assert len(set(heights[:5])) < 5 or len(set(heights[5:10])) < 5
    assert [data.shape[2] for data, _ in batches(node, 60, seed=99)] == heights
    other = node_of("voc_layers.VOCSegDataLayer", f"'voc_dir': 'voc', 'split': 'train', 'mean': {MEAN}")
    assert [data.shape[2] for data, _ in batches(other, 60, seed=1)] != [d.shape[2] for d, _ in batches(other, 60)]
    still = node_of(
        "voc_layers.VOCSegDataLayer", f"'voc_dir': 'voc', 'split': 'train', 'mean': {MEAN}, 'randomize': False"
    )
    assert [data.shape[2] for data, _ in batches(still, 6)] == [9, 10, 11, 12, 13, 9]
    source = open_source(node.layer, "TRAIN")
    assert source.epoch_size() is None
    for _ in range(7):
        source.next_batch()
    state = source.state()
    source.close()
    with contextlib.closing(open_source(node.layer, "TRAIN", seed=5)) as again:
        again.restore(state)
        assert [again.next_batch().tops[0].shape[2] for _ in range(9)] == heights[7:16]


def test_sbdd():
    split("sbdd/train.txt")
    for name in IMAGES:
        image_file(f"sbdd/img/{name}.jpg", IMAGES[name])
        mat_file(f"sbdd/cls/{name}.mat", GTcls={"Boundaries": np.zeros(3), "Segmentation": LABELS[name]})
    param = f"{{'sbdd_dir': 'sbdd', 'randomize': False, 'split': 'train', 'mean': {MEAN}}}"
    node = node_of("voc_layers.SBDDSegDataLayer", param)
    assert plain(node) == SbddSegData("train", False, sbdd_dir="sbdd", mean=MEAN)
    for (data, label), name in zip(batches(node, 5), IMAGES):
        assert data.shape == (1, 3, *IMAGES[name].shape[:2])
        np.testing.assert_array_equal(label, LABELS[name][None, None])


def test_nyud():
    split("nyud/val.txt", ["5001"])
    depth = RANDOM.integers(1, 60000, (6, 7), dtype=np.uint16)
    labels = RANDOM.integers(0, 41, (6, 7), dtype=np.uint16)
    hha = RANDOM.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    image_file("nyud/data/images/img_5001.png", IMAGES["0"][:6, :7])
    image_file("nyud/data/depth/img_5001.png", depth)
    image_file("nyud/data/hha/img_5001.png", hha[:, :, ::-1])
    mat_file("nyud/segmentation/img_5001.mat", segmentation=labels)
    tops = "hha depth label color"
    param = f"{{'nyud_dir': 'nyud', 'split': 'val', 'tops': {tops.split()}}}"
    node = node_of("nyud_layers.NYUDSegDataLayer", param, tops)
    assert plain(node) == NyudSegData("val", nyud_dir="nyud", tops=tuple(tops.split()))
    found = dict(zip(tops.split(), batches(node)[0]))
    np.testing.assert_allclose(
        found["hha"][0], hha.transpose(2, 0, 1) - np.array([[[132.431]], [[94.076]], [[118.477]]])
    )
    np.testing.assert_allclose(found["depth"][0, 0], np.log(depth) - 7.844, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["label"][0, 0], (labels.astype(np.uint8) - np.uint8(1)))
    color = IMAGES["0"][:6, :7].transpose(2, 0, 1) - np.array([[[116.190]], [[97.203]], [[92.318]]])
    np.testing.assert_allclose(found["color"][0], color, rtol=1e-5)
    with raises("E020", "expected 4 tops, got 2"):
        node.layer.batch(None, 2)


def test_siftflow():
    scenes = "spatial_envelope_256x256_static_8outdoorcategories"
    split("sift/val.txt", ["coast"])
    image_file(f"sift/Images/{scenes}/coast.jpg", IMAGES["1"])
    semantic = RANDOM.integers(0, 34, IMAGES["1"].shape[:2], dtype=np.uint8)
    geometric = RANDOM.integers(-1, 4, IMAGES["1"].shape[:2], dtype=np.int16)
    mat_file(f"sift/SemanticLabels/{scenes}/coast.mat", S=semantic)
    mat_file(f"sift/GeoLabels/{scenes}/coast.mat", S=geometric)
    node = node_of("siftflow_layers.SIFTFlowSegDataLayer", "{'siftflow_dir': 'sift', 'split': 'val'}", "data sem geo")
    assert plain(node) == SiftFlowSegData("val", siftflow_dir="sift")
    data, sem, geo = batches(node)[0]
    assert data.shape == (1, 3, *IMAGES["1"].shape[:2])
    np.testing.assert_array_equal(sem[0, 0], semantic - np.uint8(1))
    np.testing.assert_array_equal(geo[0, 0], np.where(geometric < 1, 255, geometric - 1))


def test_pascal_context():
    split("voc/VOC2010/ImageSets/Main/val.txt", ["0"])
    image_file("voc/VOC2010/JPEGImages/0.jpg", IMAGES["0"])
    written("context/labels.txt", b"1: accordion\n2: table\n3: bed clothes\n4: sky\n5: cloth\n6: bedclothes\n")
    written("context/59_labels.txt", b"1: sky\n2: diningtable\n3: bedcloth\n4: clothes\n")
    labels = RANDOM.integers(0, 7, IMAGES["0"].shape[:2], dtype=np.uint16)
    mat_file("context/trainval/0.mat", LabelMap=labels)
    param = "{'voc_dir': 'voc', 'context_dir': 'context', 'split': 'val'}"
    node = node_of("pascalcontext_layers.PASCALContextSegDataLayer", param)
    assert plain(node) == PascalContextSegData("val", voc_dir="voc", context_dir="context")
    ((_, label),) = batches(node)
    np.testing.assert_array_equal(label[0, 0], np.array([0, 0, 2, 3, 1, 4, 0])[labels])
    written("context/59_labels.txt", b"1: moon\n")
    with fault("E506", "class `moon` of `context/59_labels.txt` is not in `context/labels.txt`"):
        batches(node)
    written("context/59_labels.txt", b"moon\n")
    with fault("E506", "is not a list of classes"):
        batches(node)


BAD = [
    ("voc_layers.VOCSegDataLayer", f"'split': 'val', 'mean': {MEAN}", "E101", "`voc_dir` is missing"),
    ("voc_layers.VOCSegDataLayer", f"'voc_dir': 'a', 'mean': {MEAN}", "E101", "`split` is missing"),
    ("voc_layers.VOCSegDataLayer", "'voc_dir': 'a', 'split': 'val'", "E103", "`mean` in `param_str` must be three"),
    ("voc_layers.SBDDSegDataLayer", "'sbdd_dir': 'a', 'split': 'v', 'mean': (1, 2)", "E103", "must be three numbers"),
    ("siftflow_layers.SIFTFlowSegDataLayer", "'siftflow_dir': 'a', 'split': 'v', 'seed': 'x'", "E103", "`seed` 'x'"),
    ("nyud_layers.NYUDSegDataLayer", "'nyud_dir': 'a', 'split': 'v'", "E103", "`tops` is missing"),
    ("nyud_layers.NYUDSegDataLayer", "'nyud_dir': 'a', 'split': 'v', 'tops': ['x']", "E103", "unknown top `x`"),
    ("siftflow_layers.SIFTFlowSegDataLayer", "'siftflow_dir': 'a', 'splits': 'v'", "E103", "unknown key `splits`"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "param", "code", "text"), BAD)
def test_bad_parameters(name, param, code, text):
    with raises(code, text):
        node_of(name, param)


def test_they_are_written_back():
    param = f"{{'voc_dir': 'voc', 'split': 'val', 'mean': {MEAN}}}"
    layer = node_of("voc_layers.VOCSegDataLayer", param).layer
    assert layer.to_caffe() == {"module": "voc_layers", "layer": "VOCSegDataLayer", "param_str": param}
    made = NyudSegData("val", nyud_dir="nyud", tops=("color",), seed=4)
    assert made.to_caffe()["param_str"] == "'split': 'val'\n'seed': 4\n'nyud_dir': 'nyud'\n'tops': ['color']"


def test_missing_and_bad_files(monkeypatch):
    voc(["0", "gone", "2"])
    node = node_of("voc_layers.VOCSegDataLayer", f"'voc_dir': 'voc', 'split': 'val', 'mean': {MEAN}")
    with fault("E504", "`voc/JPEGImages/gone.jpg`: no such file"):
        batches(node, 3)
    source = open_source(node.layer, "TEST", skip_bad=True)
    with contextlib.closing(source):
        assert [source.next_batch().tops[0].shape[2] for _ in range(3)] == [9, 11, 11]
        assert list(source.skipped) == ["`gone` of `voc/ImageSets/Segmentation/val.txt`"]
    split("voc/ImageSets/Segmentation/val.txt", [])
    with fault("E502", "is empty"):
        batches(node)
    Path("voc/ImageSets/Segmentation/val.txt").unlink()
    with fault("E501", "cannot be read"):
        batches(node)


def test_bad_mat_files(monkeypatch):
    split("sbdd/val.txt", ["0"])
    image_file("sbdd/img/0.jpg", IMAGES["0"])
    node = node_of("voc_layers.SBDDSegDataLayer", f"'sbdd_dir': 'sbdd', 'split': 'val', 'mean': {MEAN}")
    for variables, text in (
        ({"other": LABELS["0"]}, "it has no numeric variable `GTcls.Segmentation`"),
        ({"GTcls": {"Segmentation": "text"}}, "it has no numeric variable"),
        ({"GTcls": LABELS["0"]}, "it has no numeric variable"),
        ({"GTcls": {"Segmentation": np.zeros((2, 3, 4))}}, "a label map has two axes, found 3"),
        ({"GTcls": {"Segmentation": np.full((2, 3), 256.0)}}, "the label map has values outside 0 to 255"),
        ({"GTcls": {"Segmentation": np.full((2, 3), np.nan)}}, "the label map has values outside 0 to 255"),
    ):
        mat_file("sbdd/cls/0.mat", **variables)
        with fault("E504", "`sbdd/cls/0.mat`", text):
            batches(node)
    mat_file("sbdd/cls/0.mat", GTcls={"Segmentation": LABELS["0"]})
    data = Path("sbdd/cls/0.mat").read_bytes()
    for end in (0, 100, 130, len(data) - 9):
        Path("sbdd/cls/0.mat").write_bytes(data[:end])
        with fault("E504", "`sbdd/cls/0.mat`"):
            batches(node)
    Path("sbdd/cls/0.mat").write_bytes(data)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with fault("E633", "reading .mat files needs the package `scipy`"):
        batches(node, skip_bad=True)


def test_the_content_of_a_mat_file_is_limited(monkeypatch):
    monkeypatch.setattr(matlab, "MOST_BYTES", 1 << 20)
    packed = zlib.compress(bytes(1 << 21))
    header = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"
    with pytest.raises(ValueError, match="larger than the limit"):
        read_variable(header + struct.pack("<II", 15, len(packed)) + packed, "a")
    with pytest.raises(ValueError, match="SciPy cannot read it"):
        read_variable(header + struct.pack("<II", 15, 4) + b"abcd", "a")
