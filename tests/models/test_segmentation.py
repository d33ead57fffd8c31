"""The small segmentation nets of models/ learn shapes on photographs."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import netc
from netc.compiler import graph_of
from netc.data import open_source
from netc.frontends import read_net
from netc.ir.graph import State

ROOT = Path(__file__).parents[2]
IMAGES, CLASSES = 150, 4
LEAST = 0.8
MODELS = ("fcn8s", "segnet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shapes, and copies of the models."""
    root = tmp_path_factory.mktemp("shapes")
    tool = [sys.executable, str(ROOT / "tools" / "make_shapes.py"), str(root / "data" / "shapes"), "--train", "2400"]
    subprocess.run(tool, check=True, capture_output=True)
    for name in MODELS:
        shutil.copytree(ROOT / "models" / name, root / "models" / name, ignore=shutil.ignore_patterns("*_iter_*"))
    return root


def mean_iou(model: str, weights: Path) -> float:
    """The mean intersection over union of the classes, of all pixels of the test images that are not void."""
    (node,) = (n for n in graph_of(read_net(f"models/{model}/shapes_train_val.prototxt"), State("TEST")).nodes[:1])
    net = netc.load(f"models/{model}/shapes_deploy.prototxt", weights)
    counts = np.zeros((CLASSES, CLASSES))
    source = open_source(node.layer, "TEST")
    source.configure(np.empty, normalize_on_host=True)
    with contextlib.closing(source), torch.no_grad():
        for _ in range(IMAGES // node.layer.batch_size):
            data, label = source.next_batch().tops[:2]
            found = net.evaluate({"data": torch.from_numpy(data)}, ["score"])["score"].argmax(1).numpy()
            wanted = label[:, 0].astype(int)
            known = wanted < CLASSES
            np.add.at(counts, (wanted[known], found[known]), 1)
    right = np.diag(counts)
    return float((right / (counts.sum(0) + counts.sum(1) - right)).mean())


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("model", MODELS)
def test_it_learns_shapes(folder, monkeypatch, model):
    monkeypatch.chdir(folder)
    netc.train(f"models/{model}/shapes_solver.prototxt")
    (weights,) = Path(f"models/{model}").glob("shapes_iter_*.caffemodel")
    assert mean_iou(model, weights) >= LEAST
