"""The prototxts in models/ are what their descriptions give."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("generate_models", TOOLS / "generate_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_fresh(tool, capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_a_changed_file_is_noticed_and_written(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "MODELS", tmp_path)
    assert tool.main([]) == 0
    changed = tmp_path / "vgg_d" / "deploy.prototxt"
    changed.write_text(changed.read_text().replace("num_output: 64", "num_output: 65"))
    capsys.readouterr()
    assert tool.main(["--check"]) == 1
    assert capsys.readouterr().out == "stale: models/vgg_d/deploy.prototxt\n"
    assert tool.main([]) == 0
    assert tool.stale() == []


def test_numbers_are_written_as_they_are_meant(tool):
    from model_zoo.prototxt import Word, show

    assert [show(v) for v in ("a", Word("MAX"), True, 1e-05, 0.004, 2)] == [
        '"a"',
        "MAX",
        "true",
        "0.00001",
        "0.004",
        "2",
    ]
