"""`netc diff`: statuses and formats; what it finds is tests/test_inspection_diff.py's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.cli import main

NET = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }\n'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.prototxt").write_text(NET)
    Path("same.prototxt").write_text("# another spelling\n" + NET.replace("dim: 2 dim: 3", "dim: [2, 3]"))
    Path("other.prototxt").write_text(NET.replace("dim: 3", "dim: 4"))


def test_status_0_for_equivalent_nets(capsys):
    assert main(["diff", "one.prototxt", "same.prototxt"]) == 0
    assert capsys.readouterr().out == "the nets are equivalent\n"


def test_status_1_for_different_nets(capsys):
    assert main(["diff", "one.prototxt", "other.prototxt"]) == 1
    assert "shape: [2,3] -> [2,4]" in capsys.readouterr().out
    assert main(["diff", "one.prototxt", "other.prototxt", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["layer"] == "data"


def test_status_2_for_wrong_usage(capsys):
    assert main(["diff", "one.prototxt"]) == 2
    assert "Usage" in capsys.readouterr().err
