"""Small solvers and data to train on."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import Source
from netc.frontends.caffe.read import read_solver
from netc.training.solver.settings import settings_of
from netc.training.solver.solver import Solver
from tests.data.databases import record, write

NET = """
name: "small"
layer {
  name: "digits" type: "Data" top: "data" top: "label"
  data_param { source: "records" batch_size: 6 backend: LMDB }
  transform_param { scale: 0.01 crop_size: 5 mirror: true }
}
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "gaussian" std: 0.2 } }
}
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "drop" type: "Dropout" bottom: "bn" top: "bn" }
layer {
  name: "ip" type: "InnerProduct" bottom: "bn" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.2 } }
}
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt"
base_lr: 0.05 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed"
max_iter: 8 random_seed: 3 solver_mode: CPU snapshot_prefix: "small"
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory with `net.prototxt` and its 20 records of 4 classes."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (20, 2, 7, 7), dtype=np.uint8)
    write(tmp_path / "records", [record(image, index % 4) for index, image in enumerate(images)])
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


@pytest.fixture
def settings_from():
    """`settings_from(text)`: a solver's settings."""

    def make(text: str):
        fields, report = read_solver(Source("solver.prototxt", text))
        report.raise_errors()
        return settings_of(fields)

    return make


@pytest.fixture
def solver_from(work, settings_from):
    """`solver_from(more, base=SOLVER, **as Solver)`: a solver in `work`; its events are in `.events`."""
    made = []

    def make(more: str = "", base: str = SOLVER, **options):
        events = []
        solver = Solver(settings_from(base + more), listener=events.append, **options)
        solver.events = events
        made.append(solver)
        return solver

    yield make
    for solver in made:
        solver.close()
