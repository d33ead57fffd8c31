"""HDF5Output layers write in training, tests and netc.pycaffe; elsewhere they are idle, with a warning."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import torch

import netc
import netc.pycaffe as caffe
from netc.cli import main
from netc.diagnostics import NetcWarning

DATA = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
        shape { dim: 2 dim: 5 } shape { dim: 2 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
"""
NET = """
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "out" type: "HDF5Output" bottom: "fc" bottom: "label" hdf5_output_param { file_name: "out.h5" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3 snapshot_prefix: "s" '


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a net, a solver and weights."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(DATA + NET)
    Path("solver.prototxt").write_text(SOLVER)
    assert main(["train", "solver.prototxt"]) == 0
    return tmp_path


def rows() -> int:
    with h5py.File("out.h5") as file:
        return len(file["data"])


def test_training_writes_and_replaces_only_its_own_files(folder, capsys):
    assert rows() == 6
    assert main(["train", "solver.prototxt"]) == 0
    assert rows() == 6
    Path("out.h5").write_text("notes")
    assert main(["train", "solver.prototxt"]) == 1
    assert "error[E412]: `out.h5` exists, and netc did not write it" in capsys.readouterr().err
    assert Path("out.h5").read_text() == "notes"
    assert main(["train", "solver.prototxt", "--overwrite"]) == 0
    assert rows() == 6


def test_a_test_writes_and_replaces_only_its_own_files(folder, capsys):
    arguments = ["test", "net.prototxt", "--weights", "s_iter_3.caffemodel", "--iterations", "2"]
    assert main(arguments) == 0
    assert rows() == 4
    Path("out.h5").write_text("notes")
    assert main(arguments) == 1
    assert Path("out.h5").read_text() == "notes"
    assert main([*arguments, "--overwrite"]) == 0
    assert rows() == 4
    assert "W806" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["time", "net.prototxt", "--iterations", "1"],
        ["verify", "net.prototxt", "net.prototxt", "--weights", "s_iter_3.caffemodel"],
        ["convert", "net.prototxt", "--weights", "s_iter_3.caffemodel", "--to", "onnx", "--output", "net.onnx"],
        ["features", "s_iter_3.caffemodel", "net.prototxt", "fc", "fc_lmdb", "1", "lmdb"],
    ],
)
def test_other_verbs_leave_the_file_alone_and_say_so(folder, capsys, arguments):
    Path("out.h5").write_text("notes")
    assert main(arguments) == 0
    assert Path("out.h5").read_text() == "notes"
    shown = capsys.readouterr().err
    assert "layer `out` writes no file" in shown or "the layer `out` has no top: it is left out" in shown


def test_a_loaded_net_leaves_the_file_alone_and_warns(folder):
    Path("out.h5").write_text("notes")
    with pytest.warns(NetcWarning, match="layer `out` writes no file") as seen:
        net = netc.load("net.prototxt")
    assert Path(seen[0].filename) == Path(__file__)
    assert [found.code for found in net.report.warnings] == ["W806"]
    assert sorted(net(torch.rand(2, 5))) == ["loss"]
    assert Path("out.h5").read_text() == "notes"


def test_pycaffe_writes_as_caffe_does(folder):
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.forward()
    assert rows() == 2
    Path("out.h5").write_text("notes")
    with pytest.raises(netc.NetcError, match="netc did not write it"):
        caffe.Net("net.prototxt", caffe.TEST).forward()
