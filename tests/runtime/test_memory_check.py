"""Nets that need more memory than there is are refused before anything is allocated."""

from __future__ import annotations

import pytest

import netc
import netc.pycaffe as caffe
from netc import host_memory
from netc.cli import main

HUGE_WEIGHTS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 30000 } } }
layer { name: "small" type: "InnerProduct" bottom: "data" top: "small" inner_product_param { num_output: 10 } }
layer { name: "huge" type: "InnerProduct" bottom: "data" top: "huge" inner_product_param { num_output: 40000 } }
"""
HUGE_BLOBS = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 1 dim: 500 dim: 500 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 600 kernel_size: 1 } }
layer { name: "loss" type: "Reduction" bottom: "conv" top: "loss" loss_weight: 1 }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_after_train: false'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, on a machine with 1 GB of memory left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(host_memory, "available_memory", lambda: 10**9)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def test_weights(folder):
    (folder / "net.prototxt").write_text(HUGE_WEIGHTS)
    for action in (lambda: netc.load("net.prototxt"), lambda: caffe.Net("net.prototxt", caffe.TEST)):
        with pytest.raises(netc.NetcError) as caught:
            action()
        (found,) = caught.value.diagnostics
        assert found.message == "the weights take 4.8 GB, more than the 1.0 GB of memory available"
        assert (found.code, found.line, found.notes) == ("E104", 4, ("4.8 GB of it in layer `huge`",))


def test_blobs_of_a_pass(folder, capsys):
    (folder / "net.prototxt").write_text(HUGE_BLOBS)
    for arguments in (["train", "solver.prototxt"], ["time", "net.prototxt"]):
        assert main(arguments) == 1
        shown = capsys.readouterr().err
        assert "error[E104]: the blobs of a pass take 1.2 GB, more than the 1.0 GB of memory available" in shown
        assert "= note: 1.2 GB of it in layer `conv`" in shown
    with pytest.raises(netc.NetcError, match="the blobs of a pass take"):
        caffe.Net("net.prototxt", caffe.TEST)


def test_what_fits_is_not_refused(folder, monkeypatch):
    (folder / "net.prototxt").write_text(HUGE_BLOBS.replace("dim: 500", "dim: 5"))
    assert main(["time", "net.prototxt", "--iterations", "1"]) == 0
    (folder / "net.prototxt").write_text(HUGE_WEIGHTS.replace("40000", "4"))
    monkeypatch.setattr(host_memory, "available_memory", lambda: None)
    netc.load("net.prototxt")
