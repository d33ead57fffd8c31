"""Shared fixtures: goldens, and nets written in a test."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: as the command line does, for the same reason
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each worker and what it starts, which must compute the same
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from netc.compiler import Prober, graph_of, read_net
from netc.diagnostics import Source
from netc.ir.graph import State
from netc.passes.data_to_inputs import data_to_inputs
from netc.runtime.fillers import generator_of
from netc.runtime.lower import lower

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a job that a shell has started in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"


def pytest_xdist_auto_num_workers(config):
    """The whole suite has a process per core, up to 8; a selection of files runs faster in one process."""
    return min(len(os.sched_getaffinity(0)), 8) if config.args_source is config.ArgsSource.TESTPATHS else 0


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))


@pytest.fixture
def golden():
    """`golden(name, text)` compares with tests/golden/name; NETC_BLESS=1 rewrites it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("NETC_BLESS"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{path.name} is missing: run once with NETC_BLESS=1 and read what it writes"
        assert text == path.read_text()

    return compare


@pytest.fixture
def graph_from():
    """`graph_from(text, phase="TEST", stages=(), level=0, shapes=None)`: the checked graph of prototxt text."""

    def make(text: str, phase="TEST", stages=(), level=0, shapes=None):
        net = read_net(Source("net.prototxt", text))
        net.report.raise_errors()
        return graph_of(net, State(phase, level, tuple(stages)), Prober(), shapes)

    return make


@pytest.fixture
def net_from(graph_from):
    """`net_from(text, seed=1, **as graph_from)`: the lowered net."""

    def make(text: str, seed=1, **settings):
        return lower(data_to_inputs(graph_from(text, **settings)), generator_of(seed))

    return make
