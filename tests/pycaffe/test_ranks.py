"""Processes started by torchrun: each has its own objects of Python layers, and they train as one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LAYERS = """
import os
from pathlib import Path

import caffe


class Rank(caffe.Layer):
    def setup(self, bottom, top):
        self.rank, self.passes = int(os.environ["RANK"]), 0

    def reshape(self, bottom, top):
        top[0].reshape(1, 1)
        top[1].reshape(1, 1)

    def forward(self, bottom, top):
        self.passes += 1
        top[0].data[...] = self.rank + self.passes
        top[1].data[...] = 1
        Path(f"passes{self.rank}.txt").write_text(str(self.passes))

    def backward(self, top, propagate_down, bottom):
        pass
"""
NET = """
layer { name: "data" type: "Python" top: "x" top: "t" python_param { module: "rank_layers" layer: "Rank" } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 bias_term: false } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" max_iter: 3 snapshot_prefix: "run" snapshot_after_train: true
"""
SCRIPT = """
import numpy as np
import torch

import caffe

torch.distributed.init_process_group("gloo")
caffe.set_multiprocess(True)
solver = caffe.SGDSolver("solver.prototxt")
solver.net.params["ip"][0].data[...] = caffe.solver_rank()
group = caffe.NCCL(solver, caffe.NCCL.new_uid())
group.bcast()
solver.add_callback(group)
solver.step(3)
np.save(f"weight{caffe.solver_rank()}.npy", solver.net.params["ip"][0].data)
torch.distributed.destroy_process_group()
"""


def expected():
    """The weight after three steps of the mean gradient of both ranks."""
    weight = 0.0
    for step in range(3):
        inputs = [rank + step + 1 for rank in range(2)]
        weight -= 0.05 * np.mean([(weight * x - 1) * x for x in inputs])
    return weight


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("rank_layers.py", LAYERS), ("net.prototxt", NET), ("solver.prototxt", SOLVER)):
        (tmp_path / name).write_text(text)
    (tmp_path / "script.py").write_text(SCRIPT)


def torchrun(*arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}", "-m", "netc"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_script(tmp_path):
    torchrun("run", "script.py")
    weights = [float(np.load(f"weight{rank}.npy").item()) for rank in range(2)]
    assert weights[0] == weights[1] == pytest.approx(expected(), rel=1e-5)
    assert [(tmp_path / f"passes{rank}.txt").read_text() for rank in range(2)] == ["3", "3"]


def test_the_command_line(tmp_path):
    import netc.pycaffe as caffe

    torchrun("train", "solver.prototxt", "--allow-python-layers")
    assert [(tmp_path / f"passes{rank}.txt").read_text() for rank in range(2)] == ["3", "3"]
    (tmp_path / "deploy.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 } } }\n' + NET.splitlines()[2]
    )
    net = caffe.Net("deploy.prototxt", caffe.TEST, weights="run_iter_3.caffemodel")
    assert net.params["ip"][0].data.item() == pytest.approx(expected(), rel=1e-5)
