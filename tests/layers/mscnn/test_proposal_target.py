"""ProposalTarget of MS-CNN and of its panoramic port: what is drawn, and its targets, region by region."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from netc.layers.mscnn._poses import MEAN_SIZE, SIZE_DEVIATION
from netc.layers.mscnn.proposal_target import ProposalTarget
from tests.layers.case import Case, Source
from tests.layers.contract import raises
from tests.layers.harness import layer_of, run
from tests.layers.mscnn.mscnn import share

LAYER = ProposalTarget(4, 24, num_img_per_batch=2, fg_thr=0.5, bg_thr_hg=0.4, img_width=200, img_height=160)
MOMENTS = {"bbox_mean": (0.1, -0.1, 0.2, 0.0), "bbox_std": (0.1, 0.2, 0.3, 0.4)}
SPACE = replace(LAYER, has_3d_boxes_and_proj_mat_input=True, output_3d_boxes=True, **MOMENTS)
SOURCE = Source(places_lost=True, own_gradient="none: targets are constants", rounded=(1,))
SHAPES = ((6, 5, 1, 1), (3, 7, 1, 1)), ((4, 5), (2, 7))
ALWAYS_ALIKE = replace(LAYER, batch_size=4, fg_thr=2.0, bg_thr_lw=1.0)
"""No region is of an object or background, and so the first ones are taken."""
CASES = [Case(ALWAYS_ALIKE, *SHAPES, tops=6, integers=(0, 1), source=SOURCE)]
NUMBERS = "cls_num: 2 img_width: 100 img_height: 100"
REQUIRED = {"ProposalTarget": NUMBERS}


def corners(random, count: int) -> np.ndarray:
    low = random.integers(0, 90, (count, 2))
    return np.concatenate([low, low + random.integers(20, 60, (count, 2))], 1)


def given(regions: int = 40, objects: int = 6, numbers: int = 7, ignored: bool = True):
    random = np.random.default_rng(regions + objects)
    truth = np.column_stack([random.integers(0, 2, objects), corners(random, objects), random.integers(1, 4, objects)])
    truth = np.column_stack([truth, np.arange(objects) % 3 == 2 if ignored else np.zeros(objects)]).astype(float)
    near = truth[random.integers(0, objects, regions // 2)][:, :5] if objects else np.zeros((regions // 2, 5))
    near[:, 1:] += random.integers(-8, 9, (len(near), 4))
    far = np.column_stack([random.integers(0, 2, regions - len(near)), corners(random, regions - len(near))])
    more = random.uniform(1, 3, (objects, numbers - 7))
    return np.concatenate([near, far]).astype(float), np.concatenate([truth, more], 1)


def extent(row):
    return [row[1], row[2], row[3] - row[1] + 1, row[4] - row[2] + 1]


def category(layer, box, objects):
    """What a candidate may be, and its object."""
    shares = [share(extent(box), extent(one)) if one[0] == box[0] else -1 for one in objects]
    if not len(objects) or max(shares) < 0:
        return ("background" if layer.bg_thr_lw <= 0 else "rest"), None, 0.0
    best = int(np.argmax(shares))
    if shares[best] >= layer.fg_thr:
        return ("left out" if objects[best][6] else "object"), objects[best], shares[best]
    inside = layer.bg_thr_lw <= shares[best] < layer.bg_thr_hg
    return ("background" if inside else "rest"), objects[best], shares[best]


def code(box, truth, layer):
    (x, y, w, h), (a, b, c, d) = extent(box), extent(truth)
    found = [(a + c / 2 - x - w / 2) / w, (b + d / 2 - y - h / 2) / h, math.log(c / w), math.log(d / h)]
    return (np.array(found) - layer.bbox_mean) / layer.bbox_std if layer.bbox_std else np.array(found)


@pytest.mark.parametrize("change", [{}, {"fg_fraction": 1.0, **MOMENTS}, {"bg_thr_lw": 0.0, "batch_size": 12}])
def test_regions_labels_codes_and_objects(change):
    layer = replace(LAYER, **change)
    regions, objects = given(80)
    candidates = [*regions, *objects[:, :5]]
    kinds = [category(layer, one, objects)[0] for one in candidates]
    for _ in range(3):
        rois, labels, codes, inside, outside, matched, weights = run(layer, regions, objects, tops=7)
        rois, labels, codes, matched = (one.reshape(layer.batch_size, -1) for one in (rois, labels, codes, matched))
        own = int((labels > 0).sum())
        most = math.floor(layer.fg_fraction * layer.batch_size + 0.5)
        assert own == min(kinds.count("object"), most)
        assert (labels[:own] > 0).all()
        seen: list[tuple] = []
        for row, (label,), numbers, object_of in zip(rois, labels, codes, matched):
            at = [i for i, one in enumerate(candidates) if (one == row).all()]
            kind, truth, overlap = category(layer, row, objects)
            assert at
            seen.append((tuple(row), kind))
            if not label:
                assert kind in ("background", "rest")
                assert not numbers.any()
                assert not object_of.any()
                continue
            assert kind == "object"
            assert label == truth[5]
            expected = np.zeros((4, 4))
            expected[int(label)] = code(row, truth, layer)
            np.testing.assert_allclose(numbers, expected.ravel(), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(object_of, [label, *truth[1:5], overlap])
        free = layer.batch_size - own
        assert sum(kind == "background" for _, kind in seen) == min(kinds.count("background"), free)
        np.testing.assert_array_equal(inside, outside)
        wanted = np.repeat(np.arange(4) == np.where(labels > 0, labels, -1), 4, 1)
        np.testing.assert_array_equal(inside.reshape(wanted.shape), wanted)
        total = weights.ravel() @ (labels.ravel() > 0), weights.ravel() @ (labels.ravel() == 0)
        part = layer.fg_fraction * layer.batch_size
        np.testing.assert_allclose(total[0], part)
        assert free == 0 or abs(total[1] - (layer.batch_size - part)) < 1e-9


def test_weights_by_overlap():
    regions, objects = given()
    *_, matched, weights = run(replace(LAYER, iou_weighted=True), regions, objects, tops=7)
    overlap, positive = matched.reshape(24, 6)[:, 5], matched.reshape(24, 6)[:, 0] > 0
    wanted = np.where(positive, overlap, 1.0)
    wanted[positive] *= 6 / overlap[positive].sum()
    wanted[~positive] *= 18 / (~positive).sum()
    np.testing.assert_allclose(weights.ravel(), wanted)


@pytest.mark.parametrize("objects", [0, 6])
def test_regions_at_random_fill_the_batch(objects):
    regions, truth = given(4, objects, ignored=False)
    layer = replace(LAYER, batch_size=200, num_img_per_batch=2)
    rois, labels, *_ = run(layer, regions, truth, tops=6)
    rois = rois.reshape(200, 5)
    known = {tuple(row) for row in (*regions, *truth[:, :5])}
    made = [row for row in rois if tuple(row) not in known]
    assert len(made) >= 200 - len(known)
    assert {row[0] for row in made} == {0, 1}
    for row in made:
        x, y, w, h = extent(row)
        assert min(x, y) >= 0
        assert x <= 167
        assert y <= 127
        assert min(w, h) >= 32
        assert w <= max(32, 199 - x)
        assert all(share(extent(row), extent(one)) < 0.5 for one in truth if one[0] == row[0])
    assert not labels[len(known) :].any()


def square(numbers):
    return np.array([numbers[:3], numbers[3:], [0, 0, 1]], float)


def pose(layer, row, truth, projection, model):
    """Size, location, distance, quadrant and orientation of one region."""
    p, m = square(projection), model.reshape(4, 4)
    place = np.append(truth[10:13], 1.0)
    seen = m @ place
    if layer.use_panoramic:
        angles = math.atan2(seen[0], seen[2]), math.asin(seen[1] / np.linalg.norm(seen))
        point, focal = p @ np.append(angles, 1.0), abs(p[0, 0])
    else:
        whole = np.eye(4)
        whole[:3, :3] = p
        whole = whole @ m
        point, focal = (whole @ place)[:3], abs(whole[0, 0])
    x, y, w, h = extent(row)
    location = (point[:2] / point[2] - (x + w / 2, y + h / 2)) / (w, h)
    location = (location - layer.bbox_mean[:2]) / layer.bbox_std[:2]
    angle = truth[13] - math.atan2(truth[10], truth[12])
    quadrant = 2 * (math.cos(angle) > 0) + (math.sin(angle) > 0)
    size = (truth[7:10] - MEAN_SIZE) / np.array(SIZE_DEVIATION)
    distance = focal / np.linalg.norm(seen[:3] / seen[3])
    return size, location, [distance], quadrant, [math.cos(angle) ** 2, math.sin(angle) ** 2]


@pytest.mark.parametrize("panoramic", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_targets_in_space(panoramic, weighted):
    layer = replace(SPACE, use_panoramic=panoramic, output_sample_weight=weighted)
    regions, objects = given(numbers=14)
    objects[1, 1:5] = [10, 10, 9, 30]  # of no width, and no candidate itself
    random = np.random.default_rng(4)
    matrices = random.uniform(0.5, 2, (2, 6)), random.uniform(0.1, 1, (2, 16))
    tops = run(layer, regions, objects, *matrices, tops=21 if weighted else 20)
    rois, labels = (one.reshape(24, -1) for one in tops[:2])
    assert (labels > 0).any()
    heights, matched = tops[-1], tops[-3 if weighted else -2].reshape(24, 6)
    assert tops[15].shape == (24, 4, 2, 1)
    by_name = {name: tops[at].reshape(24, 4, -1) for name, at in (("size", 5), ("place", 8), ("far", 11), ("turn", 15))}
    for i, (row, (label,)) in enumerate(zip(rois, labels)):
        own = int(label)
        assert np.flatnonzero(heights[i]).tolist() == ([own] if own else [])
        if not own:
            assert tops[14].ravel()[i] == -1
            assert not any(values[i].any() for values in by_name.values())
            continue
        truth = category(layer, row, objects)[1]
        np.testing.assert_allclose(matched[i, 1:5], truth[1:5])
        assert heights[i, own] == extent(row)[3]
        size, place, far, quadrant, turn = pose(layer, row, truth, *(one[int(row[0])] for one in matrices))
        assert tops[14].ravel()[i] == quadrant
        for name, wanted in (("size", size), ("place", place), ("far", far), ("turn", turn)):
            np.testing.assert_allclose(by_name[name][i, own], wanted, rtol=1e-9, atol=1e-12)
            assert np.count_nonzero(by_name[name][i]) <= len(wanted)
    for at in (5, 8, 11, 15):
        wanted = np.zeros(tops[at].reshape(24, 4, -1).shape)
        wanted[np.arange(24), labels[:, 0].astype(int)] = labels > 0
        np.testing.assert_array_equal(tops[at + 1].reshape(wanted.shape), wanted)
        np.testing.assert_array_equal(tops[at + 2], tops[at + 1])


def test_files():
    regression = {"bbox_mean": [0.0] * 4, "bbox_std": [0.1] * 4}
    own = {"cls_num": 5, "batch_size": 256, "img_width": 768, "img_height": 576}
    layer = layer_of("ProposalTarget", {"proposal_target_param": own, "bbox_reg_param": regression})
    assert layer == ProposalTarget(5, 256, img_width=768, img_height=576, bbox_mean=(0.0,) * 4, bbox_std=(0.1,) * 4)
    written = layer.to_caffe()
    written["bbox_reg_param"] = regression
    assert layer_of("ProposalTarget", written) == layer


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"cls_num": 1}, "E101", "`cls_num` is required"),
        ({"batch_size": 0}, "E103", "`batch_size` is required and must be positive"),
        ({"fg_fraction": 1.5}, "E103", "`fg_fraction` must be from 0 to 1"),
        ({"bg_thr_hg": 0.6}, "E103", "`fg_thr` must be positive and at least `bg_thr_hg`"),
        ({"img_width": 32}, "E103", "`img_width` must be greater than 32"),
        ({"output_3d_boxes": True}, "E101", "`output_3d_boxes` needs"),
        ({"has_3d_boxes_and_proj_mat_input": True}, "E106", "is not supported"),
    ],
)
def test_settings_out_of_range(change, code, message):
    with raises(code, message):
        replace(LAYER, **change).infer(SHAPES[0], 6)


def test_bottoms_and_tops_that_do_not_match():
    with raises("E102", "expected objects of 7 numbers"):
        LAYER.infer(((6, 5), (3, 14)), 6)
    with raises("E102", "expected regions and objects, got 3 bottoms"):
        LAYER.infer(((6, 5), (3, 7), (2, 6)), 6)
    with raises("E102", "expected regions, objects, projection and model matrices, got 2 bottoms"):
        SPACE.infer(((6, 5), (3, 14)), 20)
    with raises("E102", "expected 2 matrices of 16 numbers"):
        SPACE.infer(((6, 5), (3, 14), (2, 6), (4, 16)), 20)
    with raises("E102", "expected at most 7 tops, got 8"):
        LAYER.infer(SHAPES[0], 8)
    regions, objects = given()
    regions[0, 0] = 2
    with raises("E301", "image of a region outside 0 to 1: 2"):
        run(LAYER, regions, objects, tops=6)
    regions, objects = given()
    objects[:, 5] = 4
    with raises("E301", "class of an object outside 1 to 3: 4"):
        run(LAYER, regions, objects, tops=6)


def test_no_place_for_a_random_region():
    with raises("E301", "no place for a region"):
        layer = replace(LAYER, fg_thr=1e-9, bg_thr_hg=0.0)
        objects = np.array([[float(image), 0, 0, 400, 400, 1, 0] for image in range(2)])
        run(layer, objects[:1, :5], objects, tops=6)
