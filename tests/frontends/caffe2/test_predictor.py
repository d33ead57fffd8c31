"""Predictors: the nets of a MetaNetDef, in a file of their own or in a minidb with the parameters."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.frontends import read_net
from netc.schema import caffe2
from netc.weights import read_any
from netc.weights.file_type import content
from netc.weights.wire import delimited
from tests.weights.caffe2_files import FOLDER, blob, record, tensor

W = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
B = np.array([10, 20], np.float32)
X = np.array([[1, 0, -1]], np.float32)


def argument(name, **value):
    return caffe2.Argument(name=name, **value)


PREDICT = caffe2.NetDef(
    name="small",
    op=[caffe2.OperatorDef(type="FC", input=["data", "w", "b"], output=["y"])],
    external_input=["data", "w", "b"],
    external_output=["y"],
)
CREATE = caffe2.NetDef(
    op=[caffe2.OperatorDef(type="GivenTensorFill", output=["data"], arg=[argument("shape", ints=[0])])]
)
LOAD = caffe2.NetDef(op=[caffe2.OperatorDef(type="Load", input=["!!PREDICTOR_DBREADER"], output=["w", "b"])])
GIVEN = caffe2.NetDef(
    op=[
        caffe2.OperatorDef(
            type="GivenTensorFill",
            output=[name],
            arg=[argument("shape", ints=values.shape), argument("values", floats=values.ravel())],
        )
        for name, values in (("w", W), ("b", B))
    ]
)


def entry(field: int, key: str, *values: bytes) -> bytes:
    return delimited(field, delimited(1, key.encode()) + b"".join(delimited(2, value) for value in values))


def meta(init: caffe2.NetDef, suffix: str = "_small", models: int = 1) -> bytes:
    """A MetaNetDef as the exporter writes it."""
    predict = PREDICT.SerializeToString()
    blobs = entry(1, f"PARAMETERS_BLOB_TYPE{suffix}", b"w", b"b") + entry(1, f"INPUTS_BLOB_TYPE{suffix}", b"data")
    nets = entry(2, f"PREDICT_INIT_NET_TYPE{suffix}", CREATE.SerializeToString())
    nets += b"".join(entry(2, f"PREDICT_NET_TYPE{suffix}" + "x" * index, predict) for index in range(models))
    return blobs + nets + entry(2, f"GLOBAL_INIT_NET_TYPE{suffix}", init.SerializeToString())


def database(nets: bytes) -> bytes:
    made = caffe2.BlobProto(name="!!META_NET_DEF", type="std::string", content=nets).SerializeToString()
    return record("!!META_NET_DEF", made) + record("w#%0", blob(tensor(W, "w"))) + record("b#%0", blob(tensor(B, "b")))


@pytest.mark.parametrize("suffix", ["", "_small"])
def test_a_predictor_has_its_net_and_parameters(tmp_path, suffix):
    path = tmp_path / "predictor.minidb"
    path.write_bytes(database(meta(LOAD, suffix)))
    found = netc.load(path)
    np.testing.assert_array_equal(found.run({"data": X}, ["y"])["y"], X @ W.T + B)
    assert found.graph.name == "small"
    assert netc.check(path) == []


def test_a_meta_net_has_its_init_nets(tmp_path):
    path = tmp_path / "model.pb"
    path.write_bytes(meta(GIVEN))
    assert content(memoryview(path.read_bytes())) == "meta_net"
    np.testing.assert_array_equal(netc.load(path).run({"data": X}, ["y"])["y"], X @ W.T + B)
    path.write_bytes(meta(LOAD))
    assert read_net(path).weights_file is None, "the parameters are in a database"


def test_other_weights_replace_those_of_a_predictor(tmp_path):
    path, other = tmp_path / "predictor.minidb", tmp_path / "params.pb"
    path.write_bytes(database(meta(LOAD)))
    other.write_bytes(caffe2.TensorProtos(protos=[tensor(-W, "w"), tensor(B, "b")]).SerializeToString())
    np.testing.assert_array_equal(netc.load(path, weights=other).run({"data": X}, ["y"])["y"], -X @ W.T + B)


def test_the_predictor_that_caffe2_exported():
    definition = read_net(FOLDER / "predictor.minidb")
    assert [layer.type for layer in definition.layers][:3] == ["Conv", "MaxPool", "Conv"]
    assert definition.weights_file == FOLDER / "predictor.minidb"
    assert {layer.name for layer in read_any(definition.weights_file).layers} == set(np.load(FOLDER / "params.npz"))


def test_a_database_without_nets_and_one_of_several_models(tmp_path):
    path = tmp_path / "params.minidb"
    path.write_bytes(record("w", blob(tensor(W, "w"))))
    with pytest.raises(NetcError, match="does not contain a net") as caught:
        read_net(path)
    assert caught.value.diagnostics[0].code == "E806"
    path.write_bytes(meta(LOAD, models=2))
    with pytest.raises(NetcError, match="contains several models: `PREDICT_NET_TYPE_small`, `PREDICT_NET_TYPE_smallx`"):
        read_net(path)


@pytest.mark.parametrize("cut", [3, 40, 200])
def test_a_truncated_predictor(tmp_path, cut):
    path = tmp_path / "predictor.minidb"
    path.write_bytes(database(meta(LOAD))[:-cut])
    with pytest.raises(NetcError) as caught:
        netc.load(path)
    assert caught.value.diagnostics[0].code == "E403"
