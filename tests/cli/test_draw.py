"""`netc draw`."""

from __future__ import annotations

import pytest

from netc.cli import main

pytest.importorskip("pydot")
NET = """
layers { name: "read" type: DATA top: "data" top: "label" data_param { source: "db" batch_size: 7 }
         include { phase: TRAIN } }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 2
         convolution_param { num_output: 12 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)


def test_a_net_in_an_old_format(tmp_path, capsys):
    assert main(["draw", "net.prototxt", "net.dot"]) == 0
    assert capsys.readouterr().out == "net.dot: 3 layers\n"
    text = (tmp_path / "net.dot").read_text()
    assert r"conv\n(Convolution)" in text
    assert "Batch 7" in text
    assert "rankdir=LR" in text


def test_caffes_flags(tmp_path):
    assert main(["draw", "net.prototxt", "net.dot", "--rankdir=TB", "--phase", "TEST", "--display_lrm"]) == 0
    text = (tmp_path / "net.dot").read_text()
    assert "rankdir=TB" in text
    assert "read" not in text
    assert "lr mult: 2.0, 1.0" in text


def test_a_net_with_its_weights(tmp_path):
    import netc.pycaffe as caffe

    (tmp_path / "deploy.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
        'layer { name: "conv" type: "Convolution" bottom: "x" top: "y" '
        "convolution_param { num_output: 2 kernel_size: 3 } }\n"
    )
    caffe.Net("deploy.prototxt", caffe.TEST).save("w.caffemodel")
    assert main(["draw", "w.caffemodel", "w.dot"]) == 0
    assert "kernel size: 3" in (tmp_path / "w.dot").read_text()


@pytest.mark.parametrize(
    ("text", "code"), [("layer { name: ", "E002"), ("net: 'x' base_lr: 1", "E100"), ("layer { name: 7 }", "E006")]
)
def test_what_is_not_a_net(tmp_path, capsys, text, code):
    (tmp_path / "bad.prototxt").write_text(text)
    assert main(["draw", "bad.prototxt", "bad.dot"]) == 1
    assert f"error[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "bad.dot").exists()


def test_formats_and_files(capsys):
    assert main(["draw", "absent.prototxt", "net.dot"]) == 1
    assert "error[E001]" in capsys.readouterr().err
    assert main(["draw", "net.prototxt", "folder/net.dot"]) == 1
    assert "error[E408]" in capsys.readouterr().err
    assert main(["draw", "net.prototxt", "net.dot", "--rankdir=XY"]) == 2
