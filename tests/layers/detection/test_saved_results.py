"""The files of detected objects that DetectionOutput writes where it may."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.layer import Mode
from netc.layers.detection._saved_results import SavedResults
from tests.layers.contract import raises
from tests.layers.harness import layer_of, module_of

MAP = """
item { name: "none" label: 0 display_name: "background" } item { name: "cat" label: 1 } item { name: "7" label: 2 }
"""
ROWS = [[0, 1, 0.9, 0.1, 0.2, 0.5, 0.6], [0, 2, 0.123456789, -0.5, 0.0, 0.25, 2.0], [1, 1, 0.5, 0.0, 0.0, 1.0, 1.0]]


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "map.txt").write_text(MAP)
    (tmp_path / "sizes.txt").write_text("first 100 200\n000002 50 80\nthird 10 10\n")
    files = str(tmp_path / "map.txt"), str(tmp_path / "sizes.txt")

    def make(kind, images=0):
        return SavedResults(str(tmp_path / "out"), "det_", kind, *files, num_test_image=images)

    return make


def mode(files="own"):
    return Mode(training=False, tops=1, files=files)


def test_a_file_for_each_class(saved, tmp_path):
    saved("VOC").write(torch.tensor(ROWS), 2, mode())
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == ["det_7.txt", "det_cat.txt", "det_none.txt"]
    assert (folder / "det_cat.txt").read_text() == "first 0.9 20 20 100 60\n000002 0.5 0 0 80 50\n"
    assert (folder / "det_7.txt").read_text() == "first 0.123457 0 0 50 100\n"


def test_one_list_of_objects(saved, tmp_path):
    own, given = saved("COCO"), mode()
    own.write(torch.tensor(ROWS), 2, given)
    own.write(torch.tensor([[0, 2, 0.25, 0.0, 0.0, 0.5, 0.5]]), 1, given)
    found = json.loads((tmp_path / "out" / "det_.json").read_text())
    assert [one["image_id"] for one in found] == ["first", "first", 2, "third"]
    assert [one["category_id"] for one in found] == ["cat", 7, "cat", 7]
    np.testing.assert_allclose(found[0]["bbox"], [20, 20, 80, 40], rtol=1e-6)
    assert found[3]["score"] == 0.25


def test_one_text_file(saved, tmp_path):
    saved("ILSVRC").write(torch.tensor(ROWS[:1]), 1, mode())
    assert (tmp_path / "out" / "det_.txt").read_text() == "first 1 0.9 20 20 100 60\n"


def test_files_begin_anew_after_all_images(saved, tmp_path):
    own, given, rows = saved("ILSVRC", 2), mode(), torch.tensor(ROWS)
    for _ in range(2):
        own.write(rows, 2, given)
    assert (tmp_path / "out" / "det_.txt").read_text().count("\n") == 3


def test_files_of_others_are_kept(saved, tmp_path):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "det_.txt"
    path.write_text("mine")
    saved("ILSVRC").write(torch.tensor(ROWS), 2, mode("none"))
    assert path.read_text() == "mine"
    with raises("E412", "netc did not write it in this run"):
        saved("ILSVRC").write(torch.tensor(ROWS), 2, mode())
    saved("ILSVRC").write(torch.tensor(ROWS), 2, mode("any"))
    assert path.read_text() != "mine"


def test_files_that_cannot_be_read_or_written(saved, tmp_path):
    (tmp_path / "map.txt").write_text('item { name: "cat" label: 1 }')
    with raises("E301", "label 2 is not in"):
        saved("VOC").write(torch.tensor(ROWS), 2, mode())
    (tmp_path / "map.txt").unlink()
    with raises("E501", "cannot read"):
        saved("COCO").write(torch.tensor(ROWS), 2, mode("any"))
    (tmp_path / "map.txt").write_text(MAP)
    (tmp_path / "sizes.txt").unlink()
    with raises("E501", "cannot read"):
        saved("VOC").write(torch.tensor(ROWS), 2, mode())


def test_the_layer_writes_where_it_may(saved, tmp_path):
    files = {"label_map_file": str(tmp_path / "map.txt"), "name_size_file": str(tmp_path / "sizes.txt")}
    output = {"output_directory": str(tmp_path / "out"), "output_name_prefix": "a", "output_format": "ILSVRC"}
    saved("VOC")
    message = {"num_classes": 3, "save_output_param": {**output, **files}}
    layer = layer_of("DetectionOutput", {"detection_output_param": message})
    priors = torch.tensor([[[0.1, 0.2, 0.5, 0.6], [0.1] * 4]])
    bottoms = torch.zeros(1, 4), torch.tensor([[0.0, 0.75, 0.25]]), priors
    module_of(layer, tuple(tuple(bottom.shape) for bottom in bottoms)).eval()(*bottoms)
    assert (tmp_path / "out" / "a.txt").read_text() == "first 1 0.75 20 20 100 60\nfirst 2 0.25 20 20 100 60\n"


def test_files_are_found_next_to_the_net(tmp_path):
    (tmp_path / "map.txt").write_text(MAP)
    (tmp_path / "sizes.txt").write_text("first 100 200\nsecond 50 80\n")
    message = {"output_directory": str(tmp_path / "out"), "output_name_prefix": "a", "output_format": "ILSVRC"}
    message |= {"label_map_file": "map.txt", "name_size_file": "sizes.txt"}
    layer = layer_of("DetectionOutput", {"detection_output_param": {"num_classes": 3, "save_output_param": message}})
    layer.saved.write(torch.tensor(ROWS), 2, replace(mode(), find=lambda name: tmp_path / name))
    assert (tmp_path / "out" / "a.txt").read_text().startswith("first 1 ")
