"""What is said of operators that Caffe2 lacks, and of devices."""

from __future__ import annotations

import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.frontends import read_net
from netc.schema import caffe2

CUDA = caffe2.DeviceOption(device_type=1)


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("SelectSmoothL1Loss", "Detectron's library"),
        ("PSRoIPool", "Detectron's library"),
        ("Python:GenerateProposalLabelsOp:rpn", "a Python function of the program"),
        ("NCCLAllreduce", "contrib/nccl"),
        ("ImageInput", "image library"),
    ],
)
def test_the_library_of_an_unknown_operator(kind, note):
    with pytest.raises(NetcError) as caught:
        netc.load(Source("net.pbtxt", f'op {{ type: "{kind}" input: "x" output: "y" }}'))
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("E010", f"unknown operator `{kind}`")
    assert any(note in one for one in found.notes)


@pytest.mark.parametrize("form", ["text", "binary"])
def test_devices_are_one_warning(tmp_path, form):
    operators = [
        caffe2.OperatorDef(type="Relu", input=["x"], output=["y"], device_option=caffe2.DeviceOption()),
        *(caffe2.OperatorDef(type="Relu", input=["y"], output=["y"], device_option=CUDA) for _ in range(3)),
    ]
    net = caffe2.NetDef(op=operators, external_input=["x"])
    path = tmp_path / "net.pb"
    path.write_bytes(net.SerializeToString())
    definition = read_net(path if form == "binary" else Source("net.pbtxt", str(net)))
    (found,) = definition.report.warnings
    assert found.code == "W041"
    assert found.message.startswith("the device CUDA of 3 operators is ignored")
    assert (found.line is None) == (form == "binary")
    assert any("operator 1 (Relu" in note for note in found.notes)


def test_the_device_of_a_net_and_an_unknown_one():
    net = caffe2.NetDef(op=[caffe2.OperatorDef(type="Relu", input=["x"], output=["y"])], device_option=CUDA)
    net.device_option.device_type = 77
    (found,) = read_net(Source("net.pbtxt", str(net))).report.warnings
    assert found.message.startswith("the device 77 of 1 operator is ignored")
    net.device_option.device_type = 0
    assert not read_net(Source("net.pbtxt", str(net))).report.warnings
