"""Caffe's own command line: glog's flags and variables, and `caffe train|test|time|device_query`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch

from netc.cli import main
from netc.cli.glog import GlogFlags, split_flags

from .solver_files import write_solver
from .test_train import messages

NET = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("GLOG_", "GOOGLE_LOG"))]:
        monkeypatch.delenv(name)
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


TIME = ["time", "--model=net.prototxt", "--iterations=1"]


@pytest.mark.parametrize(
    ("flags", "variables"),
    [
        (["--log_dir=logs"], {}),
        (["-log_dir", "logs"], {}),
        ([], {"GLOG_log_dir": "logs"}),
        ([], {"GOOGLE_LOG_DIR": "logs"}),
    ],
)
def test_files_in_a_folder(folder, capsys, monkeypatch, flags, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main([*TIME, *flags]) == 0
    stderr = capsys.readouterr().err
    (file,) = Path("logs").glob("netc.*.log.INFO.*")
    assert re.fullmatch(rf"netc\..+\.\w+\.log\.INFO\.\d{{8}}-\d{{6}}\.{os.getpid()}", file.name)
    assert os.readlink("logs/netc.INFO") == file.name
    head, _, log = file.read_text().partition("file:line] msg\n")
    assert head.splitlines()[0].startswith("Log file created at: 20")
    plain = [re.sub(r"^I\S+ \S+", "", line) for line in (*log.splitlines(), *stderr.splitlines())]
    assert plain[: len(plain) // 2] == plain[len(plain) // 2 :]
    assert "Use CPU." in log


def test_a_file_of_each_severity(folder):
    solver = write_solver(folder).read_text().replace("solver_mode: CPU", "")  # GPU, which may be missing: a warning
    Path("solver.prototxt").write_text(solver)
    if torch.cuda.is_available():
        pytest.skip("the warning requires a machine without GPU")
    assert main(["train", "solver.prototxt", "--log_dir=logs"]) == 0
    info, warnings = (Path(f"logs/netc.{name}").read_text() for name in ("INFO", "WARNING"))
    assert "training on the CPU" in info
    assert "training on the CPU" in warnings
    assert "Iteration 4" in info
    assert "Iteration 4" not in warnings
    assert not Path("logs/netc.ERROR").exists()


@pytest.mark.parametrize("flag", ["--logtostderr", "--logtostderr=1", "-logtostderr=true"])
def test_logtostderr_writes_no_file(folder, capsys, flag):
    assert main([*TIME, "--log_dir=logs", flag]) == 0
    assert "Use CPU." in messages(capsys)
    assert not Path("logs").exists()


def test_standard_error_may_be_reserved_for_errors(folder, capsys):
    assert main([*TIME, "--log_dir=logs", "--noalsologtostderr"]) == 0
    assert capsys.readouterr().err == ""
    assert "Use CPU." in Path("logs/netc.INFO").read_text()
    assert main([*TIME, "--alsologtostderr=0", "--stderrthreshold=0"]) == 0
    assert "Use CPU." in messages(capsys)


def test_the_lowest_severity(folder, capsys, monkeypatch):
    assert main([*TIME, "--minloglevel=1", "--v=2", "--log_dir=logs"]) == 0
    monkeypatch.setenv("GLOG_minloglevel", "1")
    assert main(TIME) == 0
    assert capsys.readouterr().err == ""
    assert not Path("logs").exists()


def test_lines_without_prefix(folder, capsys):
    assert main([*TIME, "--nolog_prefix"]) == 0
    assert capsys.readouterr().err.startswith("Use CPU.\n")


def test_a_folder_that_cannot_be_written_does_not_end_the_run(folder, capsys):
    Path("logs").write_text("a file")
    assert main([*TIME, "--log_dir=logs"]) == 0
    lines = messages(capsys)
    assert lines[1] == "cannot write the log in `logs`: file exists; continuing without it"
    assert sum("cannot write" in line for line in lines) == 1


def test_flags_in_a_file(folder, capsys):
    Path("flags.txt").write_text("# comment\n--log_dir=logs\n--iterations=2\n")
    assert main(["time", "--model=net.prototxt", "--flagfile=flags.txt"]) == 0
    assert "Testing for 2 iterations." in messages(capsys)
    assert Path("logs/netc.INFO").exists()
    Path("flags.txt").write_text("--flagfile=flags.txt\n")
    assert main([*TIME, "--flagfile=flags.txt"]) == 2
    assert main([*TIME, "--flagfile=missing.txt"]) == 2


@pytest.mark.parametrize("flag", ["--v=high", "--logtostderr=perhaps", "--log_dir"])
def test_invalid_values(folder, flag):
    assert main([*TIME, flag]) == 2


def test_arguments_after_two_dashes_are_not_flags():
    assert split_flags(["--", "--v=1"], {}) == (GlogFlags(), ["--", "--v=1"])
    assert split_flags(["--nolog"], {}) == (GlogFlags(), ["--nolog"])
    with pytest.raises(click.UsageError):
        split_flags([], {"GLOG_minloglevel": "x"})


def test_other_verbs_have_no_such_flags(folder):
    assert main(["summary", "net.prototxt", "--v=1"]) == 2


def test_caffe_train_test_and_time(folder, capsys):
    write_solver(folder)
    assert main(["caffe", "train", "-solver", "solver.prototxt", "-gpu", "", "--log_dir=logs"]) == 0
    assert Path("logs/caffe.INFO").exists()
    assert messages(capsys)[-1] == "Optimization Done."
    assert main(["caffe", "--weights=snap_iter_6.caffemodel", "test", "--model", "net.prototxt", "-iterations=1"]) == 0
    assert messages(capsys)[1] == "Running for 1 iterations."
    assert main(["caffe", "time", "-model=net.prototxt", "-phase", "TEST", "-iterations", "1", "-weights="]) == 0
    assert "Testing for 1 iterations." in messages(capsys)


def test_flags_of_other_commands_are_ignored_with_a_warning(folder, capsys):
    assert (
        main(["caffe", "--snapshot=x", "time", "--model=net.prototxt", "--iterations=1", "--sighup_effect=stop"]) == 0
    )
    errors = capsys.readouterr().err
    assert "warning: `caffe time` ignores `--snapshot`" in errors
    assert "warning: `caffe time` ignores `--sighup_effect`" in errors


def test_wrong_usage_of_caffe(capsys):
    for arguments in (["caffe"], ["caffe", "fly"], ["caffe", "time", "--model"]):
        assert main(arguments) == 2
    capsys.readouterr()
    assert main(["caffe", "--help"]) == 0
    assert "train, test, time or device_query" in capsys.readouterr().out


def test_the_program_caffe(folder):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    code = "import sys; from netc.__main__ import caffe; sys.exit(caffe())"
    command = [sys.executable, "-c", code, "fly"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, "got `fly`" in done.stderr) == (2, True)


def test_device_query(folder, capsys, monkeypatch):
    class Properties:
        name, major, minor, total_memory, warp_size, multi_processor_count = "GPU X", 9, 0, 85899345920, 32, 132

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    assert main(["device_query"]) == 0
    lines = messages(capsys)
    assert lines[:2] == ["Querying GPUs all", "Device id:                     0"]
    assert "Total global memory:           85899345920" in lines
    assert len(lines) == 15
    assert main(["caffe", "device_query", "-gpu=1"]) == 0
    assert messages(capsys)[1] == "Device id:                     1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert main(["device_query"]) == 1
    assert "found no GPU" in capsys.readouterr().err
