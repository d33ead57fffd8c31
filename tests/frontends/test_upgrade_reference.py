"""Old files, and what the tools of BVLC Caffe 1.0 made of them (upgrade_net_proto_text, upgrade_solver_proto_text)."""

from pathlib import Path

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import Source
from netc.schema import caffe
from netc.text import parse, read_source, to_message

REFERENCE = Path(__file__).parent.parent / "reference"
CASES = [
    ("v0", "NetParameter"),
    ("v0_solver", "SolverParameter"),
    ("v1_train", "NetParameter"),
    ("v1_types", "NetParameter"),
    ("v2_bn", "NetParameter"),
]


def message(source, kind):
    made, found = to_message(parse(source), kind)
    assert not found
    return made


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_message_is_the_one_that_caffe_makes(name, kind):
    old = (REFERENCE / "upgrade" / f"{name}.prototxt").read_text()
    wanted = message(read_source(REFERENCE / "upgrade" / f"{name}.upgraded.prototxt"), kind)
    assert message(Source("net", netc.upgrade(old)), kind) == wanted


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_upgraded_files_of_caffe_need_no_upgrade(name, kind):
    new = (REFERENCE / "upgrade" / f"{name}.upgraded.prototxt").read_text()
    assert netc.upgrade(new) == new


def test_a_v1_net_with_v1_weights_computes_what_caffe_computed():
    expected = np.load(REFERENCE / "upgrade" / "v1_deploy.npz")
    net = netc.load(REFERENCE / "upgrade" / "v1_deploy.prototxt", REFERENCE / "weights" / "v1_weights.caffemodel")
    with torch.no_grad():
        tops = net(torch.from_numpy(expected["data"]))
    np.testing.assert_allclose(tops["prob"].numpy(), expected["prob"], rtol=1e-5, atol=1e-6)


def test_each_value_of_the_enums_has_its_type():
    from netc.frontends.caffe.upgrade import solver, v0, v1

    names = [value.name for value in caffe.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values]
    known = {name: v1.types()[name] for name in names}
    assert (known["NONE"], known["SOFTMAX_LOSS"], known["HDF5_DATA"]) == ("", "SoftmaxWithLoss", "HDF5Data")
    assert v1.types()["4"] == "Convolution"
    assert set(v0.TYPES.values()) <= set(known)
    kinds = caffe.SolverParameter.DESCRIPTOR.enum_types_by_name["SolverType"].values
    assert [(str(kind.number), solver.TYPES[kind.name]) for kind in kinds] == list(solver.BY_NUMBER.items())


def test_v0_fields_are_those_of_the_schema():
    from netc.frontends.caffe.upgrade import v0

    kept = {"name", "type", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param"}
    assert {field.name for field in caffe.V0LayerParameter.DESCRIPTOR.fields} == set(v0.FIELDS) | kept
    layer = caffe.LayerParameter.DESCRIPTOR.fields_by_name
    for new, messages in v0.FIELDS.values():
        for target in messages.values():
            assert new in layer[target].message_type.fields_by_name
