"""RoIDataLayer of py-faster-rcnn: what it reads from folders in PASCAL VOC's layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.sources.region_sampling import codes_of, overlaps
from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.layers.detection.roi_data import RoiDataLayer
from tests.layers.contract import raises
from tests.layers.detection.frcnn import code, overlap

OBJECT = """<object><name>{}</name><difficult>{}</difficult>
<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""
SIZES = {"a": (30, 40), "b": (50, 20), "c": (24, 24)}
OBJECTS = {
    "a": [("cat", 0, 3, 4, 20, 25), ("dog", 1, 1, 1, 9, 9)],
    "b": [("dog", 0, 1, 1, 20, 30), ("cat", 0, 5, 31, 15, 50)],
    "c": [("dog", 1, 2, 2, 8, 8)],
}
MEANS = (10.0, 20.0, 30.0)


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        cv2.imwrite(str(tmp_path / f"JPEGImages/{name}.png"), random.integers(256, size=(height, width, 3)))
        objects = "".join(OBJECT.format(*one) for one in OBJECTS[name])
        (tmp_path / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    (tmp_path / "ImageSets/Main/train.txt").write_text("a\nb\nc\n")
    return tmp_path


def layer_of(folder: Path, **more) -> RoiDataLayer:
    settings = {"scales": (60,), "max_size": 100, "classes": ("cat", "dog"), "pixel_means": MEANS, **more}
    return RoiDataLayer(3, str(folder), "train", **settings)


def batches(layer: RoiDataLayer, count: int, seed: int = 0, position: int = 0):
    source = open_source(layer, "TRAIN", seed=seed)
    try:
        source.seek(position)
        return [source.next_batch().tops for _ in range(count)]
    finally:
        source.close()


def expected(folder: Path, name: str, mirrored: bool, layer: RoiDataLayer):
    """The tops of an image."""
    image = cv2.imread(str(folder / f"JPEGImages/{name}.png")).astype(np.float32)
    height, width = image.shape[:2]
    scale = 60 / min(height, width)
    scale = 100 / max(height, width) if round(scale * max(height, width)) > 100 else scale
    image = (image[:, ::-1] if mirrored else image) - np.array(MEANS, np.float32)
    data = cv2.resize(image, None, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    rows = []
    for kind, difficult, *box in OBJECTS[name]:
        x1, y1, x2, y2 = (side - 1 for side in box)
        x1, x2 = (width - x2 - 1, width - x1 - 1) if mirrored else (x1, x2)
        if not difficult or layer.use_difficult:
            rows.append([x1 * scale, y1 * scale, x2 * scale, y2 * scale, layer.classes.index(kind) + 1])
    return data[None], np.array([[*data.shape[1:], scale]], np.float32), np.array(rows, np.float32)


def equal(found, wanted) -> bool:
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-6) for a, b in zip(found, wanted))


def test_every_image_is_read_once_as_it_is_and_once_mirrored(folder):
    layer = layer_of(folder)
    found = batches(layer, 4)
    wanted = [expected(folder, name, mirrored, layer) for name in "ab" for mirrored in (False, True)]
    assert [sum(equal(tops, one) for tops in found) for one in wanted] == [1, 1, 1, 1]
    assert wanted[2][0].shape == (1, 3, 100, 40)  # scaled by 2, where the shorter side alone would give 3
    assert all(top.dtype == np.float32 for top in found[0])


def test_difficult_objects_and_no_mirrored_images_on_request(folder):
    layer = layer_of(folder, use_flipped=False, use_difficult=True)
    found = batches(layer, 3)
    assert sorted(len(tops[2]) for tops in found) == [1, 2, 2]
    assert any(equal(tops, expected(folder, "c", False, layer)) for tops in found)


def test_the_order_follows_from_the_seed_and_is_resumed(folder):
    layer = layer_of(folder)
    first, again = batches(layer, 9, seed=3), batches(layer, 9, seed=3)
    assert all(equal(*pair) for pair in zip(first, again))
    assert all(equal(*pair) for pair in zip(first[5:], batches(layer, 4, seed=3, position=5)))
    assert not all(equal(*pair) for pair in zip(first, batches(layer, 9, seed=4)))


PROPOSALS = "a 2 3 19 24\na 0 0 5 5\na.png 20 5 39 29\nb 0 0 18 28\nb 0 25 19 49\n"


