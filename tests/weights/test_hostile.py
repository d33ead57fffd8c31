"""Files that are made to break the reader, and files of another kind."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.schema import caffe2
from netc.weights import read, read_blob, read_caffemodel, read_solverstate, wire
from netc.weights.wire import VARINT, delimited, tag, varint
from tests.weights.fixtures import REFERENCE, blob_proto, code_of, error_of, saved

VALID = {
    read_caffemodel: [(REFERENCE / f"{name}.caffemodel").read_bytes() for name in ("adam", "convbn")]
    + [(REFERENCE / "v1_weights.caffemodel").read_bytes()],
    read_solverstate: [(REFERENCE / "adam.solverstate").read_bytes()],
    read_blob: [(REFERENCE / "mean.binaryproto").read_bytes()[:100], blob_proto(np.ones((2, 3))).SerializeToString()],
}
CASES = [(reader, data) for reader, files in VALID.items() for data in files]


def outcome(reader, path):
    """What the reader returns, and the code of the error that it raises."""
    try:
        return reader(path), None
    except NetcError as error:
        return None, error.diagnostics[0].code


def look(reader, path) -> None:
    """Read a file and everything in it; only NetcError may come out."""
    found, code = outcome(reader, path)
    assert code in {None, "E401", "E402", "E403", "E404", "E405", "E406"}
    layers = getattr(found, "layers", ())
    blobs = [blob for layer in layers for blob in layer.blobs] + list(getattr(found, "history", ()))
    for blob in blobs:
        assert blob.statistics.count == blob.data.size == np.prod(blob.shape)


def mutated(data: bytes, changes) -> bytes:
    out = bytearray(data)
    for kind, where, value in changes:
        at = where % (len(out) + 1)
        if kind == "set" and at < len(out):
            out[at] = value
        elif kind == "flip" and at < len(out):
            out[at] ^= 1 << value % 8
        elif kind == "insert":
            out[at:at] = bytes([value]) * (value % 5)
        elif kind == "delete":
            del out[at : at + value % 9]
        elif kind == "cut" and value < 30:
            del out[at:]
    return bytes(out)


change = st.tuples(
    st.sampled_from(["set", "flip", "insert", "delete", "cut"]),
    st.integers(0, 80) | st.integers(0, 2000),
    st.integers(0, 255),
)


@settings(max_examples=600, deadline=None)
@given(case=st.sampled_from(CASES), changes=st.lists(change, min_size=1, max_size=5))
def test_mutated_files(case, changes, tmp_path_factory):
    reader, data = case
    look(reader, saved(tmp_path_factory.getbasetemp(), mutated(data, changes), "mutated"))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), layer=st.booleans(), reader=st.sampled_from([read, read_solverstate, read_blob]))
@example(data=delimited(7, delimited(7, b"\x0a")), layer=True, reader=read)
@example(data=delimited(7, tag(5, VARINT)), layer=True, reader=read)
def test_any_bytes(data, layer, reader, tmp_path_factory):
    whole = delimited(100, data) if layer else data
    look(reader, saved(tmp_path_factory.getbasetemp(), whole, "bytes"))


@settings(max_examples=200, deadline=None)
@given(changes=st.lists(change, min_size=1, max_size=5), solver=st.booleans())
def test_mutated_hdf5(changes, solver, tmp_path_factory):
    kind = "solverstate" if solver else "caffemodel"
    data = mutated((REFERENCE / f"sgd.{kind}.h5").read_bytes(), changes)
    look(read_solverstate if solver else read, saved(tmp_path_factory.getbasetemp(), data, "mutated.h5"))


def test_every_truncation_of_a_file(tmp_path):
    data = (REFERENCE / "adam.caffemodel").read_bytes()
    codes = [outcome(read, saved(tmp_path, data[:length]))[1] for length in range(1, len(data))]
    assert set(codes[1:]) == {None, "E403"}
    assert codes[0] == "E402"  # a line break: a text
    assert codes.count(None) == 6  # after the net's name, and after each of the six layers except the last


def blob_file(*shape: int, values: int = 0, legacy: bool = False) -> bytes:
    if legacy:
        extents = b"".join(tag(n, VARINT) + varint(e) for n, e in enumerate(shape, 1))
    else:
        extents = delimited(7, delimited(1, b"".join(map(varint, shape))))
    return delimited(100, delimited(1, b"conv") + delimited(7, delimited(5, bytes(4 * values)) + extents))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (blob_file(2, 3, values=5), "the blob at byte 11 has the shape 2x3, 6 values, but holds 5"),
        (blob_file(2, -3, values=6), "the blob at byte 11 has the shape 2x-3: an extent is negative"),
        (blob_file(2, 3, -1, 1, values=6, legacy=True), "the blob at byte 11 has the shape 2x3x-1x1: an extent is neg"),
        (blob_file(1 << 33, 1 << 33), "the blob at byte 11 has the shape 8589934592x8589934592: more than 2147483647"),
        (blob_file(1 << 62, 0, 1 << 62), "the blob at byte 11 has the shape 4611686018427387904x0x"),
        (blob_file(*[1] * 33, values=1), "the blob at byte 11 has more than 32 axes"),
        (blob_file(values=0), "the blob at byte 11 has the shape (), 1 values, but holds 0"),
    ],
)
def test_impossible_shapes(data, message, tmp_path):
    error = error_of(read, saved(tmp_path, data))
    assert str(error).startswith(message)
    assert error.diagnostics[0].code == "E404"
    assert error.diagnostics[0].notes[1] == "in blob 0 of layer `conv`"


def test_a_diff_of_a_different_size(tmp_path):
    message = blob_proto(np.ones((2, 3)))
    message.diff.append(1)
    assert "the diff of the blob" in str(error_of(read_blob, saved(tmp_path, message.SerializeToString())))


@pytest.mark.parametrize(
    "data",
    [
        b"\xa2\x06\x00" * (wire.BUDGET // wire.KEPT),
        delimited(100, b"\x3a\x02\x3a\x00" * (wire.BUDGET // wire.KEPT)),
        delimited(100, delimited(7, b"\x2a\x00" * (wire.BUDGET // wire.KEPT))),
        delimited(100, b"\x48\x00" * wire.BUDGET),
        delimited(100, tag(20, 3) + b"\x7b\x7c" * wire.BUDGET + tag(20, 4)),
    ],
    ids=["layers", "blobs", "pieces", "fields", "groups"],
)
@pytest.mark.slow
def test_small_files_that_expand(data, tmp_path):
    assert code_of(read, saved(tmp_path, data)) == "E405"


@pytest.mark.parametrize(
    "group",
    [b"\x0b" * 200, b"\x0b\x0b\x14\x0c", b"\x0b\x08", b"\x0b", b"\x0c", b"\x00\x00", b"\x0f", b"\x08" + b"\x80" * 11],
    ids=["deep", "crossed", "number", "open", "end", "zero", "wire", "varint"],
)
def test_damaged_fields(group, tmp_path):
    error = error_of(read, saved(tmp_path, delimited(100, group)))
    assert error.diagnostics[0].code == "E403"
    assert "byte" in str(error)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"b")
    return buffer.getvalue()


def init_net() -> bytes:
    net = caffe2.NetDef(name="init")
    fill = net.op.add(type="GivenTensorFill", output=["w"])
    fill.arg.add(name="values", floats=[1.0, 2.0])
    return net.SerializeToString()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'name: "LeNet"\nlayer {\n  name: "conv1"\n}\n', "a text file"),
        ('\nname: "Ünet" # \U0001f600\n'.encode() * 400, "a text file"),
        (zipped(), "a zip archive"),
        (pickle.dumps({"a": 1}), "a Python pickle"),
        ((REFERENCE / "adam.solverstate").read_bytes(), "a Caffe solver state"),
        ((REFERENCE / "ssd.solverstate").read_bytes(), "a Caffe solver state"),
        ((REFERENCE / "mean.binaryproto").read_bytes(), "a single blob, such as a mean file"),
        (blob_proto(np.ones(3)).SerializeToString(), "a single blob, such as a mean file"),
        (init_net(), "a Caffe2 net"),
    ],
)
def test_files_of_other_types(data, what, tmp_path):
    path = saved(tmp_path, data, "net.caffemodel")
    error = error_of(read, path)
    assert str(error).splitlines()[0] == f"`{path}` is {what}, not a Caffe weight file"
    assert error.diagnostics[0].code == "E402"


def test_files_of_another_type_than_expected():
    weights = REFERENCE / "adam.caffemodel"
    assert str(error_of(read_solverstate, weights)) == f"`{weights}` is a Caffe weight file, not a Caffe solver state"
    assert code_of(read_blob, weights) == "E402"
    assert code_of(read_caffemodel, REFERENCE / "sgd.caffemodel.h5") == "E402"
    assert code_of(read, REFERENCE / "sgd.solverstate.h5") == "E402"
    assert code_of(read_solverstate, REFERENCE / "sgd.caffemodel.h5") == "E402"


def test_no_layers(tmp_path):
    assert code_of(read, saved(tmp_path, delimited(12, b"\x00\x01"))) == "E402"
    named = read(saved(tmp_path, delimited(1, b"flatten_axis0")))
    assert (named.name, named.layers) == ("flatten_axis0", ())


@pytest.mark.parametrize("reader", [read, read_caffemodel, read_solverstate, read_blob])
def test_no_file(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "the file is empty" in str(error_of(reader, saved(tmp_path, b"")))
    assert "no such file" in str(error_of(reader, tmp_path / "missing"))
    assert "not a regular file" in str(error_of(reader, tmp_path))
    assert "not a regular file" in str(error_of(reader, tmp_path / "pipe"))
    assert code_of(reader, "a\0b") == "E401"
