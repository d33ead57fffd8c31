"""ProposalTargetLayer and As_roisLayer of FPN, with and without padding, compared with their arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.layers.detection.proposal_target import ProposalTargetLayer
from netc.layers.fpn.proposal_target import (
    MergedProposalTargetLayer,
    MergedSortedRegions,
    PyramidProposalTargetLayer,
    SortedRegions,
)
from tests.layers.contract import raises
from tests.layers.harness import run

OBJECTS = np.array([[5.0, 6, 40, 35, 3], [30, 10, 275, 260, 1], [2, 50, 630, 590, 4]])


def regions(count: int = 60) -> np.ndarray:
    """Boxes near the objects, and one without area."""
    random = np.random.default_rng(4)
    boxes = OBJECTS[random.integers(3, size=count), :4] + random.normal(scale=8, size=(count, 4))
    boxes[0, 2] = boxes[0, 0]
    return np.concatenate([np.zeros((count, 1)), boxes], 1)


def levels(boxes: np.ndarray) -> np.ndarray:
    """The level of each region, by the original's rule."""
    found = []
    for _, x1, y1, x2, y2 in boxes:
        area = (x2 - x1) * (y2 - y1)
        level = np.floor(4 + np.log2(np.sqrt(area if area > 0 else 1e-6) / 224))
        found.append(min(max(level, 2), 5))
    return np.array(found)


def sorted_rows(rows: np.ndarray, at: np.ndarray, count: int | None, filler: float) -> list[np.ndarray]:
    """The rows of each of levels 2 to 5; padded to `count`, or four of nothing."""
    found = []
    for level in range(2, 6):
        own = rows[at == level]
        wanted = count or len(own) or 4
        padded = np.full((wanted, *rows.shape[1:]), filler, float)
        padded[: len(own)] = own
        found.append(padded)
    return found


PADDED, MERGED = PyramidProposalTargetLayer(5, 100, 0.5), MergedProposalTargetLayer(5, 100, 0.5)


@pytest.mark.parametrize(("layer", "count"), [(PADDED, 100), (MERGED, None)])
@pytest.mark.parametrize("objects", [OBJECTS, OBJECTS[:1]])
def test_targets_in_the_order_of_levels(layer, count, objects):
    torch.manual_seed(0)
    plain = run(ProposalTargetLayer(5, 100, 0.5), regions(), objects, tops=5, training=True)
    torch.manual_seed(0)
    found = run(layer, regions(), objects, np.zeros((1, 3, 4, 4)), tops=8, training=True)
    at = levels(plain[0])
    assert len({*at}) > 2
    for own, wanted in zip(found[:4], sorted_rows(plain[0], at, count, 0)):
        np.testing.assert_array_equal(own, wanted)
    for own, rows, filler in zip(found[4:], plain[1:], (-1, 0, 0, 0)):
        np.testing.assert_array_equal(own, np.concatenate(sorted_rows(rows, at, count, filler)))
    assert (found[4] > 0).any()


@pytest.mark.parametrize(("layer", "count"), [(SortedRegions(70), 70), (MergedSortedRegions(70), None)])
def test_regions_in_the_order_of_levels(layer, count):
    given = np.concatenate(
        (regions(), [[0, 0, 0, 111.9, 112], [0, 0, 0, 112, 112], [0, 1, 1, 449, 449], [0, 5, 5, 3, 9]])
    )
    given = given[levels(given) != 4]
    found = run(layer, given, tops=5)
    wanted = sorted_rows(given, levels(given), count, 0)
    np.testing.assert_array_equal(found[0], np.concatenate(wanted))
    for own, rows in zip(found[1:], wanted):
        np.testing.assert_array_equal(own, rows)
    assert not found[3].any()


def test_more_regions_than_rows_are_an_error():
    with raises("E102", "expected at most 8 regions, got 9"):
        SortedRegions(count=8).infer(((9, 5),), 1)
    with raises("E102", "expected at most 8 regions, got 9"):
        run(SortedRegions(count=8), regions(9))
    with raises("E103", "`count` must be one or more positive numbers"):
        SortedRegions(count=0).infer(((9, 5),), 1)


def test_nothing_at_all():
    found = run(SortedRegions(count=8), np.zeros((0, 5)), tops=2)
    assert [one.shape for one in found] == [(32, 5), (8, 5)]


@pytest.mark.parametrize(
    ("module", "name", "tops", "cls"),
    [
        ("proposal_target_layer", "ProposalTargetLayer", 5, ProposalTargetLayer),
        ("proposal_target_layer", "ProposalTargetLayer", 8, PyramidProposalTargetLayer),
        ("proposal_target_layer_mrcnn", "ProposalMergeRcnnTargetLayer", 8, MergedProposalTargetLayer),
    ],
)
def test_tops_and_names_choose_the_layer(graph_from, module, name, tops, cls):
    graph = graph_from(f"""
        layer {{ name: "d" type: "Input" top: "r" top: "g" input_param {{
          shape {{ dim: 9 dim: 5 }} shape {{ dim: 2 dim: 5 }} }} }}
        layer {{ name: "p" type: "Python" bottom: "r" bottom: "g" {" ".join(f'top: "t{i}"' for i in range(tops))}
          python_param {{ module: "rpn.{module}" layer: "{name}" param_str: "'num_classes': 21" }} }}""")
    layer = graph.nodes[-1].layer
    assert type(layer) is cls
    assert (layer.num_classes, replace(layer, module_name="", class_name="").to_caffe()["layer"]) == (21, name)
