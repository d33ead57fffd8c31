"""`netc log`, `netc plot`, and the log files of `netc train`."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from netc.cli import main

from .solver_files import SOLVER, write_solver

CAFFE = Path(__file__).parent.parent / "reference" / "training" / "caffe_log.txt"


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(CAFFE, "caffe.log")
    return tmp_path


def fails(capsys, arguments, code):
    assert main(arguments) == 1
    assert f"error[{code}]" in capsys.readouterr().err


def test_tables_next_to_the_log_or_elsewhere(work, capsys):
    (work / "logs").mkdir()
    shutil.move("caffe.log", "logs/caffe.log")
    assert main(["log", "logs/caffe.log"]) == 0
    assert capsys.readouterr().out == "logs/caffe.log.train: 7 rows\nlogs/caffe.log.test: 4 rows\n"
    assert main(["log", "logs/caffe.log", ".", "--delimiter=;"]) == 0
    assert Path("caffe.log.test").read_text().startswith("NumIters;Seconds;LearningRate;accuracy;loss\n0.0;")


def test_a_log_written_by_netc(work, capsys):
    write_solver(work)
    assert main(["train", "solver.prototxt"]) == 0
    Path("netc.log").write_text(capsys.readouterr().err)
    assert main(["log", "netc.log"]) == 0
    train = list(csv.DictReader(Path("netc.log.train").read_text().splitlines()))
    assert [(row["NumIters"], row["LearningRate"]) for row in train] == [("0.0", "0.1"), ("2.0", "0.1"), ("4.0", "0.1")]
    (test,) = csv.DictReader(Path("netc.log.test").read_text().splitlines())
    assert list(test) == ["NumIters", "Seconds", "LearningRate", "accuracy", "loss"]
    assert (float(test["NumIters"]), 0 <= float(test["accuracy"]) <= 1) == (5, True)


def test_wrong_logs(work, capsys):
    Path("x.log").write_text("nothing\n")
    fails(capsys, ["log", "x.log"], "E631")
    fails(capsys, ["log", "absent.log"], "E001")
    fails(capsys, ["log", "caffe.log", "absent"], "E408")
    fails(capsys, ["plot", "caffe.log", "-o", "x.doc"], "E634")
    assert main(["log", "caffe.log", "--delimiter=ab"]) == 2
    assert main(["plot"]) == 2


def test_a_plot_of_two_runs(work, capsys):
    pytest.importorskip("matplotlib")
    shutil.copy("caffe.log", "other.log")
    assert main(["plot", "caffe.log", "other.log", "-o", "runs.svg"]) == 0
    assert capsys.readouterr().out == "runs.svg: 8 lines of 2 runs\n"
    assert b"<svg" in Path("runs.svg").read_bytes()


def test_json_lines_of_a_run_and_of_the_resumed_run(work, capsys):
    write_solver(work, solver=SOLVER.replace("max_iter: 6", "max_iter: 4"))
    assert main(["train", "solver.prototxt", "--log-json=run.jsonl"]) == 0
    write_solver_again = Path("solver.prototxt").read_text().replace("max_iter: 4", "max_iter: 6")
    Path("solver.prototxt").write_text(write_solver_again)
    assert main(["train", "solver.prototxt", "--log-json=run.jsonl", "--snapshot=snap_iter_4.solverstate"]) == 0
    lines = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    iterations = [line for line in lines if line["event"] == "iteration"]
    assert [line["iteration"] for line in iterations] == [0, 1, 2, 3, 4, 5]
    assert all(line["learning_rate"] == pytest.approx(0.1) and line["loss"] > 0 for line in iterations)
    started = [line for line in lines if line["event"] == "run_started"]
    assert [(line["iteration"], line["max_iter"], line["images_per_iteration"]) for line in started] == [
        (0, 4, 8),
        (4, 6, 8),
    ]


def test_a_missing_folder_for_json_lines(work, capsys):
    write_solver(work)
    fails(capsys, ["train", "solver.prototxt", "--log-json=absent/run.jsonl"], "E632")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_files(work):
    pytest.importorskip("tensorboard")
    write_solver(work)
    assert main(["train", "solver.prototxt", "--tensorboard=board"]) == 0
    assert [path.stat().st_size > 500 for path in Path("board").iterdir()] == [True]
