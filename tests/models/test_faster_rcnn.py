"""Faster R-CNN: the sizes of the published definitions, and a small net that learns to find shapes."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import netc

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "faster_rcnn"


def test_sizes():
    found = netc.summary(MODEL / "test.prototxt", shapes={"data": (1, 3, 600, 1000)})
    assert found.parameters == 137_078_239
    rows = {row.name: row.tops for row in found.rows}
    assert rows["cls_prob"][0][1:] == (21,)
    assert rows["bbox_pred"][0][1:] == (84,)
    assert rows["conv5_3"][0] == (1, 512, 38, 63)


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("shapes_train", "shapes_test")])
def test_both_nets_have_the_same_weights(train, test):
    nets = [netc.compiler.read_net(MODEL / f"{name}.prototxt") for name in (train, test)]
    graphs = [netc.compiler.checked_graph(net, netc.compiler.TEST_STATE)[0] for net in nets]
    weights = [{node.name: [w.shape for w in graph.weights(node)] for node in graph.nodes} for graph in graphs]
    first, second = ({name: shapes for name, shapes in one.items() if shapes} for one in weights)
    assert first == second
    assert len(first) > 8


@pytest.mark.slow
@pytest.mark.training
def test_a_small_net_learns_to_find_shapes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(MODEL, "models/faster_rcnn")
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_shapes.py", "data/shapes", "--train", "400", "--test", "100"],
        check=True,
        capture_output=True,
    )
    netc.train("models/faster_rcnn/shapes_solver.prototxt")
    spec = importlib.util.spec_from_file_location("evaluate_regions", ROOT / "tools" / "evaluate_regions.py")
    tool = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, tool)
    spec.loader.exec_module(tool)
    net = netc.load(MODEL / "shapes_test.prototxt", "models/faster_rcnn/shapes_iter_3600.caffemodel")
    found = tool.evaluate(net, Path("data/shapes"), "test", ("disk", "square", "triangle"), 160, 270, tool.STDS)
    assert sum(found.values()) / 3 >= 0.7
