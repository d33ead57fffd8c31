"""Two forms of one net: where they differ."""

import numpy as np

from netc.conversion.convert import convert
from netc.conversion.models import net_of
from netc.conversion.verify import difference, verify
from tests.conversion.nets import inputs_of


def test_the_first_value_that_departs_is_reported(mixed, tmp_path):
    prototxt, weights, _ = mixed
    done = convert(prototxt, weights, to="onnx", output=tmp_path / "out")
    import onnx

    changed = onnx.load(done.files[0])
    for tensor in changed.graph.initializer:
        if tensor.name == "fc.weight":
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1.01, tensor.name))
    onnx.save(changed, tmp_path / "changed.onnx")
    found = verify(prototxt, tmp_path / "changed.onnx", weights=weights)
    assert found.first.name == "fc"
    assert not found.agrees


def test_a_dump_is_compared_by_blobs_on_its_own_input(mixed, tmp_path):
    prototxt, weights, model = mixed
    feed = inputs_of(model, 2)
    net = net_of(model)
    blobs = [blob for blob in net.graph.blobs if blob != "data"]
    np.savez(tmp_path / "dump.npz", **feed, **net.run(feed, blobs))
    found = verify(tmp_path / "dump.npz", prototxt, weights=weights)
    assert found.agrees, found.first
    assert [one.name for one in found.differences] == blobs
    done = convert(prototxt, weights, to="py", output=tmp_path / "out")
    assert verify(done.files[0], tmp_path / "dump.npz").agrees


def test_differences_report_shapes_and_nan():
    assert difference("x", np.zeros((2, 3)), np.zeros((2, 4))).note == "[2,3] and [2,4]"
    assert difference("x", np.array([1, np.nan]), np.array([1, 2.0])).note == "1 and 0 NaN"
    assert difference("x", np.array([np.inf, 1]), np.array([np.inf, 1])).departs is False
    assert difference("x", np.array([np.inf, 1]), np.array([1, 1])).departs is True
    assert difference("x", np.zeros(3), np.zeros(3)).relative == 0
