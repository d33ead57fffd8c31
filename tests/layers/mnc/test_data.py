"""MNCDataLayer of MNC: what it reads from folders in the layout of the Semantic Boundaries Dataset."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from netc.data import open_source
from netc.ir.dims import UNKNOWN
from netc.layers.mnc.data import MncDataLayer
from tests.layers.contract import raises

SIZES = {"a": (30, 40), "b": (50, 20)}
OBJECTS = {"a": {1: (3, 4, 12, 20, 2), 2: (15, 22, 28, 39, 1)}, "b": {5: (0, 0, 30, 15, 1)}}
"""Of each image, objects by number: top, left, last row, last column, class."""
MEANS = (10.0, 20.0, 30.0)


def maps(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The objects and classes at each pixel: objects without their corners."""
    instances, classes = (np.zeros(SIZES[name], np.uint8) for _ in range(2))
    for number, (top, left, bottom, right, kind) in OBJECTS[name].items():
        area = (slice(top, bottom + 1), slice(left, right + 1))
        instances[area], classes[area] = number, kind
        instances[top, left] = instances[bottom, right] = 0
    return instances, classes


def save(folder: Path, name: str, instances: np.ndarray, classes: np.ndarray) -> None:
    for kind, values in (("inst", instances), ("cls", classes)):
        structure = {"Segmentation": values, "Boundaries": np.zeros(3)}
        scipy.io.savemat(folder / kind / f"{name}.mat", {f"GT{kind}": structure}, do_compression=True)


@pytest.fixture
def folder(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for name in ("img", "inst", "cls"):
        (tmp_path / name).mkdir()
    for name, (height, width) in SIZES.items():
        assert cv2.imwrite(str(tmp_path / f"img/{name}.jpg"), random.integers(256, size=(height, width, 3)))
        save(tmp_path, name, *maps(name))
    (tmp_path / "train.txt").write_text("a\nb\n")
    return tmp_path


def layer_of(folder: Path, **more) -> MncDataLayer:
    settings = {
        "image_set": "train",
        "scales": (60,),
        "max_size": 100,
        "classes": ("cat", "dog"),
        "pixel_means": MEANS,
        **more,
    }
    return MncDataLayer(3, str(folder), with_masks=True, **settings)


def batches(layer: MncDataLayer, count: int):
    source = open_source(layer, "TRAIN", tops=["data", "im_info", "gt_boxes", "gt_masks", "mask_info"])
    try:
        return [source.next_batch().tops for _ in range(count)]
    finally:
        source.close()


def expected(folder: Path, name: str, mirrored: bool):
    image = cv2.imread(str(folder / f"img/{name}.jpg")).astype(np.float32)
    height, width = image.shape[:2]
    scale = min(60 / min(height, width), 100 / max(height, width))
    image = (image[:, ::-1] if mirrored else image) - np.array(MEANS, np.float32)
    data = cv2.resize(image, None, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    instances, _ = maps(name)
    boxes, masks = [], []
    for number, (top, left, bottom, right, kind) in OBJECTS[name].items():
        mask = instances[top : bottom + 1, left : right + 1] == number
        left, right, mask = (width - right - 1, width - left - 1, mask[:, ::-1]) if mirrored else (left, right, mask)
        boxes.append([left * scale, top * scale, right * scale, bottom * scale, kind])
        masks.append(mask)
    sizes = np.array([mask.shape for mask in masks])
    padded = [np.pad(m, ((0, sizes[:, 0].max() - m.shape[0]), (0, sizes[:, 1].max() - m.shape[1]))) for m in masks]
    return data[None], np.array([[*data.shape[1:], scale]]), np.array(boxes), np.array(padded), sizes


def equal(found, wanted) -> bool:
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-6) for a, b in zip(found, wanted))


def test_every_image_is_read_once_as_it_is_and_once_mirrored(folder):
    wanted = [expected(folder, name, mirrored) for name in "ab" for mirrored in (False, True)]
    for found in batches(layer_of(folder), 4):
        assert len(found) == 5
        (match,) = [i for i, one in enumerate(wanted) if equal(found, one)]
        del wanted[match]
    assert not wanted


def test_an_image_without_objects(folder):
    for name in "ab":
        save(folder, name, *(np.zeros(SIZES[name], np.uint8),) * 2)
    _, _, boxes, masks, sizes = batches(layer_of(folder), 1)[0]
    assert (boxes.shape, masks.shape, sizes.shape) == ((0, 5), (0, 1, 1), (0, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, c: (i, c[:-1]), "maps of objects and of classes have shapes"),
        (lambda i, c: (i, c * 0), r"has classes \[\]: expected one from 1 to 2"),
        (lambda i, c: (i, c + 2), r"has classes \[3\]|has classes \[4\]"),
        (lambda i, c: (i * 0 + 1, np.arange(c.size).reshape(c.shape) % 2 + 1), r"object 1 has classes \[1, 2\]"),
        (lambda i, c: (np.arange(i.size, dtype=np.int32).reshape(i.shape), c), "objects, more than 1,000|has classes"),
        (
            lambda i, c: (i[:-1], c[:-1]),
            "its maps of objects and classes (29 x 40|49 x 20)",
        ),
    ],
)
def test_maps_that_do_not_match_are_errors(folder, change, message):
    for name in "ab":
        save(folder, name, *change(*maps(name)))
    with raises("E504", message):
        batches(layer_of(folder), 1)


def test_missing_files_are_errors(folder):
    with raises("E501", "`val.txt` cannot be read"):
        batches(layer_of(folder, image_set="val"), 1)
    with raises("E501", "there is no folder"):
        batches(layer_of(folder / "nowhere"), 1)
    (folder / "train.txt").write_text("\n")
    with raises("E502", "has no image"):
        batches(layer_of(folder), 1)
    (folder / "train.txt").write_text("c")
    with raises("E504", r"inst.c\.mat"):
        batches(layer_of(folder), 1)


NET = """layer {{ name: "d" type: "Python" {tops}
  python_param {{ module: "pylayer.mnc_data_layer" layer: "MNCDataLayer" param_str: "{text}" }} }}"""


def test_param_str(graph_from):
    names = ["data", "im_info", "gt_boxes", "gt_masks", "mask_info"]
    tops = [" ".join(f'top: "{name}"' for name in names[:count]) for count in (3, 5)]
    layer = graph_from(NET.format(tops=tops[1], text="{ 'num_classes': 21 }")).nodes[-1].layer
    assert isinstance(layer, MncDataLayer)
    assert (layer.with_masks, layer.source, layer.image_set, layer.batch_size) == (
        True,
        "data/VOCdevkitSDS",
        "train",
        1,
    )
    assert layer.batch(None, 5)[3:] == ((UNKNOWN, UNKNOWN, UNKNOWN), (UNKNOWN, 2))
    layer = graph_from(NET.format(tops=tops[1], text="{'num_classes': 21, 'source': 'x'}")).nodes[-1].layer
    assert (layer.source, layer.image_set) == ("x", "train")
    layer = graph_from(NET.format(tops=tops[0], text="{'num_classes': 21}")).nodes[-1].layer
    assert (layer.with_masks, layer.source, layer.image_set) == (False, "data/VOCdevkit2007/VOC2007", "trainval")
