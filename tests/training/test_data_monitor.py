"""What a world's processes leave out of their data is counted together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from netc.data.feeds.record_feed import RecordFeed
from netc.diagnostics import NetcError, Source
from netc.frontends.caffe.read import read_solver
from netc.training.data_monitor import DataMonitor
from netc.training.log import events
from netc.training.solver.settings import settings_of
from netc.training.solver.solver import Solver
from tests.data.databases import record, write
from tests.training.distributed.ranks import run_ranks

NET = """
layer { name: "digits" type: "Data" top: "data" top: "label"
  data_param { source: "records" batch_size: 2 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 5 display: 1 random_seed: 3 solver_mode: CPU
test_iter: 5 test_interval: 3 snapshot_after_train: false netc_param { skip_bad: true }
"""


def test_a_record_that_two_processes_skipped_counts_once():
    feed = RecordFeed.__new__(RecordFeed)
    feed.source = SimpleNamespace(skipped={"a": NetcError("a is bad")})
    monitor = DataMonitor({"data": feed}, gather=lambda mine: [mine, {"data": {"a": "a is bad", "b": "b is bad"}}])
    assert monitor.skipped() == ["data layer skipped 2 records so far: b is bad"]
    assert monitor.skipped() == []
    feed.source.skipped["c"] = NetcError("c is bad")
    assert monitor.skipped() == ["data layer skipped 3 records so far: c is bad"]


def skips(world):
    """What a rank's solver tells of records that were left out."""
    fields, report = read_solver(Source("solver.prototxt", SOLVER))
    report.raise_errors()
    reported = []
    with Solver(settings_of(fields), listener=reported.append, world=world) as solver:
        solver.solve()
    return [event.text for event in reported if isinstance(event, events.LogNote) and "skipped" in event.text]


@pytest.mark.slow
def test_rank_0_reports_records_that_rank_1_skipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    images = np.random.default_rng(1).integers(0, 256, (20, 2, 4, 4), dtype=np.uint8)
    records = [record(image, index % 4) for index, image in enumerate(images)]
    records[3] = records[5] = b"\xff"  # rank 1 reads what is odd
    write(tmp_path / "records", records)
    first, second = run_ranks(tmp_path, skips)
    assert first == second
    assert any(line.startswith("data layer skipped 2 records so far: record `") for line in first)
    tested = "data layer `test net #0: digits` skipped 2 records so far: record `"
    assert sum(line.startswith(tested) for line in first) == 1
