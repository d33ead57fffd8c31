"""Init nets that we write are read back, by our reader and as messages of Caffe2."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.init_net import read_weights
from netc.schema import caffe2
from netc.weights.init_net_file import write_init_net

BLOBS = {
    "conv/w:0": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "large": np.random.default_rng(1).normal(size=(300, 100)).astype(np.float32),
    "wide": np.array([0.5, -1.0]),
    "iteration": np.array([-5, 2**40], np.int64),
    "label": np.array([[1, -2]], np.int32),
    "short": np.array([-3], np.int16),
    "mask": np.array([True, False]),
}


def test_blobs_are_read_back(tmp_path):
    path = tmp_path / "init_net.pb"
    write_init_net(path, BLOBS, ["lock"], "trained")
    found = {layer.name: layer.blobs[0].data for layer in read_weights(path).layers}
    assert list(found) == list(BLOBS)
    for name, array in BLOBS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_the_message_is_caffe2s(tmp_path):
    path = tmp_path / "init_net.pb"
    write_init_net(path, {**BLOBS, "bytes": np.array([[0, 255, 7]], np.uint8)}, ["lock"], "trained")
    net = caffe2.NetDef.FromString(path.read_bytes())
    assert net.name == "trained"
    operators = {op.output[0]: op for op in net.op}
    types = {name: op.type for name, op in operators.items()}
    assert types["conv/w:0"] == types["empty"] == "GivenTensorFill"
    assert types["iteration"] == "GivenTensorInt64Fill"
    assert types["mask"] == "GivenTensorBoolFill"
    assert types["wide"] == "GivenTensorDoubleFill"
    assert types["bytes"] == "GivenTensorByteStringToUInt8Fill"
    assert types["lock"] == "CreateMutex"
    shape, values = operators["conv/w:0"].arg
    assert (shape.name, list(shape.ints), values.name) == ("shape", [2, 3, 4], "values")
    np.testing.assert_array_equal(np.array(values.floats, np.float32), BLOBS["conv/w:0"].ravel())
    assert list(operators["iteration"].arg[1].ints) == [-5, 2**40]
    assert operators["bytes"].arg[1].strings == [b"\x00\xff\x07"]
    assert not operators["lock"].arg


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.array([0.1]), "float64 numbers"), (np.array([1], np.float16), "float16"), (np.array(["a"]), "type str")],
)
def test_what_init_nets_cannot_hold(tmp_path, array, message):
    with pytest.raises(NetcError, match=message) as caught:
        write_init_net(tmp_path / "init_net.pb", {"x": array})
    assert caught.value.diagnostics[0].code == "E409"
    assert not list(tmp_path.iterdir())
