import numpy as np
import pytest

from netc.schema import caffe
from netc.weights import BlobArray, SolverState, read_blob, read_solverstate, write_blob, write_solverstate
from netc.weights.caffemodel import MAX_BYTES
from netc.weights.wire import VARINT, delimited, tag
from tests.weights.fixtures import REFERENCE, array, blob_proto, code_of, error_of, parsed, saved


@pytest.mark.parametrize("name", ["adam", "convbn"])
def test_states_that_caffe_wrote(name, tmp_path):
    path = REFERENCE / f"{name}.solverstate"
    state, proto = read_solverstate(path), parsed(path, caffe.SolverState())
    assert (state.iter, state.learned_net, state.current_step) == (proto.iter, proto.learned_net, proto.current_step)
    for blob, theirs in zip(state.history, proto.history, strict=True):
        assert blob.data.ravel().tolist() == list(theirs.data)
    write_solverstate(tmp_path / "again", state)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_fields_of_a_fork_are_skipped():
    path = REFERENCE / "ssd.solverstate"
    state, proto = read_solverstate(path), parsed(path, caffe.SolverState())
    assert (state.iter, state.learned_net) == (5, proto.learned_net)
    assert [blob.shape for blob in state.history] == [tuple(blob.shape.dim) for blob in proto.history]


def test_values_of_every_kind(tmp_path):
    before = SolverState(123456, "ä.caffemodel", (BlobArray(array(3, 2, dtype="<f8")), BlobArray(array(4))), 17)
    write_solverstate(tmp_path / "s", before)
    proto, after = parsed(tmp_path / "s", caffe.SolverState()), read_solverstate(tmp_path / "s")
    assert (proto.iter, proto.learned_net, proto.current_step) == (123456, "ä.caffemodel", 17)
    assert (after.iter, after.learned_net, after.current_step) == (123456, "ä.caffemodel", 17)
    for ours, theirs in zip(before.history, after.history, strict=True):
        np.testing.assert_array_equal(theirs.data, ours.data, strict=True)
    write_solverstate(tmp_path / "s", SolverState(0, None, ()))
    assert read_solverstate(tmp_path / "s").learned_net is None


def test_errors_name_the_blob(tmp_path):
    bad = caffe.SolverState(iter=3, learned_net="a", history=[blob_proto(array(2)), caffe.BlobProto(data=[1, 2])])
    error = error_of(read_solverstate, saved(tmp_path, bad.SerializeToString()))
    assert error.diagnostics[0].code == "E404"
    assert "in blob 1 of the history" in error.diagnostics[0].notes
    wrong = tag(1, VARINT) + b"\3" + delimited(2, b"a") + delimited(4, b"b")
    assert code_of(read_solverstate, saved(tmp_path, wrong)) == "E403"


def test_more_than_protobuf_holds(tmp_path):
    big = BlobArray(np.broadcast_to(np.float32(0), (MAX_BYTES // 4,)))
    assert code_of(write_solverstate, tmp_path / "s", SolverState(1, None, (big,))) == "E407"


def test_the_mean_that_caffe_computed(tmp_path):
    path = REFERENCE / "mean.binaryproto"
    mean, proto = read_blob(path), parsed(path, caffe.BlobProto())
    assert mean.shape == (1, 1, 28, 28)
    assert mean.ravel().tolist() == list(proto.data)
    write_blob(tmp_path / "again", mean)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("values", [array(3, 4, 5), array(2, 3, 4, 5, dtype="<f8"), array(7), array(6, 4)[::2].T])
def test_blobs_of_any_shape(values, tmp_path):
    write_blob(tmp_path / "b", values)
    np.testing.assert_array_equal(read_blob(tmp_path / "b"), values, strict=True)
    proto = parsed(tmp_path / "b", caffe.BlobProto())
    assert proto.HasField("shape") == (values.ndim != 4)
