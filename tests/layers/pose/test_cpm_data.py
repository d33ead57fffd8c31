"""CPMData compared with the steps of the original, transcribed pixel by pixel."""

from __future__ import annotations

import contextlib
import itertools
import math
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest

import netc
from netc.compiler import graph_of, read_net
from netc.data import open_source
from netc.diagnostics import NetcError, Source
from netc.ir.graph import State
from netc.ir.skeleton import COCO, SKELETONS
from netc.layers.pose.cpm_data import CPMData
from netc.schema import caffe
from tests.data.databases import write
from tests.layers.contract import raises
from tests.layers.harness import layer_of

WHOLE = {
    "cpm_transform_param.num_parts": {
        "data_param": {"source": "a", "batch_size": 5},
        "cpm_transform_param": {"num_parts": 56, "np_in_lmdb": 17},
    }
}
H, W, JOINTS = 60, 96, 17
RANDOM = np.random.default_rng(3)


def layer(source="a", **changes):
    values = {
        "batch_size": 1,
        "backend": "LMDB",
        "stride": 8,
        "crop_size_x": 48,
        "crop_size_y": 40,
        "target_dist": 0.6,
        "num_parts": 56,
        "np_in_lmdb": JOINTS,
    }
    return CPMData(source=source, **{**values, **changes})


def rows_of(people, center, scale, size=(H, W)):
    """The annotation plane; `people` are (joints, 3) of x, y (from 1) and visibility."""
    plane = np.zeros((H, W), np.uint8)

    def put(row, data, at=0):
        plane[row, at : at + len(data)] = np.frombuffer(data, np.uint8)

    others = people[1:]
    put(0, b"COCO\0")
    put(1, struct.pack("<2f", *size))
    put(2, bytes([0, len(others), 0]) + struct.pack("<3f", 4, 5, 6))
    put(3, struct.pack("<2f", *center))
    put(4, struct.pack("<f", scale))
    first = [5, *range(9 + len(others), 9 + 4 * len(others), 3)]
    for row, person in zip(first, people):
        for part in range(3):
            put(row + part, person[:, part].astype("<f4").tobytes())
    return plane


def record(people, center=(50.0, 31.0), scale=0.9, channels=6, **fields):
    planes = RANDOM.integers(0, 256, (6, H, W), np.uint8)
    planes[4] = np.where(planes[4] < 40, 0, 255)
    planes[3] = rows_of(people, center, scale)
    data = planes[:channels].tobytes()
    datum = caffe.Datum(**{"channels": channels, "height": H, "width": W, "data": data, **fields})
    return planes, datum.SerializeToString()


def some_people(count):
    people = np.empty((count, JOINTS, 3), np.float32)
    people[..., 0], people[..., 1] = RANDOM.uniform(1, W, (2, count, JOINTS))[0], RANDOM.uniform(1, H, (count, JOINTS))
    people[..., 2] = RANDOM.integers(0, 2, (count, JOINTS))
    people[0, 3] = (-5, 4, 1)
    people[0, 10, 2] = 3
    return people


class Dice:
    """Random numbers that a test chooses."""

    def __init__(self, *values):
        self.values = values

    def random(self, count):
        assert count == len(self.values)
        return np.array(self.values)


def joints_of(people):
    """The joints of the skeleton, and their visibility."""
    points, states = people[..., :2].astype(np.float64) - 1, people[..., 2].astype(int)
    own = np.zeros((len(people), 18), int)
    joints = np.zeros((len(people), 18, 2))
    for p in range(len(people)):
        state = states[p].copy()
        for j in range(JOINTS):
            x, y = points[p, j]
            if not (p == 0 and state[j] == 3):
                state[j] = 2 if x < 0 or y < 0 or x >= W or y >= H else (state[j] != 0)
        for j, (a, b) in enumerate(COCO.stored):
            joints[p, j] = (points[p, a] + points[p, b]) / 2
            if 2 in (state[a], state[b]):
                own[p, j] = 2
            elif 3 in (state[a], state[b]):
                own[p, j] = 3
            else:
                own[p, j] = bool(state[a]) and bool(state[b])
    return joints, own


