"""Every snapshot that Caffe wrote, binary and HDF5, reads; what is written of it reads back bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from netc.weights import read, read_solverstate, write_caffemodel, write_caffemodel_hdf5
from tests.weights.fixtures import REFERENCE

ROOT = REFERENCE.parent
MODELS = sorted(path for end in ("*.caffemodel", "*.caffemodel.h5") for path in ROOT.rglob(end))
STATES = sorted(path for end in ("*.solverstate", "*.solverstate.h5") for path in ROOT.rglob(end))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_each_kind_of_file_has_cases():
    kinds = {(path.parent.parent.name, path.suffix == ".h5") for path in MODELS}
    assert {("solvers", False), ("solvers", True)} <= kinds
    assert len(STATES) > 20


@pytest.mark.parametrize("path", MODELS, ids=named)
def test_weights(path, tmp_path):
    weights = read(path)
    assert any(layer.blobs for layer in weights.layers)
    write_caffemodel(tmp_path / "again", weights)
    write_caffemodel_hdf5(tmp_path / "again.h5", weights)
    for again in (read(tmp_path / "again"), read(tmp_path / "again.h5")):
        for layer in weights.layers:
            blobs = again.by_name[layer.name].blobs if layer.blobs else ()
            for blob, other in zip(layer.blobs, blobs, strict=True):
                np.testing.assert_array_equal(other.data, blob.data, strict=True)


@pytest.mark.parametrize("path", STATES, ids=named)
def test_states(path):
    state = read_solverstate(path)
    assert state.iter > 0
    assert all(np.isfinite(blob.data).all() for blob in state.history)
