"""ImageGtData of MS-CNN: parts of images, and labels compared with a loop over positions and objects."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import netc.pycaffe
from netc.data import open_source
from netc.data.sources.object_canvas import Canvas, Part
from netc.data.sources.object_file import ObjectImage
from netc.data.sources.object_labels import LabelMaker
from netc.ir.dims import UNKNOWN
from netc.ir.transform import Transform
from netc.layers.mscnn.image_gt_data import ImageGtData
from tests.layers.contract import raises
from tests.layers.harness import layer_of
from tests.layers.mscnn.mscnn import share

MAPS = {"downsample_rate": (8, 16), "field_w": (24.0, 48.0), "field_h": (20.0, 40.0)}
MEANS = (10.0, 20.0, 30.0)
FIELDS = {"source": "a", "batch_size": 1, "downsample_rate": [8], "field_w": [24.0], "field_h": [24.0]}
REQUIRED = {"ImageGtData": 'source: "a" batch_size: 1 downsample_rate: 8 field_w: 24 field_h: 24'}
_PAIRS = {
    "resize_width": 640,
    "resize_height": 480,
    "crop_width": 320,
    "crop_height": 240,
    "output_gt_boxes": True,
    "output_projection_matrix": True,
}
WHOLE = {f"image_gt_data_param.{name}": {"image_gt_data_param": {**FIELDS, **_PAIRS}} for name in _PAIRS}
SIZE = 96, 64
"""Width and height of the images."""
OBJECTS = [(1, 0, 4, 6, 30, 28), (2, 0, 50, 20, 90, 58), (1, 1, 60, 2, 84, 22), (3, 0, 2, 50, 9, 60)]
REGIONS = [(36, 2, 58, 20)]
POSE = (1.5, 1.6, 4.2, 2.5, 1.25, 20.0, 0.5)


def written(folder: Path, matrices: str = "", objects=OBJECTS, regions=REGIONS, count: int = 3) -> str:
    random = np.random.default_rng(7)
    text = ""
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), random.integers(1, 256, (SIZE[1], SIZE[0], 3), np.uint8))
        text += f"# {i}\n{i}.png\n3\n{SIZE[1]}\n{SIZE[0]}\n{matrices}{len(objects)}\n"
        more = " " + " ".join(map(str, POSE)) if matrices else ""
        text += "".join(" ".join(map(str, row)) + more + "\n" for row in objects)
        text += f"{len(regions)}\n" + "".join(" ".join(map(str, row)) + "\n" for row in regions)
    (folder / "objects.txt").write_text(text)
    return str(folder / "objects.txt")


def layer_for(folder: Path, **more) -> ImageGtData:
    matrices = more.pop("matrices", "")
    settings = {"transform": Transform(mean_value=MEANS), "output_gt_boxes": True, **MAPS, **more}
    return ImageGtData(2, source=written(folder, matrices), **settings)


def batches(layer, count: int = 1, tops: int = 4, **more):
    source = open_source(layer, "TRAIN", tops=("t",) * tops, **{"seed": 1, **more})
    try:
        found = [source.next_batch().tops for _ in range(count)]
        assert all(len(one) == tops for one in found)
        return found
    finally:
        source.close()


def label(layer, index: int, objects, regions, part: Part, size, skips: bool):
    """A label, which objects have a position, and the greatest overlap of each, position by position."""
    rate, half = layer.downsample_rate[index], (layer.field_w[index] / 2, layer.field_h[index] / 2)
    shape = size[0] // rate, size[1] // rate
    found = np.zeros((6, *shape))
    matched, greatest = set(), [0.0] * len(objects)

    def rounded(value):
        return math.floor(value / rate + 0.5)

    for y, x in np.ndindex(shape):
        rows = range(rounded(part.top), rounded(part.top) + rounded(part.height))
        columns = range(rounded(part.left), rounded(part.left) + rounded(part.width))
        field = ((x + 0.5) * rate - half[0], (y + 0.5) * rate - half[1], 2 * half[0], 2 * half[1])
        hidden = 0.0
        for x1, y1, x2, y2 in regions:
            w = min(field[0] + field[2], x2) - max(field[0], x1)
            h = min(field[1] + field[3], y2) - max(field[1], y1)
            hidden += w * h / (field[2] * field[3]) if w > 0 and h > 0 else 0
        if y not in rows or x not in columns or hidden >= 0.4:
            found[5, y, x] = 1
            continue
        most, nearest = 0.0, None
        for i, (_, ignored, x1, y1, x2, y2, *_) in enumerate(objects):
            if ignored and skips:
                continue
            own = share((x1, y1, x2 - x1, y2 - y1), field)
            if own > most:
                most, nearest = own, i
            greatest[i] = max(greatest[i], own)
        found[5, y, x] = most
        if nearest is not None and most > layer.fg_threshold:
            kind, ignored, x1, y1, x2, y2 = objects[nearest][:6]
            found[:5, y, x] = 0 if ignored else kind, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
            matched.add(nearest)
    return found, matched, greatest


def labels(layer, objects, regions, part: Part, size, skips: bool = False):
    maps = [label(layer, i, objects, regions, part, size, skips) for i in range(len(layer.field_w))]
    for i, (kind, ignored, x1, y1, x2, y2, *_) in enumerate(objects):
        best = max(range(len(maps)), key=lambda m: maps[m][2][i])
        if ignored or any(i in matched for _, matched, _ in maps) or maps[best][2][i] < 0.2:
            continue
        found, rate = maps[best][0], layer.downsample_rate[best]
        y, x = (
            min(max(int(c // rate), 0), n - 1)
            for c, n in (((y1 + y2) / 2, found.shape[1]), ((x1 + x2) / 2, found.shape[2]))
        )
        if found[0, y, x] <= 0:
            found[:5, y, x] = kind, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    return [found for found, _, _ in maps]


WHOLE_PART = Part(0, 0, SIZE[1], SIZE[0], 0, 0)


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_whole_images_and_their_labels(tmp_path, threshold):
    layer = layer_for(tmp_path, fg_threshold=threshold, min_gt_height=10.5, scale=0.5)
    data, *maps, objects = batches(layer)[0]
    rows = [list(row) for row in OBJECTS]
    rows[3][1] = 0
    for i in range(2):
        image = cv2.imread(str(tmp_path / f"{i}.png")).transpose(2, 0, 1)
        np.testing.assert_allclose(data[i], (image - np.array(MEANS)[:, None, None]) * 0.5, rtol=1e-6)
        wanted = labels(layer, rows, REGIONS, WHOLE_PART, SIZE[::-1])
        assert (wanted[0][0] > 0).any()
        for found, expected in zip(maps, wanted):
            np.testing.assert_allclose(found[i], expected, rtol=1e-5)
    expected = [[i, *row[2:], *row[:2]] for i in range(2) for row in rows]
    np.testing.assert_array_equal(objects[:, :, 0, 0], expected)
    narrow = batches(replace(layer, min_gt_height=11.5))[0][-1]
    assert narrow[3, 6, 0, 0] == 1


def test_labels_of_the_panoramic_port_leave_out_ignored_objects(tmp_path):
    matrices = " ".join(map(str, range(1, 13))) + "\n"
    layer = layer_for(tmp_path, matrices=matrices, append_3d_info=True, output_projection_matrix=True, fg_threshold=0.3)
    _, first, second, objects, projection, model = batches(layer, tops=6)[0]
    for found, expected in zip((first, second), labels(layer, OBJECTS, REGIONS, WHOLE_PART, SIZE[::-1], True)):
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    h, w, long, *rest = POSE
    np.testing.assert_allclose(objects[0, :, 0, 0], [0, *OBJECTS[0][2:], 1, 0, long, h, w, *rest])
    np.testing.assert_array_equal(projection[1].ravel(), [1, 2, 3, 5, 6, 7])
    wanted = np.eye(4)
    wanted[:3, 3] = 4 / 1, 8 / 6, 12
    np.testing.assert_allclose(model[0].ravel(), wanted.ravel())
    assert layer.batch(None, 6)[3:] == ((UNKNOWN, 14, 1, 1), (2, 6, 1, 1), (2, 16, 1, 1))


def test_matrices_of_a_sphere(tmp_path):
    matrices = " ".join(map(str, range(22))) + "\n"
    layer = layer_for(tmp_path, matrices=matrices, use_panoramic=True, output_projection_matrix=True)
    *_, projection, model = batches(layer, tops=6)[0]
    np.testing.assert_array_equal(projection[0].ravel(), range(16, 22))
    np.testing.assert_array_equal(model[0].ravel(), range(16))


def matrix(rows, columns):
    return np.arange(rows * columns, dtype=float).reshape(rows, columns) + 1


def test_what_moves_with_an_image():
    row = np.array([[1, 0, 4, 6, 30, 28, 4.2, 1.5, 1.6, 2.5, 1.25, 20, 0.5]])
    entry = ObjectImage("", (64, 96), row, np.array([[10.0, 2, 20, 8]]), matrix(2, 3), matrix(4, 4))
    image = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    canvas = Canvas(image, entry)
    canvas.mirror()
    np.testing.assert_array_equal(canvas.image, image[:, ::-1])
    np.testing.assert_allclose(canvas.objects[0, 2:], [66, 6, 92, 28, 4.2, 1.5, 1.6, -2.5, 1.25, 20, math.pi - 0.5])
    np.testing.assert_array_equal(canvas.regions, [[76, 2, 86, 8]])
    np.testing.assert_array_equal(canvas.projection, [[1, 2, 93], [-4, 5, 6]])
    canvas.resize(32, 192)
    assert canvas.image.shape == (32, 192, 3)
    np.testing.assert_array_equal(canvas.objects[0, 2:6], [132, 3, 184, 14])
    np.testing.assert_array_equal(canvas.projection, [[2, 4, 186], [-2, 2.5, 3]])
    canvas.move(-10, 5)
    np.testing.assert_array_equal(canvas.regions, [[142, 6, 162, 9]])
    np.testing.assert_array_equal(canvas.projection[:, 2], [176, 8])
    np.testing.assert_array_equal(entry.projection, matrix(2, 3))


def test_an_image_is_cropped_before_it_is_enlarged():
    entry = ObjectImage("", (60, 100), np.zeros((0, 13)), np.zeros((0, 4)), np.eye(2, 3), np.eye(4))
    canvas = Canvas(np.zeros((60, 100, 3), np.uint8), entry)
    assert canvas.scale((2.0, 2.0), [90.0, 10.0]) == [100.0, 20.0]
    assert (canvas.height, canvas.width) == (72, 120)
    np.testing.assert_array_equal(canvas.projection, [[2, 0, -80], [0, 2, 0]])
    canvas = Canvas(np.zeros((60, 100, 3), np.uint8), entry)
    assert canvas.scale((0.5, 1.5), [90.0, 10.0]) == [45.0, 15.0]
    assert (canvas.height, canvas.width) == (90, 50)


def test_crops_around_an_object(tmp_path):
    layer = layer_for(tmp_path, crop_width=48, crop_height=32, transform=Transform())
    whole = [cv2.imread(str(tmp_path / f"{i}.png")).transpose(2, 0, 1) for i in range(3)]
    places = set()
    for number, (data, first, second, objects) in enumerate(batches(layer, 30)):
        assert first.shape == (2, 6, 4, 6)
        assert second.shape == (2, 6, 2, 3)
        rows = objects[:, :, 0, 0]
        for i in range(2):
            own = rows[rows[:, 0] == i]
            x, y = OBJECTS[0][2] - own[0, 1], OBJECTS[0][3] - own[0, 2]
            image = whole[(2 * number + i) % 3]
            np.testing.assert_array_equal(data[i], image[:, int(y) : int(y) + 32, int(x) : int(x) + 48])
            places.add((int(x), int(y)))
            moved = [[kind, row[6], *row[1:5]] for (kind, *_), row in zip(OBJECTS, own)]
            for (_, ignored, *_), row in zip(OBJECTS, own):
                middle = (row[1] + row[3]) / 2, (row[2] + row[4]) / 2
                outside = not (0 <= middle[0] < 48 and 0 <= middle[1] < 32)
                assert row[6] == (ignored or outside)
            regions = [[a - x, b - y, c - x, d - y] for a, b, c, d in REGIONS]
            for found, expected in zip(
                (first, second), labels(layer, moved, regions, Part(0, 0, 32, 48, 0, 0), (32, 48))
            ):
                np.testing.assert_allclose(found[i], expected, rtol=1e-5)
    centers = {((a + c) // 2, (b + d) // 2) for _, _, a, b, c, d in OBJECTS}
    near = {
        (min(max(cx + dx - 24, 0), 48), min(max(cy + dy - 16, 0), 32))
        for cx, cy in centers
        for dx in range(-10, 11)
        for dy in range(-10, 11)
    }
    assert places <= near
    assert len(places) > 10


def test_scaled_and_stretched_images(tmp_path):
    sizes = {"do_multiple_scale": True, "min_scale": 16.0, "max_scale": 64.0}
    layer = layer_for(tmp_path, crop_width=48, crop_height=32, transform=Transform(), **sizes)
    shapes = {"min_whaspect": 0.5, "max_whaspect": 2.0}
    for wide in (False, True):
        current = replace(layer, **(shapes if wide else {}))
        factors = set()
        for *_, objects in batches(current, 40):
            rows = objects[:, :, 0, 0]
            for i in range(2):
                own = rows[rows[:, 0] == i]
                x, y = ((own[1, a + 2] - own[1, a]) / (OBJECTS[1][a + 3] - OBJECTS[1][a + 1]) for a in (1, 2))
                factors.add((round(float(x), 3), round(float(y), 3)))
        alike = {a for a, b in factors if a == b}
        steps = {round(2 ** (k / 2), 3) for k in range(-4, 5)}
        assert alike <= steps
        assert len(alike) > 3
        assert any(a != b for a, b in factors) == wide


def test_mirrored_images(tmp_path):
    layer = layer_for(tmp_path, transform=Transform(mirror=True))
    image = cv2.imread(str(tmp_path / "0.png")).transpose(2, 0, 1)
    seen = set()
    for data, _, _, objects in batches(replace(layer, batch_size=3), 20):
        mirrored = bool((data[0] == image[:, :, ::-1]).all())
        assert mirrored or (data[0] == image).all()
        corners = [66.0, 6, 92, 28] if mirrored else [4.0, 6, 30, 28]
        assert objects[0, 1:5, 0, 0].tolist() == corners
        seen.add(mirrored)
    assert seen == {False, True}


@pytest.mark.parametrize("part", [Part(5, 12, 40, 68, 0, 0), Part(0, 20, 64, 60, 3, 0)])
def test_labels_beyond_the_image(tmp_path, part):
    layer = layer_for(tmp_path)
    objects = np.pad(np.array(OBJECTS, float), ((0, 0), (0, 7)))
    for skips in (False, True):
        found = LabelMaker(objects, np.array(REGIONS, float), skips).of(layer, SIZE[::-1], part)
        for one, expected in zip(found, labels(layer, OBJECTS, REGIONS, part, SIZE[::-1], skips)):
            np.testing.assert_allclose(one, expected, rtol=1e-5)
            assert (expected[5] == 1).any()


def test_a_smaller_image_leaves_a_border(tmp_path):
    layer = layer_for(tmp_path, do_multiple_scale=True, min_scale=16.0, max_scale=64.0, transform=Transform())
    borders = 0
    for data, first, *_ in batches(layer, 20):
        for i in range(2):
            empty = (data[i] == 0).all((0, 1))
            borders += bool(empty.any())
            assert not empty.any() or not empty.all()
            far = empty.reshape(-1, 8).all(1)
            far[1:-1] &= far[2:] & far[:-2]  # places are rounded to positions
            far[[0, -1]] &= far[[1, -2]]
            assert (first[i, 5][:, far] == 1).all()
    assert borders


def test_order_multiples_and_resumption(tmp_path):
    layer = layer_for(tmp_path, shuffle=True, fg_img_multiple=2, crop_width=48, crop_height=32)
    source = open_source(layer, "TRAIN", tops=("t",) * 4, seed=3)
    assert source.epoch_size() == 6
    source.close()
    first = batches(layer, 6, seed=3)
    again = batches(layer, 6, seed=3)
    for one, other in zip(first, again):
        assert all((a == b).all() for a, b in zip(one, other))
    source = open_source(layer, "TRAIN", tops=("t",) * 4, seed=3)
    source.seek(8)
    assert all((a == b).all() for a, b in zip(source.next_batch().tops, first[4]))
    source.close()


def test_a_batch_without_objects(tmp_path):
    layer = replace(layer_for(tmp_path), source=written(tmp_path, objects=(), regions=()))
    *_, objects = batches(layer)[0]
    assert objects[:, :, 0, 0].tolist() == [[0, 1, 1, 2, 2, 1, 1]]
    matrices = " ".join(["1"] * 12) + "\n"
    layer = replace(layer, source=written(tmp_path, matrices, (), ()), append_3d_info=True)
    assert batches(layer)[0][-1][:, :, 0, 0].tolist() == [[0, 1, 1, 2, 2, *[1] * 9]]


def test_the_first_images_of_a_batch(tmp_path):
    source = open_source(layer_for(tmp_path), "TRAIN", tops=("t",) * 4)
    tops = source.first_of(source.next_batch().tops, 1)
    assert [len(top) for top in tops] == [1, 1, 1, 4]
    source.close()


def test_files_that_cannot_be_read(tmp_path):
    layer = layer_for(tmp_path)
    path = tmp_path / "objects.txt"
    text = path.read_text().splitlines()

    def changed(line: int, new: str):
        lines = text.copy()
        lines[line - 1] = new
        path.write_text("\n".join(lines))
        return batches(layer)

    for line, new, message in (
        (1, "0", "line 1: an image must begin with `#`"),
        (4, "x", "line 4: expected height"),
        (5, "0", "line 5: channels, height and width must be positive"),
        (6, "99", "line 6: expected 99 lines of objects"),
        (7, "1 0 2", "line 7: expected `class ignored x1 y1 x2 y2`"),
        (8, "1 0 a 2 3 4", "line 8: expected `class"),
        (8, "0 0 1 2 3 4", "line 8: the class 0 is not positive"),
        (9, "1 0 1e40 2 3 4", "line 9: numbers must be finite"),
        (12, "1 2 3", "line 12: expected `x1 y1 x2 y2`"),
    ):
        with raises("E506", message):
            changed(line, new)
    path.write_text("\n".join(text[:4]))
    with raises("E506", "the file ends within this image"):
        batches(layer)
    path.write_text("\n")
    with raises("E502", "is empty"):
        batches(layer)
    path.unlink()
    with raises("E501", "cannot be read"):
        batches(layer)
    written(tmp_path, " ".join(["0"] * 12) + "\n")
    with raises("E506", "line 6: the focal lengths"):
        batches(layer)


def test_images_that_cannot_be_used(tmp_path):
    layer = layer_for(tmp_path)
    with raises("E509", "has no matrices, which `append_3d_info` needs"):
        batches(replace(layer, append_3d_info=True))
    with raises("E509", "is smaller than"):
        batches(replace(layer, crop_width=208, crop_height=48))
    (tmp_path / "1.png").write_bytes(b"no image")
    with raises("E504", "1.png"):
        batches(layer)
    source = open_source(layer, "TRAIN", tops=("t",) * 4, skip_bad=True)
    data = source.next_batch().tops[0]
    image = cv2.imread(str(tmp_path / "2.png")).transpose(2, 0, 1)
    np.testing.assert_allclose(data[1], image - np.array(MEANS)[:, None, None], rtol=1e-6)
    assert list(source.skipped) == [f"`1.png` of `{layer.source}`"]
    source.close()


@pytest.mark.parametrize(
    ("own", "transform", "code", "message"),
    [
        ({"source": ""}, {}, "E101", "`source` is missing"),
        ({"coord_num": 5}, {}, "E103", "`coord_num` must be 4"),
        ({"field_w": []}, {}, "E101", "`field_w` must have a positive number for each map"),
        ({"output_projection_matrix": True}, {}, "E101", "needs `output_gt_boxes`"),
        ({"fg_img_multiple": 0}, {}, "E103", "`fg_img_multiple` must be positive"),
        ({"resize_width": 9}, {}, "E101", "must be given together"),
        ({"crop_width": 1 << 20, "crop_height": 1 << 20}, {}, "E104", "larger than the limit"),
        ({"crop_width": 64, "crop_height": 9, "resize_width": 32, "resize_height": 32}, {}, "E103", "a crop of 9x64"),
        ({"do_multiple_scale": True, "min_scale": 9.0, "max_scale": 5.0}, {}, "E103", "`max_scale` must be"),
        (
            {"do_multiple_scale": True, "min_scale": 1.0, "max_scale": 5.0, "min_whaspect": 2.0, "max_whaspect": 1.0},
            {},
            "E103",
            "`max_whaspect` must be",
        ),
        ({"mirror": True}, {}, "E106", "the fork does not read `mirror` here"),
        ({}, {"crop_size": 9}, "E106", "`crop_size` is not supported"),
        ({}, {"mean_value": [1.0, 2.0]}, "E103", "expected 1 or 3 values of `mean_value`"),
    ],
)
def test_settings_out_of_range(own, transform, code, message):
    with raises(code, message):
        layer_of("ImageGtData", {"image_gt_data_param": {**FIELDS, **own}, "transform_param": transform})


def test_shapes():
    layer = layer_of("ImageGtData", {"image_gt_data_param": FIELDS})
    assert layer.batch(None, 2) == ((1, 3, UNKNOWN, UNKNOWN), (1, 6, UNKNOWN, UNKNOWN))
    assert layer.batch(((3, 64, 96),), 2) == ((1, 3, 64, 96), (1, 6, 8, 12))
    with raises("E102", "expected 2 tops, got 3"):
        layer.batch(None, 3)
    with raises("E103", "the extent 70 is not a multiple of `downsample_rate` 9"):
        replace(layer, downsample_rate=(9,)).label_size(0, 70, 63)
    assert replace(layer, downsample_rate=(9,)).label_size(0, 67, 63) == (7, 7)


def test_a_net_is_fed(tmp_path):
    maps = "downsample_rate: 8 field_w: 24 field_h: 20"
    (tmp_path / "net.prototxt").write_text(
        f"""layer {{ name: "d" type: "ImageGtData" top: "data" top: "label" top: "objects" image_gt_data_param {{
        source: "{written(tmp_path)}" batch_size: 2 output_gt_boxes: true {maps} }} }}
        layer {{ name: "c" type: "Convolution" bottom: "data" top: "maps"
        convolution_param {{ num_output: 8 kernel_size: 8 stride: 8 weight_filler {{ type: "xavier" }} }} }}
        layer {{ name: "l" type: "DetectionLoss" bottom: "maps" bottom: "label" top: "loss"
        detection_loss_param {{ cls_num: 4 {maps} sample_mode: "bootstrap" }} }}"""
    )
    net = netc.pycaffe.Net(str(tmp_path / "net.prototxt"), netc.pycaffe.TRAIN)
    net.forward()
    assert net.blobs["loss"].data.shape == (1, 1, 1, 2)
    assert 0 < net.blobs["loss"].data[0, 0, 0, 1] < net.blobs["loss"].data[0, 0, 0, 0]