def turned(image, mask, center, joints, degree):
    h, w = image.shape[:2]
    sine, cosine = abs(math.sin(math.radians(degree))), abs(math.cos(math.radians(degree)))
    width, height = w * cosine + h * sine, w * sine + h * cosine
    box = [math.ceil(e / 2 + c) - math.floor(c - e / 2) + 1 for e, c in ((width, w / 2), (height, h / 2))]
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), degree, 1.0)
    matrix[0, 2] += box[0] / 2 - w / 2
    matrix[1, 2] += box[1] / 2 - h / 2
    image = cv2.warpAffine(image, matrix, box, flags=cv2.INTER_CUBIC, borderValue=(128, 128, 128))
    mask = cv2.warpAffine(mask, matrix, box, flags=cv2.INTER_CUBIC, borderValue=(255,))
    center = matrix[:, :2] @ center + matrix[:, 2]
    return image, mask, center, np.einsum("ab,pjb->pja", matrix[:, :2], joints) + matrix[:, 2]


def cropped(image, mask, config, left, top):
    cx, cy = config.crop_size_x, config.crop_size_y
    crop, crop_mask = np.full((cy, cx, 3), 128, np.uint8), np.full((cy, cx), 255, np.uint8)
    for y in range(cy):
        for x in range(cx):
            if 0 <= left + x < image.shape[1] and 0 <= top + y < image.shape[0]:
                crop[y, x], crop_mask[y, x] = image[top + y, left + x], mask[top + y, left + x]
    return crop, crop_mask


