"""Files that are neither a net nor a solver of Caffe's."""

from __future__ import annotations

import pytest

import netc
from netc.compiler import load
from netc.diagnostics import NetcError, Source
from netc.frontends import read_net, read_solver
from netc.rewriting import upgrade
from netc.schema import caffe, caffe2
from netc.weights.file_type import content

OPERATORS = [
    caffe2.OperatorDef(input=["data"], output=["act"], type="Relu"),
    caffe2.OperatorDef(output=["w"], type="GivenTensorFill", arg=[caffe2.Argument(name="values", floats=[1, 2])]),
]
NETS = [
    caffe2.NetDef(name="one", op=OPERATORS[:1], external_input=["data"]),
    caffe2.NetDef(name="both", op=OPERATORS),
    caffe2.NetDef(op=OPERATORS[:1]),
    caffe2.NetDef(name="device", op=OPERATORS[:1], device_option=caffe2.DeviceOption(device_type=1)),
]
TEXT = 'name: "one" op { input: "data" output: "act" type: "Relu" } external_input: "data"'


@pytest.mark.parametrize("net", NETS)
def test_a_binary_caffe2_net_is_recognized(tmp_path, net):
    path = tmp_path / "predict_net.pb"
    path.write_bytes(net.SerializeToString())
    assert content(memoryview(path.read_bytes())) == "caffe2"
    assert [layer.type for layer in read_net(path).layers] == [operator.type for operator in net.op]


PLAN = 'name: "p" network { name: "n" op { output: "a" type: "Iter" } } execution_step { network: "n" num_iter: 3 }'


def test_a_plan_is_not_a_net(tmp_path):
    path = tmp_path / "plan.pb"
    plan = caffe2.PlanDef(name="p", network=[NETS[0]], execution_step=[caffe2.ExecutionStep(network=["one"])])
    path.write_bytes(plan.SerializeToString())
    for net in (path, Source("plan.pbtxt", PLAN)):
        with pytest.raises(NetcError, match="is a Caffe2 plan, expected a net"):
            read_net(net)


def test_a_net_of_caffe_is_no_caffe2_net():
    old = caffe.NetParameter(layers=[caffe.V1LayerParameter(name="ip", type=14, bottom=["a"], top=["b"])])
    oldest = caffe.NetParameter()
    oldest.layers.add(bottom=["a"], top=["b"]).layer.type = "relu"
    untyped = caffe.NetParameter()
    untyped.layers.add(name="conv 1/a", bottom=["a"], top=["b"])
    for net in (old, oldest, untyped):
        assert content(memoryview(net.SerializeToString())) == "caffemodel"


def test_a_caffe2_net_as_text_is_recognized():
    source = Source("predict_net.pbtxt", TEXT)
    assert load(source).outputs == ("act",)
    assert read_net(source).layers[0].type == "Relu"
    with pytest.raises(NetcError, match="is a net definition, expected a solver"):
        read_solver(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('type: "ReLU" bottom: "a" top: "a"', "`type` is a field of a layer, not of a net"),
        ('name: "ip" inner_product_param { num_output: 2 }', "`inner_product_param` is a field of a layer"),
        ("item { id: 1 } item { id: 2 }", "the file contains no field of a net or a solver"),
        ("", "the file contains no field of a net or a solver"),
        ("# a comment", "the file contains no field of a net or a solver"),
    ],
)
def test_a_file_of_which_nothing_is_used_is_an_error(text, message):
    (found,) = netc.check(Source("net", text))
    assert found.code == "E015"
    assert found.message.startswith(message)
    with pytest.raises(NetcError, match=r"field of a"):
        load(Source("net", text))
    with pytest.raises(NetcError, match=r"field of a"):
        upgrade(text)


def test_an_unknown_field_beside_layers_stays_a_warning():
    text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } } made_by: "hand"'
    assert [d.code for d in netc.check(Source("net", text))] == ["W001"]


@pytest.mark.parametrize("text", ['name: "net"', 'layer { name: "d" type: "Input" top: "d" include { phase: TRAIN } }'])
def test_a_net_without_layers_cannot_be_loaded(text):
    with pytest.raises(NetcError, match="the TEST net has no layers"):
        load(Source("net", text))
