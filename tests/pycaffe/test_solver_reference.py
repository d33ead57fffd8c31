"""Every solver against what Caffe computed: tests/reference/solvers/NAME holds a solver, its net and twelve steps."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import netc.pycaffe as caffe

CASES = Path(__file__).parent.parent / "reference" / "solvers"


@pytest.fixture
def work(request, tmp_path, monkeypatch):
    """A copy of the case's folder, as the working directory: solvers write snapshots."""
    shutil.copytree(CASES / request.param, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    caffe.set_mode_cpu()
    return tmp_path


def arrays():
    with np.load("vectors.npz") as file:
        return dict(file)


def parameters(solver, arrays, kind):
    """The blobs of a kind, `init` or `param`, with the arrays for them."""
    for key, array in arrays.items():
        if key.startswith(f"{kind}/"):
            _, layer, index = key.split("/")
            yield key, solver.net.params[layer][int(index)].data, array


def follow(solver, arrays, start):
    """Step on from iteration `start`, and compare loss and weights after each step."""
    loss = "loss" if "loss" in solver.net.blobs else solver.net.outputs[0]
    for iteration in range(start, len(arrays["loss"])):
        for key in arrays:
            if key.startswith("in/"):
                solver.net.blobs[key[3:]].data[...] = arrays[key][iteration]
        solver.step(1)
        got = solver.net.blobs[loss].data
        np.testing.assert_allclose(got, arrays["loss"][iteration], rtol=1e-3, atol=1e-5, err_msg=f"loss {iteration}")
        for key, blob, array in parameters(solver, arrays, "param"):
            np.testing.assert_allclose(blob, array[iteration], rtol=1e-3, atol=2e-5, err_msg=f"{key} at {iteration}")


@pytest.mark.parametrize("work", sorted(os.listdir(CASES)), indirect=True)
def test_steps(work):
    solver, recorded = caffe.get_solver("solver.prototxt"), arrays()
    for _, blob, array in parameters(solver, recorded, "init"):
        blob[...] = array
    follow(solver, recorded, 0)
    assert solver.iter == len(recorded["loss"])


SNAPSHOTS = sorted(path.parent.name for path in CASES.glob("*/*.solverstate*"))


@pytest.mark.parametrize("work", SNAPSHOTS, indirect=True)
def test_steps_after_caffes_snapshot(work):
    state = next(name for name in os.listdir() if ".solverstate" in name)
    iteration = int(re.search(r"iter_(\d+)", state).group(1))
    solver = caffe.get_solver("solver.prototxt")
    solver.restore(state)
    assert solver.iter == iteration
    follow(solver, arrays(), iteration)


def test_there_are_cases():
    assert len(os.listdir(CASES)) >= 21
    assert len(SNAPSHOTS) >= 20
