"""tools/check_conversions.py: the models in every form on real pictures; it tells forms that depart."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("lenet", "cifar10_quick", "cifar10_full")
LARGE = sorted({path.parent.name for path in (ROOT / "models").glob("*/deploy.prototxt")} - set(SMALL))
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.export's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def tool(monkeypatch):
    pytest.importorskip("onnxruntime")
    spec = importlib.util.spec_from_file_location("check_conversions", ROOT / "tools" / "check_conversions.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "check_conversions", module)
    spec.loader.exec_module(module)
    return module


def check(tool, name, folder):
    rows = list(tool.check(ROOT / "models" / name / "deploy.prototxt", folder, name=name))
    assert [row.format for row in rows] == list(tool.FORMATS)
    assert all(row.agrees for row in rows), rows


@pytest.mark.parametrize("name", [SMALL[0], *(pytest.param(name, marks=pytest.mark.slow) for name in SMALL[1:])])
def test_small_models_agree_in_every_form(tool, tmp_path, name):
    check(tool, name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.skipif(
    "NETC_ALL_MODELS" not in os.environ, reason="minutes: set NETC_ALL_MODELS=1, or run the tool itself"
)
def test_large_models_agree_in_every_form(tool, tmp_path, name):
    check(tool, name, tmp_path)


def test_pictures_are_two_photographs_and_a_part(tool):
    one, three = tool.batches_for(ROOT / "models" / "cifar10_quick" / "deploy.prototxt")
    assert (one.shape, three.shape) == ((1, 3, 32, 32), (3, 3, 32, 32))
    assert min(np.abs(three[i] - three[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))) > 10


def test_differences_depart(tool):
    outputs = [{"prob": np.array([[0.25, 0.5]], np.float32)}]
    near, far = ([{"prob": outputs[0]["prob"] + np.float32(by)}] for by in (1e-5, 1e-3))
    assert tool.Row("m", "py", tool.relative_difference(outputs, near)).agrees
    assert not tool.Row("m", "py", tool.relative_difference(outputs, far)).agrees
    assert not tool.Row("m", "py", tool.relative_difference(outputs, [{"prob": np.zeros((2, 2), np.float32)}])).agrees
    assert not tool.Row("m", "py", tool.relative_difference(outputs, [])).agrees


def test_the_exit_status_tells(tool, monkeypatch, capsys):
    rows = [tool.Row("m", "py", 1e-6), tool.Row("m", "onnx", 1e-2)]
    monkeypatch.setattr(tool, "check", lambda *arguments: rows)
    assert tool.main({"models": ["m"], "formats": None, "json": None}) == 1
    assert capsys.readouterr().out.count("DIFFERS") == 1
    monkeypatch.setattr(tool, "check", lambda *arguments: rows[:1])
    assert tool.main({"models": ["m"], "formats": None, "json": None}) == 0
