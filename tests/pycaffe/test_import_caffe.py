"""Files of Python layers say `import caffe`, and are found as Caffe's users keep them."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.cli import main
from netc.diagnostics import NetcError

LOADER = """
import caffe
import numpy as np


class Loader(caffe.Layer):
    def setup(self, bottom, top):
        self.rows = 0

    def reshape(self, bottom, top):
        top[0].reshape(4, 3)
        top[1].reshape(4)

    def forward(self, bottom, top):
        from caffe.proto import caffe_pb2
        assert caffe_pb2.Datum(channels=3).channels == 3
        assert caffe.io.Transformer and caffe.layers and caffe.TEST == 1
        self.rows += 4
        top[0].data[...] = np.arange(12).reshape(4, 3) / 12
        top[1].data[...] = [0, 1, 0, 1]

    def backward(self, top, propagate_down, bottom):
        pass
"""
NET = """
layer { name: "data" type: "Python" top: "data" top: "label" python_param { module: "%s" layer: "Loader" } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 2 weight_filler { type: "constant" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "%s" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 display: 1 snapshot_after_train: false'


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] in ("caffe", "loaders")]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a net and a solver, in a process that has imported neither `caffe` nor the layers."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget()
    (tmp_path / "loaders.py").write_text(LOADER)
    (tmp_path / "net.prototxt").write_text(NET % "loaders")
    (tmp_path / "solver.prototxt").write_text(SOLVER % (tmp_path / "net.prototxt"))
    yield tmp_path
    forget()


def test_a_layer_file_imports_caffe(folder, monkeypatch):
    monkeypatch.chdir(folder)
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    assert net.forward()["loss"] == pytest.approx(np.log(2), rel=1e-6)
    assert isinstance(net.layers[0], caffe.Layer)
    assert net.layers[0].rows == 4


def test_the_module_is_found_in_the_folder_of_the_net(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert caffe.Net(str(folder / "net.prototxt"), caffe.TEST).forward()["loss"] > 0


def test_training_needs_permission_and_then_imports_caffe(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["train", "solver.prototxt"]) == 1
    refused = capsys.readouterr().err
    assert "error[E201]: running class `Loader` of Python module `loaders` is not allowed" in refused
    assert "loaders" not in sys.modules
    assert main(["train", "solver.prototxt", "--allow-python-layers"]) == 0
    assert "Iteration 2, loss = " in capsys.readouterr().err


def test_another_caffe_is_not_replaced_for_the_program(folder, monkeypatch):
    (folder / "installed" / "caffe").mkdir(parents=True)
    (folder / "installed" / "caffe" / "__init__.py").write_text("own = True\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder / "installed")
    (folder / "loaders.py").write_text(LOADER.split("        from caffe.proto")[0] + "        pass\n")
    net = caffe.Net("net.prototxt", caffe.TEST)
    assert isinstance(net.layers[0], caffe.Layer)
    assert importlib.import_module("caffe").own


def test_a_module_that_cannot_be_imported_is_an_error_at_the_layer(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "loaders.py").write_text('print "Python 2"\n')
    with pytest.raises(NetcError, match="cannot import Python module `loaders`: SyntaxError: ") as caught:
        caffe.Net("net.prototxt", caffe.TEST)
    (found,) = caught.value.diagnostics
    assert (found.code, found.line) == ("E211", 2)
    assert found.notes == ("layer `data` is class `Loader` of module `loaders`",)


@pytest.mark.parametrize("method", ["setup", "reshape", "forward"])
def test_an_exception_in_a_layer_is_a_diagnostic_of_the_command_line(folder, monkeypatch, capsys, method):
    monkeypatch.chdir(folder)
    head = f"def {method}(self, bottom, top):\n"
    (folder / "loaders.py").write_text(LOADER.replace(head, head + "        self.missing.rows\n"))
    line = (folder / "loaders.py").read_text().split("self.missing")[0].count("\n") + 1
    assert main(["train", "solver.prototxt", "--allow-python-layers"]) == 1
    shown = capsys.readouterr().err
    assert f"error[E212]: `{method}` of layer `data` raised AttributeError: 'Loader' object has no attribute" in shown
    assert f"= note: loaders.py:{line}: self.missing.rows" in shown
