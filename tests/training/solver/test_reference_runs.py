"""Twelve steps of each solver, by the straight-line code, against what Caffe computed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from netc.training.solver.executor import StraightLineExecutor
from netc.training.solver.settings import read_settings
from netc.training.solver.solver import Solver

CASES = Path(__file__).parents[2] / "reference" / "solvers"


class Recorded:
    """Feeds a data layer what was recorded, an iteration after the other."""

    def __init__(self, tops, arrays, iter_size):
        self.tops, self.arrays, self.iter_size, self.passes = tops, arrays, iter_size, 0

    def next(self):
        iteration, self.passes = self.passes // self.iter_size, self.passes + 1
        return tuple(torch.from_numpy(self.arrays[f"in/{top}"][iteration]) for top in self.tops)


def executor(arrays, iter_size):
    def make(net, graph, feeds):
        recorded = {
            node.key: Recorded(node.tops, arrays, iter_size) for node in graph.nodes if node.layer.type == "Input"
        }
        return StraightLineExecutor(net, graph, {**feeds, **recorded})

    return make


def load(net, arrays, prefix, pick):
    for key, array in arrays.items():
        if key.startswith(prefix):
            _, layer, index = key.split("/")
            blob = next(b for b in net.blobs if (b.layer, b.index) == (layer, int(index)))
            pick(key, blob, array)


def compare(solver, arrays, start):
    for iteration in range(start, len(arrays["loss"])):
        solver.step(1)
        (loss,) = (output.value for output in solver.state.train.outputs())  # of the last batch, as Caffe's blob
        assert loss == pytest.approx(arrays["loss"][iteration], rel=1e-4, abs=1e-6)

        def check(key, blob, array, iteration=iteration):
            message = f"{key} after iteration {iteration}"
            np.testing.assert_allclose(blob.data.numpy(), array[iteration], rtol=1e-4, atol=2e-6, err_msg=message)

        load(solver.net, arrays, "param/", check)


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_as_caffe(name, monkeypatch):
    monkeypatch.chdir(CASES / name)
    settings = read_settings("solver.prototxt")
    with np.load("vectors.npz") as file:
        arrays = dict(file)
    with Solver(settings, executor=executor(arrays, settings.iter_size)) as solver:
        load(solver.net, arrays, "init/", lambda key, blob, array: blob.data.copy_(torch.from_numpy(array)))
        compare(solver, arrays, 0)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in CASES.glob("*/*.solverstate*")))
def test_resumes_from_caffes_snapshot(name, monkeypatch):
    monkeypatch.chdir(CASES / name)
    settings = read_settings("solver.prototxt")
    with np.load("vectors.npz") as file:
        arrays = dict(file)
    with Solver(settings, executor=executor(arrays, settings.iter_size)) as solver:
        solver.restore(next(str(path) for path in Path().glob("*.solverstate*")))
        for feed in solver.state.train.executor.feeds:
            feed.passes = solver.iteration * settings.iter_size
        compare(solver, arrays, solver.iteration)
        assert solver.iteration == len(arrays["loss"])
