"""tools/dump_blobs.py, with netc.pycaffe in place of Caffe, and with OpenCV."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import netc
from netc import pycaffe
from netc.cli import main

NET = """
layer { name: "in" type: "Input" top: "data" top: "factor"
        input_param { shape { dim: 1 dim: 3 dim: 1 dim: 1 } shape { dim: 1 dim: 4 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "product" type: "Eltwise" bottom: "fc" bottom: "factor" top: "product" eltwise_param { operation: PROD } }
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def dump(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("dump_blobs", ROOT / "tools" / "dump_blobs.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setitem(sys.modules, "caffe", pycaffe)
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    assert main(["convert", "net.prototxt", "--to=caffe", "--output=trained"]) == 0
    random = np.random.default_rng(1)
    arrays = {"data": random.random((2, 3, 1, 1)), "factor": random.random((2, 4))}
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    np.savez("inputs.npz", **arrays)

    def run(*options: str) -> dict[str, np.ndarray]:
        command = ["dump_blobs.py", "net.prototxt", "trained.caffemodel", "--output=dump.npz", *options]
        monkeypatch.setattr(sys, "argv", command)
        tool.main()
        return dict(np.load("dump.npz"))

    return run


@pytest.mark.parametrize(
    "options",
    [
        ["--input=data=data.npy", "--input=factor=factor.npy"],
        ["--input=inputs.npz"],
        ["--input=data.npy", "--input", "factor=factor.npy"],
    ],
)
@pytest.mark.parametrize("runner", ["caffe", "opencv"])
def test_two_inputs(dump, capsys, options, runner):
    if runner == "opencv" and not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("OpenCV 5 does not read Caffe nets")
    found = dump(*options, f"--with={runner}")
    inputs = {name: np.load(f"{name}.npy").astype(np.float32) for name in ("data", "factor")}
    net = netc.load("net.prototxt", "trained.caffemodel")
    expected = net.run(inputs, ["fc", "product"])
    assert set(found) == {"data", "factor", "fc", "product"}
    for name, array in {**inputs, **expected}.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)
    assert main(["verify", "dump.npz", "net.prototxt", "--weights=trained.caffemodel"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input=data.npy"], "the net has the inputs data, factor; given: data"),
        (["--input=data.npy", "--input=data=data.npy"], "input 'data' is given twice"),
        (["--input=data.npy", "--input=factor.npy"], "input 'factor.npy' is given twice: pass NAME=FILE for each"),
    ],
)
def test_contradictory_inputs(dump, options, message):
    with pytest.raises(SystemExit, match=message):
        dump(*options)
