"""The three examples of transfer learning, with fewer iterations."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netc import check, train
from netc.training.log import events

ROOT = Path(__file__).parents[2]
WAYS = {"linear_classifier": {"ip2_parity"}, "few_layers": {"ip1", "ip2_parity"}}
ALL = {"conv1", "conv2", "ip1", "ip2_parity"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of what the examples need, with a LeNet of a few iterations."""
    root = tmp_path_factory.mktemp("root")
    for name in ("lenet", "finetune"):
        shutil.copytree(ROOT / "models" / name, root / "models" / name, ignore=shutil.ignore_patterns("*_iter_*"))
    tool = [sys.executable, str(ROOT / "tools" / "make_parity.py"), str(root / "models" / "finetune")]
    shutil.rmtree(root / "models" / "finetune" / "train_lmdb", ignore_errors=True)
    shutil.rmtree(root / "models" / "finetune" / "test_lmdb", ignore_errors=True)
    told = subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "train_lmdb: 100 records" in told
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        train("models/lenet/solver.prototxt", iterations=40)
        (root / "models/lenet/lenet_iter_40.caffemodel").rename(root / "models/lenet/lenet_iter_500.caffemodel")
    return root


@pytest.mark.parametrize(
    "way", ["linear_classifier", *(pytest.param(way, marks=pytest.mark.slow) for way in ("few_layers", "all_layers"))]
)
def test_what_learns(folder, monkeypatch, way):
    monkeypatch.chdir(folder)
    solver = f"models/finetune/{way}/solver.prototxt"
    assert check(solver) == []
    heard = []
    run = train(solver, listener=heard.append)
    (report,) = [e for e in heard if isinstance(e, events.FinetuningLoaded) and e.test_net is None]
    assert (report.loaded, report.skipped, report.missing) == (("conv1", "conv2", "ip1"), ("ip2",), ("ip2_parity",))
    history = zip(run.state.optimizer.blobs, run.state.optimizer.history())
    assert {blob.layer for blob, kept in history if kept.any()} == WAYS.get(way, ALL)
    before, after = (e.outputs[0].value for e in heard if isinstance(e, events.TestFinished))
    assert before < 0.65
    assert after > 0.85
