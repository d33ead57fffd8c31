"""MultiBoxLoss, compared with a transcription of SSD's loops; recorded cases are in tests/reference/forks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.detection.multibox_loss import MultiBoxLoss, RefineDetMultiBoxLoss
from tests.layers.case import Case
from tests.layers.case import Source as Facts
from tests.layers.contract import raises
from tests.layers.detection.test_detection_output import decoded, overlap
from tests.layers.harness import layer_of, module_of, run

FIRST = (2, 24), (2, 18), (1, 2, 24), (1, 1, 3, 8)
SECOND = (3, 16), (3, 12), (1, 2, 16), (1, 1, 2, 8)
REFINED = (*FIRST, (2, 12), (2, 24)), (*SECOND, (3, 8), (3, 16))
CASES = [  # labels are 0
    Case(MultiBoxLoss(3, background_label_id=2, mining_type="NONE"), FIRST, SECOND, held=(2, 3), source=Facts()),
    Case(
        RefineDetMultiBoxLoss(3, background_label_id=2),
        *REFINED,
        held=(2, 3, 4, 5),
        source=Facts(),
    ),
]
REQUIRED = {"MultiBoxLoss": "num_classes: 3"}
WHOLE = {
    **{
        f"multibox_loss_param.nms_param.{name}": {
            "multibox_loss_param": {"num_classes": 3, "nms_param": {"nms_threshold": 0.45, "top_k": 9}}
        }
        for name in ("nms_threshold", "top_k")
    },
    "multibox_loss_param.share_location": {
        "multibox_loss_param": {"num_classes": 3, "share_location": False, "mining_type": "NONE"}
    },
    "multibox_loss_param.map_object_to_agnostic": {
        "multibox_loss_param": {"num_classes": 2, "map_object_to_agnostic": True}
    },
    "MultiBoxLoss loss_param.normalize": {
        "multibox_loss_param": {"num_classes": 3},
        "loss_param": {"normalize": False},
    },
    "MultiBoxLoss propagate_down": {
        "multibox_loss_param": {"num_classes": 3},
        "propagate_down": [True, False],
    },
}


def inputs(images=2, boxes=24, classes=4, objects=5, seed=0, shared=True):
    """Codes, scores, priors and ground truth; each object is close to a prior."""
    random = np.random.default_rng(seed)
    corner, size = random.random((boxes, 2)), random.random((boxes, 2)) * 0.4 + 0.05
    priors = np.concatenate((corner - size / 2, corner + size / 2), 1)
    variances = np.tile([0.1, 0.1, 0.2, 0.2], (boxes, 1))
    codes = random.normal(size=(images, boxes * (1 if shared else classes) * 4))
    scores = random.normal(size=(images, boxes * classes)) * 2
    near = priors[random.permutation(boxes)[:objects]] + random.normal(size=(objects, 4)) * 0.02
    head = np.stack((random.integers(0, images, objects), random.integers(1, classes, objects), np.zeros(objects)), 1)
    truth = np.concatenate((head, near, random.integers(0, 2, (objects, 1))), 1)
    return codes, scores, np.stack((priors.ravel(), variances.ravel()))[None], truth[None, None]


def coded(box, prior, variance, kind):
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if kind == "CENTER_SIZE":
        code = [
            ((box[0] + box[2]) - (prior[0] + prior[2])) / 2 / width,
            ((box[1] + box[3]) - (prior[1] + prior[3])) / 2 / height,
            math.log((box[2] - box[0]) / width),
            math.log((box[3] - box[1]) / height),
        ]
    else:
        sizes = (width, height) * 2 if kind == "CORNER_SIZE" else (1,) * 4
        code = [(b - p) / s for b, p, s in zip(box, prior, sizes)]
    return [c / v for c, v in zip(code, variance)]


def softmax_loss(scores, label):
    return math.log(sum(math.exp(s) for s in scores)) - scores[label]


def logistic_loss(scores, label):
    return sum(math.log1p(math.exp(s)) - (s if c == label else 0) for c, s in enumerate(scores))


def matches_of(layer, boxes, objects):
    """MatchBBox: the object of each box, and the overlap."""
    overlaps = [[overlap(box, truth[3:7]) for truth in objects] for box in boxes]
    found, best, pool = [-1] * len(boxes), [max(row) for row in overlaps], set(range(len(objects)))
    while True:
        pairs = [(-overlaps[i][j], i, j) for i in range(len(boxes)) for j in pool if found[i] == -1]
        pairs = [pair for pair in pairs if pair[0] < -1e-6]
        if not pairs:
            break
        value, i, j = min(pairs)
        found[i], best[i] = j, -value
        pool.discard(j)
    for i, row in enumerate(overlaps):
        if layer.match_type == "PER_PREDICTION" and found[i] == -1 and max(row) >= layer.overlap_threshold:
            found[i] = row.index(max(row))
    return found, best


def expected(layer, codes, scores, priors, truth):
    images, boxes = len(codes), priors.shape[2] // 4
    codes, scores = codes.reshape(images, boxes, 4), scores.reshape(images, boxes, -1)
    prior, variance = priors[0].reshape(2, boxes, 4)
    of_scores = softmax_loss if layer.conf_loss_type == "SOFTMAX" else logistic_loss
    of_codes, total_scores, matches = 0.0, 0.0, 0
    for i in range(images):
        objects = [row for row in truth[0, 0] if row[0] == i and (layer.use_difficult_gt or not row[7])]
        mined, found = layer.mining_type != "NONE", [-1] * boxes
        if objects:
            around = prior
            if not layer.use_prior_for_matching:
                around = [decoded(codes[i, p], prior[p], variance[p], layer.code_type) for p in range(boxes)]
            found, best = matches_of(layer, around, objects)
        labels = [0 if j < 0 else 1 if layer.map_object_to_agnostic else int(objects[j][1]) for j in found]
        losses = [of_scores(scores[i, p], labels[p]) for p in range(boxes)]
        each = [0.0] * boxes
        for p, j in enumerate(found):
            if j >= 0:
                target = coded(objects[j][3:7], prior[p], variance[p], layer.code_type)
                apart = [abs(a - b) for a, b in zip(codes[i, p], target)]
                l2 = layer.loc_loss_type == "L2"
                each[p] = sum(d * d / 2 if l2 or d < 1 else d - 0.5 for d in apart)
        chosen = list(range(boxes)) if not mined else []
        if mined and objects:
            if layer.mining_type == "HARD_EXAMPLE":
                order = sorted(range(boxes), key=lambda p: -(losses[p] + each[p]))[: layer.sample_size]
                found = [j if p in order else -1 for p, j in enumerate(found)]
                chosen = order
            else:
                free = [p for p in range(boxes) if found[p] == -1 and best[p] < layer.neg_overlap]
                count = int(sum(j >= 0 for j in found) * layer.neg_pos_ratio)
                chosen = sorted(free, key=lambda p: -losses[p])[:count] + [p for p in range(boxes) if found[p] >= 0]
        total_scores += sum(losses[p] for p in chosen)
        of_codes += sum(each[p] for p in range(boxes) if found[p] >= 0)
        matches += sum(j >= 0 for j in found)
    divisor = {"VALID": matches, "FULL": images * boxes, "BATCH_SIZE": images, "NONE": 1}[layer.normalization]
    codes_part, scores_part = layer.parts
    return (layer.loc_weight * of_codes * codes_part + total_scores * scores_part) / max(1, divisor)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"code_type": "CENTER_SIZE", "overlap_threshold": 0.3, "loc_weight": 0.5},
        {"code_type": "CORNER_SIZE", "match_type": "BIPARTITE", "normalization": "FULL"},
        {"mining_type": "NONE", "loc_loss_type": "L2", "normalization": "BATCH_SIZE"},
        {"mining_type": "HARD_EXAMPLE", "sample_size": 7, "overlap_threshold": 0.2, "normalization": "NONE"},
        {"conf_loss_type": "LOGISTIC", "neg_pos_ratio": 1.5, "neg_overlap": 0.2},
        {"use_prior_for_matching": False, "code_type": "CENTER_SIZE"},
        {"use_difficult_gt": False, "parts": (True, False)},
        {"parts": (False, True)},
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_that_of_the_loops(parameters, seed):
    layer, given = MultiBoxLoss(4, **parameters), inputs(seed=seed)
    (found,) = run(layer, *given)
    np.testing.assert_allclose(found, expected(layer, *given), rtol=1e-9)


def test_one_class_for_all_objects():
    given = inputs(classes=2)
    given[3][0, 0, :, 1] = [1, 5, 7, 2, 1]
    for layer in (MultiBoxLoss(2, map_object_to_agnostic=True), MultiBoxLoss(2)):
        one = MultiBoxLoss(2, map_object_to_agnostic=True, mining_type="NONE")
        assert run(layer, *given)[0] > 0
        np.testing.assert_allclose(run(one, *given)[0], expected(one, *given), rtol=1e-9)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"mining_type": "HARD_EXAMPLE", "sample_size": 9},
        {"conf_loss_type": "LOGISTIC", "mining_type": "NONE"},
        {"mining_type": "NONE", "share_location": False, "bp_inside": True},
        {"ignore_cross_boundary_bbox": True, "mining_nms_threshold": 0.5, "mining_top_k": 20},
        {"mining_nms_threshold": 0.5, "mining_top_k": -1, "use_prior_for_nms": True},
    ],
)
def test_gradients(parameters):
    layer = MultiBoxLoss(4, code_type="CENTER_SIZE", **parameters)
    codes, scores, *rest = (torch.tensor(part) for part in inputs(boxes=5, objects=2, shared=layer.share_location))
    module = module_of(layer, tuple(tuple(part.shape) for part in (codes, scores, *rest))).double()
    free = codes.requires_grad_(), scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: module(*given, *rest), free, eps=1e-7, atol=1e-5)


def test_a_batch_without_objects_has_a_gradient_of_zero():
    codes, scores, priors, truth = inputs()
    truth[0, 0, :, 0] = -1
    tensors = [torch.tensor(part, requires_grad=index < 2) for index, part in enumerate((codes, scores, priors, truth))]
    loss = module_of(MultiBoxLoss(4), tuple(tuple(part.shape) for part in tensors)).double()(*tensors)
    loss.backward()
    assert loss.item() == 0
    assert not tensors[0].grad.any()
    assert not tensors[1].grad.any()


def test_of_two_stages():
    codes, scores, priors, truth = inputs()
    layer = RefineDetMultiBoxLoss(4, objectness_score=0.5)
    still, objects = np.zeros_like(codes), np.ones((2, 48))
    same = run(MultiBoxLoss(4), codes, scores, priors, truth)[0]
    np.testing.assert_allclose(run(layer, codes, scores, priors, truth, objects, still)[0], same, rtol=1e-12)
    moved = priors.copy()
    moved[0, 0] += 0.01
    shift = np.full_like(codes, 0.01) / np.tile(priors[0, 1], (2, 1))
    (found,) = run(layer, codes, scores, priors, truth, objects, shift)
    np.testing.assert_allclose(found, run(MultiBoxLoss(4), codes, scores, moved, truth)[0], rtol=1e-9)
    objects[:, 1::2] = 0.4
    (positives,) = run(layer, codes, scores, priors, truth, objects)
    np.testing.assert_allclose(positives, run(MultiBoxLoss(4, neg_pos_ratio=0.0), codes, scores, priors, truth)[0])


@pytest.mark.parametrize("label", [0, 4, np.nan])
def test_labels_out_of_range(label):
    given = inputs()
    given[3][0, 0, 2, 1] = label
    with raises("E301", "label of an object is the background or outside the classes"):
        run(MultiBoxLoss(4), *given)
    given[3][0, 0, 2, 0] = -1
    run(MultiBoxLoss(4), *given)


def test_inverted_objects_and_images_that_do_not_exist_are_not_matched():
    given = inputs()
    given[3][0, 0, 2, 3:7] = [0.5, 0.5, 0.2, 0.2]
    given[3][0, 0, 3, 0] = 9
    np.testing.assert_allclose(run(MultiBoxLoss(4), *given)[0], expected(MultiBoxLoss(4), *given), rtol=1e-9)


def test_shapes():
    assert MultiBoxLoss(3).infer(((UNKNOWN, 24), (2, UNKNOWN), (1, 2, 24), (1, 1, UNKNOWN, 8)), 1) == ((),)
    with raises("E102", "ground truth"):
        MultiBoxLoss(3).infer(((2, 24), (2, 18), (1, 2, 24), (1, 1, 3, 7)), 1)


def test_file():
    loss = {"loss_param": {"normalization": "FULL"}}
    own = {"num_classes": 21, "code_type": "CENTER_SIZE", "neg_overlap": 0.25, "nms_param": {"nms_threshold": 0.5}}
    layer = layer_of("MultiBoxLoss", {**loss, "multibox_loss_param": own, "propagate_down": [True, False]})
    assert layer.parts == (True, False)
    assert (layer.mining_nms_threshold, layer.mining_top_k, layer.normalization) == (0.5, 0, "FULL")
    again = layer_of("MultiBoxLoss", {**layer.to_caffe(), "propagate_down": [True, False]})
    assert again == layer
    assert layer_of("MultiBoxLoss", {"multibox_loss_param": {"num_classes": 2, "do_neg_mining": True}}).num_classes == 2


@pytest.mark.parametrize(
    ("code", "text", "parameters"),
    [
        ("E101", "`num_classes` is missing", {}),
        ("E103", "`num_classes` is 0", {"num_classes": 0, "conf_loss_type": "LOGISTIC"}),
        ("E103", "`background_label_id` is 3", {"num_classes": 3, "background_label_id": 3}),
        ("E101", "requires `mining_type: NONE`", {"num_classes": 3, "share_location": False}),
        ("E101", "requires `num_classes: 2`", {"num_classes": 3, "map_object_to_agnostic": True}),
        ("E103", "`sample_size` is 0", {"num_classes": 3, "mining_type": "HARD_EXAMPLE", "sample_size": 0}),
        ("E101", "`do_neg_mining` contradicts", {"num_classes": 3, "do_neg_mining": False}),
    ],
)
def test_errors(code, text, parameters):
    with raises(code, text):
        layer_of("MultiBoxLoss", {"multibox_loss_param": parameters})
