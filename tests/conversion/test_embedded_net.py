"""Nets in their weights files: converted, written as prototxt, their data layers as inputs."""

import json

import numpy as np
import pytest

from netc.cli import main
from netc.conversion.convert import convert
from netc.conversion.embedded_net import net_source, write_prototxt
from netc.conversion.models import open_net
from netc.conversion.verify import verify
from netc.diagnostics import NetcError
from netc.schema import caffe
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel
from tests.conversion.nets import write

TRAINED = """
name: "trained"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 9 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 mirror: true }
  data_param { source: "no_such_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 group: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


@pytest.fixture
def snapshot(tmp_path):
    """What Caffe writes of a net while it trains: the layers as they ran, with their blobs."""
    from netc.frontends.caffe.read import read_tree
    from netc.text import to_message

    tree, _ = read_tree(write(tmp_path, TRAINED, "train.prototxt"))
    message, _ = to_message(tree, "caffe.NetParameter")
    for layer in message.layer:
        layer.phase = caffe.TRAIN
    random = np.random.default_rng(0)
    shapes = {"conv": [(6, 1, 3, 3), (6,)], "fc": [(5, 294), (5,)]}
    layers = tuple(
        LayerBlobs(
            name, "", tuple(BlobArray(random.standard_normal(shape, np.float32) * np.float32(0.1)) for shape in each)
        )
        for name, each in shapes.items()
    )
    path = tmp_path / "snapshot.caffemodel"
    write_caffemodel(path, Weights(layers, "trained"), message.SerializeToString())
    (tmp_path / "train.prototxt").unlink()
    return path


def test_a_net_is_converted_without_its_prototxt(mixed, tmp_path):
    prototxt, weights, _ = mixed
    for to in ("onnx", "py"):
        done = convert(weights, to=to, output=tmp_path / f"alone.{to}")
        assert verify(prototxt, done.files[0], weights=weights, batch=3).agrees
        (note,) = (one for one in done.warnings if one.code == "W803")
        assert note.notes == ("read as `bvlc`: all field numbers are BVLC's",)
    assert verify(prototxt, weights, weights=weights).agrees


def test_data_layers_become_inputs(snapshot, tmp_path):
    held = net_source(snapshot)
    assert held.shapes == {"data": (4, 3, 9, 9), "label": (4,)}
    done = convert(snapshot, to="onnx", output=tmp_path / "net.onnx")
    assert [one.code for one in done.warnings] == ["W803", "W804"]
    sidecar = json.loads(done.files[-1].read_text())
    assert (sidecar["mean"], sidecar["scale"], sidecar["crop"]) == ([104, 117, 123], 0.5, [9, 9])
    target = tmp_path / "net.prototxt"
    write_prototxt(snapshot, target)
    assert target.read_text().startswith(f"# The net in {str(snapshot)!r}, read as `bvlc`")
    assert open_net(target, snapshot).graph.shape("data") == (4, 3, 9, 9)
    assert "Data" not in {node.layer.type for node in open_net(target).graph.nodes}


def test_a_softmax_replaces_the_loss_on_request(snapshot, tmp_path):
    done = convert(snapshot, to="py", output=tmp_path / "scores.py", scores=True)
    assert "W804" not in {one.code for one in done.warnings}
    bare = convert(snapshot, to="onnx", output=tmp_path / "bare.onnx")
    batch = np.random.default_rng(1).standard_normal((2, 3, 9, 9), dtype=np.float32)
    from netc.conversion.runners import OnnxRunner, PythonRunner

    prob = PythonRunner(done.files[0]).run({"data": batch})["prob"]
    scores = OnnxRunner(bare.files[0]).run({"data": batch})["fc"]
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(prob, expected, rtol=1e-4)


def test_given_shapes_complete_the_net(snapshot, tmp_path):
    net = caffe.NetParameter.FromString(snapshot.read_bytes())
    net.layer[0].transform_param.ClearField("crop_size")
    bare = tmp_path / "bare.caffemodel"
    bare.write_bytes(net.SerializeToString())
    with pytest.raises(NetcError) as caught:
        convert(bare, to="onnx", output=tmp_path / "net.onnx")
    assert any("--shape" in (one.help or "") for one in caught.value.diagnostics)
    shapes = {"data": (1, 3, 9, 9), "label": (1,)}
    convert(bare, to="onnx", output=tmp_path / "net.onnx", shapes=shapes)
    write_prototxt(bare, tmp_path / "net.prototxt", shapes=shapes)
    assert open_net(tmp_path / "net.prototxt", bare).graph.shape("data") == (1, 3, 9, 9)
    write_prototxt(bare, tmp_path / "open.prototxt")
    assert 'type: "Data"' in (tmp_path / "open.prototxt").read_text()


def test_the_command_line(snapshot, tmp_path, capsys):
    target = tmp_path / "net.prototxt"
    assert main(["weights", str(snapshot), "--prototxt", str(target), "--dialect", "ssd"]) == 0
    assert "read as `ssd`: as requested" in capsys.readouterr().err
    assert "read as `ssd`" in target.read_text()
    arguments = ["convert", str(snapshot), "--scores", "--to", "onnx", "--output", str(tmp_path / "n.onnx")]
    assert main(arguments) == 0
    assert "warning[W803]" in capsys.readouterr().err
    assert main(["weights", str(snapshot), "--dialect", "ssd"]) == 2


def test_a_dialect_that_does_not_exist(mixed, tmp_path):
    prototxt, weights, _ = mixed
    with pytest.raises(NetcError, match="unknown dialect `sdd`") as caught:
        convert(prototxt, weights, to="onnx", output=tmp_path / "net.onnx", dialect="sdd")
    assert caught.value.diagnostics[0].code == "E806"


def test_weights_alone_are_not_a_net(tmp_path):
    path = tmp_path / "bare.caffemodel"
    write_caffemodel(path, Weights((LayerBlobs("fc", "InnerProduct", (BlobArray(np.ones((2, 3), np.float32)),)),)))
    with pytest.raises(NetcError) as caught:
        convert(path, to="onnx", output=tmp_path / "net.onnx")
    assert caught.value.diagnostics[0].code == "E806"
