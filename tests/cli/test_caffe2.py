"""Every verb that takes a prototxt takes a net of Caffe2, with its init net."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netc.cli import main
from netc.schema import caffe2

SHAPE = ["--shape", "data=2,4"]
BLOBS = {"w1": (6, 4), "b1": (6,), "w2": (3, 6), "b2": (3,)}
LAYER_BLOBS = {"fc1.weight": (6, 4), "fc1.bias": (6,), "prob.weight": (3, 6), "prob.bias": (3,)}
"""The same as blobs of Caffe's layers, which have the names of their outputs."""
PREDICT = """name: "small"
op {
  input: "data"
  input: "w1"
  input: "b1"
  output: "fc1"
  type: "FC"
}
op {
  input: "fc1"
  output: "fc1"
  type: "Relu"
}
op {
  input: "fc1"
  output: "sq"
  type: "Sqr"
}
op {
  input: "sq"
  input: "w2"
  input: "b2"
  output: "prob"
  type: "FC"
}
external_input: "data"
external_input: "w1"
external_input: "b1"
external_input: "w2"
external_input: "b2"
external_output: "prob"
"""


def given(name: str, values: np.ndarray):
    arguments = [
        caffe2.Argument(name="shape", ints=values.shape),
        caffe2.Argument(name="values", floats=values.ravel().tolist()),
    ]
    return caffe2.OperatorDef(output=[name], type="GivenTensorFill", arg=arguments)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The net as text and binary, and its init net, which also creates the input as exporters do."""
    from google.protobuf import text_format

    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    operators = [given(name, generator.standard_normal(shape)) for name, shape in BLOBS.items()]
    init = caffe2.NetDef(name="small_init", op=[*operators, given("data", np.zeros(1))])
    Path("init_net.pb").write_bytes(init.SerializeToString())
    Path("predict_net.pbtxt").write_text(PREDICT)
    Path("predict_net.pb").write_bytes(text_format.Parse(PREDICT, caffe2.NetDef()).SerializeToString())


@pytest.mark.parametrize("net", ["predict_net.pb", "predict_net.pbtxt"])
def test_check_and_summary(net, capsys):
    assert main(["check", net, "init_net.pb"]) == 0
    capsys.readouterr()
    assert main(["summary", net, "--weights", "init_net.pb", *SHAPE, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["parameters"] == sum(map(np.prod, BLOBS.values()))
    assert found["total"]["macs"] == 2 * (4 * 6 + 6 * 3)
    assert None not in found["total"].values(), "the type of the input is settled"


def test_weights_of_an_init_net_fit_the_predict_net(capsys):
    assert main(["weights", "init_net.pb", "predict_net.pb"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["small_init:", "5", "layers,"]
    assert [line[-1] for line in lines[1:5]] == ["fits"] * 4
    assert lines[5][-3:] == ["only", "in", "the"] or lines[5][-4:] == ["only", "in", "the", "file"]


def test_diff_of_text_and_binary(capsys):
    assert main(["diff", "predict_net.pb", "predict_net.pbtxt"]) == 0
    Path("other.pbtxt").write_text(PREDICT.replace('"Sqr"', '"Relu"'))
    assert main(["diff", "predict_net.pb", "other.pbtxt"]) == 1
    assert "sq" in capsys.readouterr().out


def test_fmt_formats_text_and_names_what_is_binary(capsys):
    Path("wide.pbtxt").write_text(" ".join(PREDICT.split()))
    assert main(["fmt", "wide.pbtxt"]) == 0
    assert Path("wide.pbtxt").read_text() == PREDICT
    assert main(["fmt", "predict_net.pb"]) == 1
    assert "`predict_net.pb` is a Caffe2 net in binary format, expected text" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["py", "onnx"])
def test_a_converted_net_agrees(form, capsys):
    options = ["--weights", "init_net.pb", *SHAPE]
    assert main(["convert", "predict_net.pb", *options, "--to", form, "--output", f"out.{form}"]) == 0
    assert main(["verify", "predict_net.pb", f"out.{form}", *options]) == 0
    assert "all 4 values agree" in capsys.readouterr().out


def test_stored_blobs_are_parameters_of_what_is_written():
    import onnx
    from safetensors.numpy import load_file

    options = ["--weights", "init_net.pb", *SHAPE, "--to"]
    assert main(["convert", "predict_net.pb", *options, "onnx", "--output", "out.onnx"]) == 0
    graph = onnx.load("out.onnx").graph
    assert set(LAYER_BLOBS) <= {tensor.name for tensor in graph.initializer}
    assert [value.name for value in graph.input] == ["data"]
    assert main(["convert", "predict_net.pb", *options, "py", "--output", "out.py"]) == 0
    assert {name: array.shape for name, array in load_file("out.safetensors").items()} == LAYER_BLOBS


def test_time(capsys):
    assert main(["time", "predict_net.pb", "--weights", "init_net.pb", *SHAPE, "--iterations", "1"]) == 0
    assert "fc1" in capsys.readouterr().err


def test_the_message_that_is_drawn():
    from netc.rewriting import net_message

    message, _ = net_message("predict_net.pb")
    assert [(layer.type, *layer.top) for layer in message.layer] == [
        ("FC", "fc1"),
        ("Relu", "fc1"),
        ("Sqr", "sq"),
        ("FC", "prob"),
    ]


def test_explain_shows_an_operator_alone_and_beside_a_layer_type(capsys):
    assert main(["explain", "fc"]) == 0
    assert capsys.readouterr().out.startswith("# FC: an operator of Caffe2\n")
    assert main(["explain", "relu"]) == 0
    headings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ")]
    assert headings[0].startswith("# ReLU: a layer type of BVLC Caffe")
    assert headings[-1] == "# Relu: an operator of Caffe2"


def test_a_damaged_init_net_is_named(capsys):
    data = Path("init_net.pb").read_bytes()
    Path("cut.pb").write_bytes(data[: len(data) // 2])
    assert main(["weights", "cut.pb"]) == 1
    assert "error[E403]" in capsys.readouterr().err


def test_images_need_the_shape_of_the_input(capsys):
    import cv2

    conv = 'arg { name: "kernel" i: 3 } arg { name: "global_pooling" i: 1 }'
    Path("net.pbtxt").write_text(f'op {{ type: "AveragePool" input: "data" output: "scores" {conv} }}')
    cv2.imwrite("a.png", np.full((8, 8, 3), 7, np.uint8))
    command = ["classify", "--model", "net.pbtxt", "--mean", "0,0,0", "a.png"]
    assert main(command) == 1
    assert "pass the shape of the images: `--shape data=N,C,H,W`" in capsys.readouterr().err
    assert main([*command, "--shape", "data=1,3,8,8"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "7.0000"