def expected(planes, people, config, dice):
    """The image and the label, by the steps of the original; `dice` is None in testing."""
    image = np.ascontiguousarray(planes[:3].transpose(1, 2, 0))
    mask = planes[4]
    center = np.array([49.0, 30.0])
    joints, own = joints_of(people)
    random = dice is not None
    dice = dice if random else (1, 0, 0.5, 0.5, 0.5, 1)
    multiplier = 1.0
    if random and dice[0] <= config.scale_prob:
        multiplier = (config.scale_max - config.scale_min) * dice[1] + config.scale_min
    scale = config.target_dist / np.float32(0.9) * multiplier
    image, mask = (cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for one in (image, mask))
    center, joints = center * scale, joints * scale
    if random:
        degree = (dice[2] - 0.5) * 2 * config.max_rotate_degree
        image, mask, center, joints = turned(image, mask, center, joints, degree)
    cx, cy = config.crop_size_x, config.crop_size_y
    at = [int(c + int((d - 0.5) * 2 * config.center_perterb_max)) for c, d in zip(center, dice[3:5])]
    move = np.array([at[0] - cx // 2, at[1] - cy // 2])
    crop, crop_mask = cropped(image, mask, config, *move)
    center, joints = center - move, joints - move
    if random and dice[5] <= config.flip_prob:
        crop, crop_mask = cv2.flip(crop, 1), cv2.flip(crop_mask, 1)
        center[0] = cx - 1 - center[0]
        joints[..., 0] = cx - 1 - joints[..., 0]
        for right, left in COCO.mirrored:
            joints[:, [left, right]] = joints[:, [right, left]]
            own[:, [left, right]] = own[:, [right, left]]
    top = np.zeros((6, cy, cx))
    top[:3] = (crop.transpose(2, 0, 1).astype(float) - 128) / 256
    put_gaussian(top[3], center, 1, config.sigma_center)
    return top, label_of(config, crop_mask, joints, own)


def label_of(config, mask, joints, own):
    weights = cv2.resize(mask, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_CUBIC)
    label = np.zeros((114, config.crop_size_y // 8, config.crop_size_x // 8))
    for part in range(57):
        if part >= 18 or own[0, part] != 3:
            label[part] = weights / 255.0
    for part, p in itertools.product(range(18), range(len(joints))):
        if own[p, part] <= 1:
            put_gaussian(label[57 + 38 + part], joints[p, part], 8, config.sigma)
    for (limb, (a, b)), p in itertools.product(enumerate(COCO.limbs), range(len(joints))):
        if own[p, a] <= 1 and own[p, b] <= 1:
            put_limb(label[57 + 2 * limb], label[58 + 2 * limb], joints[p, a] / 8, joints[p, b] / 8)
    label[113] = np.maximum(1 - label[95:113].max(0), 0)
    return label


def put_gaussian(entry, center, stride, sigma):
    for y in range(entry.shape[0]):
        for x in range(entry.shape[1]):
            px, py = stride / 2 - 0.5 + x * stride, stride / 2 - 0.5 + y * stride
            exponent = ((px - center[0]) ** 2 + (py - center[1]) ** 2) / 2 / sigma**2
            if exponent <= 4.6052:
                entry[y, x] = min(entry[y, x] + math.exp(-exponent), 1)


def put_limb(map_x, map_y, a, b):
    def nearest(value):
        return int(math.copysign(math.floor(abs(value) + 0.5), value))

    norm = math.dist(a, b)
    unit = (b - a) / norm
    for y in range(max(nearest(min(a[1], b[1]) - 1), 0), min(nearest(max(a[1], b[1]) + 1), map_x.shape[0])):
        for x in range(max(nearest(min(a[0], b[0]) - 1), 0), min(nearest(max(a[0], b[0]) + 1), map_x.shape[1])):
            if abs((x - a[0]) * unit[1] - (y - a[1]) * unit[0]) <= 1:
                map_x[y, x], map_y[y, x] = unit


def read(config, data, dice=None):
    """The tops of a record, with chosen random numbers."""
    from netc.data.sources.pose_database import PoseRecords

    records = PoseRecords.__new__(PoseRecords)
    records.layer = config
    return records._tops(data, None if dice is None else Dice(*dice))


DRAWS = [None, (0.2, 0.7, 0.9, 0.1, 0.8, 0.3), (0.9, 0.1, 0.3, 0.9, 0.4, 0.9), (0.0, 1.0, 0.5, 0.5, 0.5, 0.5)]


@pytest.mark.parametrize("dice", DRAWS)
@pytest.mark.parametrize("count", [1, 4])
def test_images_and_maps(dice, count):
    people = some_people(count)
    config = layer(max_rotate_degree=40.0, center_perterb_max=12.0)
    planes, data = record(people)
    top, label = read(config, data, dice)
    wanted_top, wanted_label = expected(planes, people, config, dice)
    np.testing.assert_allclose(top, wanted_top, atol=1 / 256 + 2e-4)
    rounded = np.abs(top - wanted_top) > 2e-4
    assert rounded.mean() < 1e-3, "a pixel may lie between two bytes, where OpenCV's rounding on this CPU decides"
    assert np.count_nonzero(wanted_label[57:95]) > 10
    differing = np.abs(label - wanted_label) > 2e-4
    assert differing.mean() < 2e-3, "a limb may end between two pixels, where rounding decides"


def test_whole_batches_in_order_and_again_from_a_seed(tmp_path):
    people = some_people(3)
    stored = [record(people)[1] for _ in range(3)]
    source = write(tmp_path / "db", stored)
    with contextlib.closing(open_source(layer(str(source), batch_size=2), "TEST")) as opened:
        batches = [opened.next_batch().tops for _ in range(3)]
        assert opened.epoch_size() == 3
    single = [read(layer(), data) for data in stored]
    for number in range(6):
        for top, wanted in zip(batches[number // 2], single[number % 3]):
            np.testing.assert_array_equal(top[number % 2], wanted)

    def trained(seed):
        with contextlib.closing(open_source(layer(str(source), batch_size=2), "TRAIN", seed=seed)) as opened:
            return np.concatenate([opened.next_batch().tops[0] for _ in range(3)])

    np.testing.assert_array_equal(trained(1), trained(1))
    assert not np.array_equal(trained(1), trained(2))
    assert not np.array_equal(trained(1)[0], trained(1)[3])


def test_tones():
    planes, data = record(some_people(1))
    gray = read(layer(gray=1), data)[0]
    np.testing.assert_array_equal(gray[0], gray[2])
    lab = cv2.cvtColor(np.ascontiguousarray(planes[:3].transpose(1, 2, 0)), cv2.COLOR_BGR2Lab)
    lab[:, :, 0] = cv2.createCLAHE(4, (3, 3)).apply(lab[:, :, 0])
    planes[:3] = cv2.cvtColor(lab, cv2.COLOR_Lab2BGR).transpose(2, 0, 1)
    equal = caffe.Datum(channels=6, height=H, width=W, data=planes.tobytes()).SerializeToString()
    found, wanted = read(layer(do_clahe=True, clahe_tile_size=3), data), read(layer(), equal)
    np.testing.assert_array_equal(found[0], wanted[0])


BAD = {
    "it does not have 6 planes of bytes": lambda: record(some_people(1), channels=5)[1],
    "do not hold 9 people": lambda: changed(2, 1, 8),
    "not numbers, or not positive": lambda: record(some_people(1), scale=0.0)[1],
    "larger than the limit": lambda: record(some_people(1), scale=1e-6)[1],
    "ssize": lambda: record(some_people(1), scale=1e6)[1],
}


def changed(row, column, value):
    planes, _ = record(some_people(1))
    planes[3, row, column] = value
    planes = np.ascontiguousarray(planes[:, :40])
    return caffe.Datum(channels=6, height=40, width=W, data=planes.tobytes()).SerializeToString()


@pytest.mark.parametrize("message", BAD)
def test_damaged_records(message, tmp_path):
    source = write(tmp_path / "db", [BAD[message](), record(some_people(2))[1]])
    with contextlib.closing(open_source(layer(str(source)), "TEST")) as opened, pytest.raises(NetcError) as caught:
        opened.next_batch()
    found = caught.value.diagnostics[0]
    assert found.code == "E503"
    assert message in found.message
    assert found.message.startswith("record `00000000` of ")
    with contextlib.closing(open_source(layer(str(source)), "TEST", skip_bad=True)) as opened:
        assert np.isfinite(opened.next_batch().tops[0]).all()
        assert len(opened.skipped) == 1


def test_an_empty_database(tmp_path):
    with pytest.raises(NetcError, match="is empty"):
        open_source(layer(str(write(tmp_path / "db", []))), "TEST")


@pytest.mark.parametrize("maps", sorted(SKELETONS))
def test_skeletons_have_symmetric_joints_and_known_limbs(maps):
    skeleton = SKELETONS[maps]
    assert skeleton.maps == maps
    assert {joint for limb in skeleton.limbs for joint in limb} <= set(range(skeleton.joints))
    sides = [joint for pair in skeleton.mirrored for joint in pair]
    assert len(set(sides)) == len(sides)


def test_parameters():
    found = layer()
    assert repr(found.batch(None, 2)) == "((1, 6, 40, 48), (1, 114, 5, 6))"
    assert found.random_fields(train=False) == ()
    assert "flip_prob" in found.random_fields(train=True)
    assert layer_of("CPMData", found.to_caffe()) == found
    for changes, code, text in [
        ({"source": ""}, "E101", "`source` is missing"),
        ({"batch_size": 0}, "E101", "`batch_size` is missing"),
        ({"stride": 0}, "E103", "`stride` must be positive"),
        ({"sigma": -1.0}, "E103", "`sigma` must be positive"),
        ({"crop_size_x": 10**6, "crop_size_y": 10**6}, "E104", "larger than the limit"),
        ({"aug_way": "table"}, "E101", "`aug_way` `table` is not supported"),
        ({"num_parts": 14}, "E103", "the skeletons have 43, 56, 68 maps"),
        ({"np_in_lmdb": 16}, "E103", "this skeleton requires 17 joints"),
    ]:
        with raises(code, text):
            replace(found, **changes)._check()


def test_a_net(tmp_path):
    source = write(tmp_path / "db", [record(some_people(2))[1]])
    text = f"""layer {{ name: "data" type: "CPMData" top: "data" top: "label"
      data_param {{ source: "{source}" batch_size: 2 backend: LMDB }} cpm_transform_param {{ stride: 8 visualize: false
      crop_size_x: 48 crop_size_y: 40 num_parts: 56 np_in_lmdb: 17 }} }}"""
    assert [d.code for d in netc.check(Source("net", text))] == ["W108"]
    graph = graph_of(read_net(Source("net", text)), State("TRAIN"))
    assert [graph.shape(name) for name in ("data", "label")] == [(2, 6, 40, 48), (2, 114, 5, 6)]
