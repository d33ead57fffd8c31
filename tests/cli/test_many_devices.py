"""Several processes that train together, as the command line starts them; here on CPUs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from netc.cli import main
from netc.training.distributed import launcher as launching

from .solver_files import NET, write_solver

LAUNCH = "import sys; from netc.training.distributed.launcher import launch; sys.exit(launch(sys.argv[1:], 2))"


def start(folder, *command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *command, "train", "solver.prototxt", "--log-json=run.jsonl"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_processes_that_netc_starts(tmp_path):
    write_solver(tmp_path)
    run = start(tmp_path, "-c", LAUNCH)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("Iteration 4, lr = 0.1") == 1
    content = json.loads((tmp_path / "snap_iter_6.netc.json").read_text())
    assert content["world_size"] == 2
    assert [state["position"] for state in content["train"].values()] == [6 * 8]
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if line["event"] == "iteration"] == list(range(6))
    assert next(line["images_per_iteration"] for line in lines if line["event"] == "run_started") == 16


@pytest.mark.slow
def test_a_rank_that_fails_under_torchrun_ends_the_run_with_its_error(tmp_path):
    from netc.data.tools.mnist_and_cifar import write_image_lmdb

    write_solver(tmp_path, net=NET.replace('"db"', '"odd"'))
    images = np.random.default_rng(5).integers(0, 255, (20, 1, 5, 6), dtype=np.uint8)
    write_image_lmdb(tmp_path / "odd", zip(images, (9 if i == 17 else i % 4 for i in range(20))))  # 17 is rank 1's
    run = start(tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "netc")
    assert run.returncode == 1
    assert "error[E301]: label outside 0 to 3: 9" in run.stderr
    assert "on rank 1 of 2" in run.stderr
    assert not list(tmp_path.glob("snap_iter_6*"))


def test_the_error_of_a_process_ended_by_a_signal():
    (found,) = launching._ended(1, -signal.SIGKILL, 2).diagnostics
    assert (found.code, found.message) == ("E621", "rank 1 of 2 was ended by signal SIGKILL")
    assert "memory" in (found.help or "")
    (found,) = launching._ended(0, 7, 2).diagnostics
    assert (found.message, found.help) == ("rank 0 of 2 was ended with status 7", None)


def test_several_gpus_are_several_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_solver(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    asked = []
    monkeypatch.setattr(launching, "launch", lambda arguments, processes: asked.append((arguments, processes)) or 0)
    for gpu, count in (("0,2", 2), ("all", 3)):
        command = ["train", "solver.prototxt", f"--gpu={gpu}"]
        assert main(command) == 0
        assert asked.pop() == (command, count)


def test_a_process_that_torchrun_started_starts_no_others(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (launching.process_count("all"), launching.process_count(None)) == (1, 1)


def test_the_children_of_a_process_are_found():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.pid in set(launching._children())
    child.communicate(b"\n")
