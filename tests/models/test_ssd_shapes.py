"""models/ssd/shapes_*: the definitions agree, and the net learns to find shapes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netc import check, train
from netc.conversion.detect import detect
from netc.data.tools.annotated_database import AnnotatedSettings, convert_annotated
from netc.data.tools.label_map import read_label_map
from netc.training.log import events

ROOT = Path(__file__).parents[2]
MODEL = "models/ssd"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    shutil.copytree(ROOT / MODEL, tmp_path / MODEL, ignore=shutil.ignore_patterns("*_iter_*"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["train_test", "deploy"])
def test_definitions(folder, name):
    assert {found.code for found in check(f"{MODEL}/shapes_{name}.prototxt")} <= {"W020"}


@pytest.mark.slow
@pytest.mark.training
def test_shapes_are_found(folder):
    """The commands of shapes.md; a few minutes."""
    subprocess.run([sys.executable, ROOT / "tools" / "make_shapes.py", "data/shapes", "--train", "1000"], check=True)
    label_map = read_label_map("data/shapes/labelmap.prototxt")
    for split, count in (("train", 1000), ("test", 150)):
        settings = AnnotatedSettings(encoded=True)
        done = convert_annotated(
            "data/shapes", None, f"data/shapes/{split}_lmdb", settings, label_map=label_map, split=split
        )
        assert done.written == count
        assert not done.warnings
    finished: list[events.TestFinished] = []

    def listen(event: object) -> None:
        if isinstance(event, events.TestFinished):
            finished.append(event)

    train(f"{MODEL}/shapes_solver.prototxt", listener=listen)
    last = finished[-1]
    assert last.iteration == 1200
    assert last.outputs[0].blob == "detection_eval"
    assert last.outputs[0].value >= 0.85
    assert [one.blob for one in last.classes] == ["class1", "class2", "class3"]
    (found,) = detect(
        ["data/shapes/JPEGImages/001001.jpg"],
        f"{MODEL}/shapes_deploy.prototxt",
        f"{MODEL}/shapes_iter_1200.caffemodel",
        labels="data/shapes/labelmap.prototxt",
    )
    assert {one.name for one in found.objects} <= {"disk", "square", "triangle"}
    assert found.objects
