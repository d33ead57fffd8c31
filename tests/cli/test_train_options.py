"""The flags of `netc train` that Caffe has not, and its signals."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netc import weights
from netc.cli import main

from .solver_files import NET, SOLVER, write_solver
from .test_train import fails, messages


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_solver(tmp_path)


def test_auto_resumes_from_the_newest_snapshot_or_starts_a_new_run(solver, capsys):
    assert main(["train", "solver.prototxt", "--snapshot", "auto", "--iterations=5"]) == 0
    assert "No snapshot of snap to resume from: starting a new run" in messages(capsys)
    assert main(["train", "solver.prototxt", "--snapshot=auto", "--weights=snap_iter_4.caffemodel"]) == 0
    log = messages(capsys)
    assert "Restoring previous solver status from snap_iter_5.solverstate" in log
    assert Path("snap_iter_6.solverstate").exists()


def test_options_override_the_file_and_keep_the_rest(solver, capsys):
    solver.write_text(SOLVER + 'netc_param { keep: 1 precision: "tf32" deterministic: true }')
    assert main(["train", "solver.prototxt", "--keep=0", "--precision=ieee"]) == 0
    assert sorted(p.name for p in Path().glob("*.solverstate")) == [
        "snap_iter_4.solverstate",
        "snap_iter_6.solverstate",
    ]
    assert "Precision of float32 products: ieee, deterministic" in messages(capsys)


def test_fine_tuning(solver, capsys):
    assert main(["train", "solver.prototxt"]) == 0
    deeper = 'layer { name: "new" type: "InnerProduct" bottom: "ip" top: "new" inner_product_param { num_output: 4 '
    net = NET.replace('name: "ip"', 'name: "first"').replace(
        'layer { name: "accuracy"', deeper + '} }\nlayer { name: "accuracy"'
    )
    Path("net.prototxt").write_text(net.replace('bottom: "ip" bottom: "label"', 'bottom: "new" bottom: "label"'))
    capsys.readouterr()
    flags = ["--weights=snap_iter_6.caffemodel", "--rename", "ip=first", "--freeze", "fir*"]
    assert main(["train", "solver.prototxt", "--iterations=2", *flags]) == 0
    assert "weights from snap_iter_6.caffemodel: 1 loaded, 0 skipped, 1 missing, 0 mismatched" in messages(capsys)
    before, after = (weights.read(f"snap_iter_{n}.caffemodel").by_name for n in (6, 2))
    assert (before["ip"].blobs[0].data == after["first"].blobs[0].data).all()
    fails(capsys, ["train", "solver.prototxt", "--freeze=conv*"], "E610", "`first`")


def test_mismatch_is_allowed_on_demand(solver, capsys):
    assert main(["train", "solver.prototxt"]) == 0
    Path("net.prototxt").write_text(NET.replace("num_output: 4", "num_output: 5"))
    run = ["train", "solver.prototxt", "--iterations=1", "--weights=snap_iter_6.caffemodel"]
    fails(capsys, run, "E306")
    assert main([*run, "--allow-mismatch"]) == 0
    assert "    mismatched  ip: [4,30] [4] in the file, [5,30] [5] in the net (starts from its fillers)" in messages(
        capsys
    )


def test_debug_names_the_first_blob(solver, capsys):
    log = 'layer { name: "log" type: "Log" bottom: "data" top: "log" }\n'
    net = NET.replace('layer { name: "ip"', log + 'layer { name: "ip"').replace(
        'bottom: "data" top: "ip"', 'bottom: "log" top: "ip"'
    )
    Path("net.prototxt").write_text(net)
    fails(capsys, ["train", "solver.prototxt"], "E701", "the loss is nan in iteration 0")
    fails(
        capsys,
        ["train", "solver.prototxt", "--debug"],
        "E701",
        "top `log` of layer `log` is -inf",
        "its bottoms: `data` 0 to",
    )


def test_early_stopping(solver, capsys):
    run = ["train", "solver.prototxt", "--watch=accuracy", "--patience=1", "--better=lower"]
    solver.write_text(SOLVER.replace("test_interval: 5", "test_interval: 1").replace("max_iter: 6", "max_iter: 60"))
    assert main(run) == 0
    log = messages(capsys)
    assert any(line.startswith("accuracy has not improved for 1 test: the best was") for line in log)
    assert "Optimization stopped early." in log
    assert Path("snap_best.solverstate").exists()


HALF = """
import netc.pycaffe as caffe
class Half(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data / 2
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff / 2
"""


def test_python_layers_run_on_demand(solver, capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "halving.py").write_text(HALF)
    half = 'layer { name: "half" type: "Python" bottom: "data" top: "half" '
    half += 'python_param { module: "halving" layer: "Half" } }\n'
    net = NET.replace('layer { name: "ip"', half + 'layer { name: "ip"').replace(
        'bottom: "data" top: "ip"', 'bottom: "half" top: "ip"'
    )
    (tmp_path / "net.prototxt").write_text(net)
    assert main(["train", "solver.prototxt"]) == 1
    assert "halving" not in sys.modules
    capsys.readouterr()
    assert main(["train", "solver.prototxt", "--allow-python-layers"]) == 0
    assert weights.read("snap_iter_6.caffemodel").by_name["ip"].blobs[0].shape == (4, 30)
    learned = "--weights=snap_iter_6.caffemodel"
    for asked in (
        ["test", "net.prototxt", learned, "--iterations=2"],
        ["time", "net.prototxt", learned, "--iterations=2"],
        ["features", "snap_iter_6.caffemodel", "net.prototxt", "half", "half_lmdb", "2"],
    ):
        assert main(asked) == 1
        err = capsys.readouterr().err
        assert "E201" in err
        assert "--allow-python-layers" in err
        assert main([*asked, "--allow-python-layers"]) == 0


@pytest.mark.parametrize(
    ("number", "flags", "end"),
    [
        (signal.SIGINT, [], "Optimization stopped early."),
        (signal.SIGHUP, ["--sighup_effect=stop"], "Optimization stopped early."),
    ],
)
@pytest.mark.slow
def test_signals_of_a_process(solver, tmp_path, number, flags, end):
    solver.write_text(SOLVER.replace("max_iter: 6", "max_iter: 1000000"))
    command = [sys.executable, "-m", "netc", "train", "solver.prototxt", *flags]
    environment = {"PYTHONPATH": str(Path(main.__code__.co_filename).parents[2]), "PATH": ""}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as run:
        log = []
        for line in run.stderr:
            log.append(line)
            if "Iteration 8," in line:
                run.send_signal(number)
                break
        log += run.stderr.readlines()
    assert run.returncode == 0, "".join(log)
    assert end in log[-2]
    last = max(int(re.search(r"iter_(\d+)", path.name)[1]) for path in tmp_path.glob("*.solverstate"))
    assert last >= 8


def test_numbers_for_other_programs(solver):
    assert main(["train", "solver.prototxt", "--log-json", "run.jsonl"]) == 0
    lines = Path("run.jsonl").read_text().splitlines()
    assert sum('"event": "iteration"' in line for line in lines) == 6