def test_regions_of_fast_rcnn(folder):
    (folder / "rois.txt").write_text(PROPOSALS)
    layer = layer_of(
        folder,
        has_rpn=False,
        proposals=str(folder / "rois.txt"),
        use_flipped=False,
        ims_per_batch=2,
        num_rois=8,
        fg_fraction=0.5,
        bg_thresh_lo=0.0,
        bbox_normalize_means=(0.1, 0.2, 0.3, 0.4),
    )
    data, rois, labels, codes, inside, outside = batches(layer, 1)[0]
    assert data.shape[0] == 2
    assert set(rois[:, 0]) == {0, 1}
    assert 0 < (labels > 0).sum() <= 4
    objects = {tuple(row[:4]): row[4] for name in "ab" for row in expected(folder, name, False, layer)[2]}
    for roi, label, own, weight, outer in zip(rois[:, 1:], labels, codes, inside, outside):
        shared = {box: overlap(roi, np.array(box)) for box in objects}
        if label:
            best = max((box for box in objects if objects[box] == label), key=lambda box: shared[box])
            moved = (code(roi, np.array(best)) - layer.bbox_normalize_means) / layer.bbox_normalize_stds
            start = 4 * int(label)
            np.testing.assert_allclose(own[start : start + 4], moved, rtol=1e-3, atol=1e-3)
            assert weight.sum() == weight[start : start + 4].sum() == 4
        else:
            assert not weight.any()
            assert not own.any()
        np.testing.assert_array_equal(weight, outer)


def test_overlaps_and_codes():
    random = np.random.default_rng(2)
    boxes, others = (np.sort(random.uniform(0, 50, (n, 2, 2)), 1).reshape(n, 4) for n in (4, 3))
    np.testing.assert_allclose(overlaps(boxes, others), [[overlap(a, b) for b in others] for a in boxes])
    np.testing.assert_allclose(codes_of(boxes[:3], others), [code(a, b) for a, b in zip(boxes, others)])


@pytest.mark.parametrize(
    ("text", "tops", "shapes"),
    [
        ("'num_classes': 21", "data im_info gt_boxes", ((1, 3, UNKNOWN, UNKNOWN), (1, 3), (UNKNOWN, 5))),
        ("'num_classes': 21", "data rois labels", ((2, 3, UNKNOWN, UNKNOWN), (UNKNOWN, 5), (UNKNOWN,))),
        (
            "'num_classes': 21",
            "data rois labels targets weights",
            ((2, 3, UNKNOWN, UNKNOWN), (UNKNOWN, 5), (UNKNOWN,), (UNKNOWN, 84), (UNKNOWN, 84)),
        ),
        (
            "{'num_classes': 2, 'classes': ['x'], 'has_rpn': True}",
            "a rois c",
            ((1, 3, UNKNOWN, UNKNOWN), (1, 3), (UNKNOWN, 5)),
        ),
    ],
)
def test_the_tops_decide_what_is_read(graph_from, text, tops, shapes):
    named = " ".join(f'top: "{top}"' for top in tops.split())
    graph = graph_from(f"""layer {{ name: "input" type: "Python" {named}
        python_param {{ module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "{text}" }} }}""")
    assert graph.shapes(graph.nodes[0].tops) == shapes
    assert graph.nodes[0].layer.is_data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_classes": 5, "classes": ["a"]},
            "`num_classes` is 5: expected 2, of the background and 1 name in `classes`",
        ),
        ({"num_classes": 0}, "`num_classes` is required and must be positive"),
        ({"scales": []}, "sizes and numbers in `param_str` must be positive"),
        ({"pixel_means": [1.0]}, "expected 3 `pixel_means`"),
    ],
)
def test_settings_out_of_range(graph_from, change, message):
    text = str({"num_classes": 21, **change})
    with raises("E103", message):
        graph_from(f"""layer {{ name: "input" type: "Python" top: "a" top: "b" top: "c"
            python_param {{ module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "{text}" }} }}""")


def test_names_are_needed_where_data_is_read(graph_from, folder):
    text = str({"num_classes": 5, "source": str(folder)})
    graph = graph_from(f"""layer {{ name: "input" type: "Python" top: "a" top: "b" top: "c"
        python_param {{ module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "{text}" }} }}""")
    with raises("E103", "`num_classes` is 5: expected 21"):
        batches(graph.nodes[0].layer, 1)


def test_what_cannot_be_read(folder):
    with pytest.raises(NetcError) as caught:
        batches(layer_of(folder, classes=("cow", "dog")), 1)
    assert [(d.code, d.message, d.span.line) for d in caught.value.diagnostics] == [
        ("E513", "unknown class `cat`", 1),
        ("E513", "unknown class `cat`", 2),
    ]
    with raises("E501", "nowhere"):
        batches(layer_of(folder / "nowhere"), 1)
    (folder / "rois.txt").write_text("a 1 2 3\n")
    with raises("E506", "line 1 of .* is not an image and the corners of a box"):
        batches(layer_of(folder, has_rpn=False, proposals=str(folder / "rois.txt")), 1)
    (folder / "JPEGImages/a.png").write_bytes(b"no image")
    (folder / "JPEGImages/b.png").write_bytes(b"no image")
    with raises("E504", "png`: "):
        batches(layer_of(folder), 4)
    (folder / "ImageSets/Main/train.txt").write_text("c\n")
    with raises("E502", "has no image with an object"):
        batches(layer_of(folder), 1)
