import numpy as np
import pytest

from netc.schema import caffe, is_bvlc
from netc.weights import BlobArray, LayerBlobs, Weights, read, read_caffemodel, write_caffemodel
from netc.weights.caffemodel import MAX_BYTES, V1_TYPES
from netc.weights.wire import FIXED32, VARINT, delimited, tag, varint
from tests.weights.fixtures import REFERENCE, SNAPSHOTS, array, blob_proto, code_of, error_of, parsed, saved


def net_without_blobs(path) -> bytes:
    net = parsed(path, caffe.NetParameter())
    for layer in net.layer:
        del layer.blobs[:]
    return net.SerializeToString()


def first_blob(tmp_path, message: bytes) -> BlobArray:
    return read_caffemodel(saved(tmp_path, delimited(100, delimited(7, message)))).layers[0].blobs[0]


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_reads_what_protobuf_reads(name):
    path = REFERENCE / f"{name}.caffemodel"
    net, weights = parsed(path, caffe.NetParameter()), read_caffemodel(path)
    assert weights.name == net.name
    assert [(layer.name, layer.type) for layer in weights.layers] == [(layer.name, layer.type) for layer in net.layer]
    for ours, theirs in zip(weights.layers, net.layer, strict=True):
        for blob, proto in zip(ours.blobs, theirs.blobs, strict=True):
            assert blob.shape == tuple(proto.shape.dim)
            assert blob.data.ravel().tolist() == list(proto.data)
            assert blob.diff is None
            assert not blob.legacy


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_writes_byte_for_byte_what_caffe_wrote(name, tmp_path):
    path = REFERENCE / f"{name}.caffemodel"
    write_caffemodel(tmp_path / "again", read(path), net_without_blobs(path))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_without_a_net_names_types_and_blobs_are_written(tmp_path):
    diff = array(2, 3)
    layers = (
        LayerBlobs("a", "Convolution", (BlobArray(array(2, 3), diff), BlobArray(array(3, dtype="<f8")))),
        LayerBlobs("ä/b", "ReLU"),
        LayerBlobs("s", "Scale", (BlobArray(array(4, 5, dtype="<f2")), BlobArray(np.float32(7).reshape(())))),
        LayerBlobs("empty", "", (BlobArray(np.empty((0, 4), np.float32)),)),
    )
    write_caffemodel(tmp_path / "w", Weights(layers, "net"))
    net = parsed(tmp_path / "w", caffe.NetParameter())
    assert [layer.name for layer in net.layer] == ["a", "ä/b", "s", "empty"]
    assert list(net.layer[0].blobs[0].diff) == diff.ravel().tolist()
    assert list(net.layer[0].blobs[1].double_data) == array(3, dtype="<f8").tolist()
    assert net.SerializeToString() == (tmp_path / "w").read_bytes()
    again = read_caffemodel(tmp_path / "w")
    for ours, theirs in zip(layers, again.layers, strict=True):
        assert (ours.name, ours.type) == (theirs.name, theirs.type)
        for before, after in zip(ours.blobs, theirs.blobs, strict=True):
            np.testing.assert_array_equal(after.data, before.data, strict=before.data.dtype != np.float16)
    np.testing.assert_array_equal(again.layers[0].blobs[0].diff, diff)


def test_strided_arrays_are_written_in_order(tmp_path):
    values = array(4, 6)
    write_caffemodel(tmp_path / "w", Weights((LayerBlobs("a", "", (BlobArray(values.T[::2]),)),)))
    np.testing.assert_array_equal(read(tmp_path / "w").layers[0].blobs[0].data, values.T[::2])


def test_layers_of_equal_names_are_filled_in_order(tmp_path):
    net = caffe.NetParameter(layer=[{"name": "a"}, {"name": "b"}, {"name": "a"}])
    one, two = (LayerBlobs("a", "", (BlobArray(array(n)),)) for n in (2, 3))
    write_caffemodel(tmp_path / "w", Weights((one, two)), net.SerializeToString())
    weights = read(tmp_path / "w")
    assert [len(layer.blobs) for layer in weights.layers] == [1, 0, 1]
    assert weights.by_name["a"].blobs[0].shape == (3,)


def test_a_name_that_is_not_utf8_is_written_back_unchanged(tmp_path):
    path = saved(tmp_path, delimited(100, delimited(1, b"caf\xe9")))
    weights = read_caffemodel(path)
    assert weights.layers[0].name == "caf\udce9"
    write_caffemodel(tmp_path / "again", weights)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_v1_file_that_caffe_read():
    path = REFERENCE / "v1_weights.caffemodel"
    net, weights = parsed(path, caffe.NetParameter()), read(path)
    assert [layer.name for layer in weights.layers] == [layer.name for layer in net.layers]
    blobs = [blob for layer in weights.layers for blob in layer.blobs]
    protos = [blob for layer in net.layers for blob in layer.blobs]
    assert len(blobs) == 5
    for blob, proto in zip(blobs, protos, strict=True):
        assert blob.legacy
        assert blob.shape == (proto.num, proto.channels, proto.height, proto.width)
        assert blob.data.ravel().tolist() == list(proto.data)


def test_v1_types_are_named_as_their_v2_successors():
    values = caffe.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values
    numbers = {value.number: value for value in values if is_bvlc(value)}
    assert len(V1_TYPES) == len(numbers)
    spelled = {number: V1_TYPES[number].lower() for number in numbers}
    names = {number: value.name.replace("_", "").lower() for number, value in numbers.items()}
    assert {n: (spelled[n], names[n]) for n in numbers if spelled[n] != names[n]} == {
        21: ("softmaxwithloss", "softmaxloss")
    }


def test_v1_types_of_the_file(tmp_path):
    layers = [delimited(4, name) + tag(5, VARINT) + varint(n) for name, n in ((b"c", 4), (b"n", 0), (b"f", 99))]
    weights = read_caffemodel(saved(tmp_path, b"".join(delimited(2, layer) for layer in layers)))
    assert [(layer.name, layer.type) for layer in weights.layers] == [("c", "Convolution"), ("n", ""), ("f", "99")]


def test_v0_layers_inside_v1_layers(tmp_path):
    values = array(5, 4, 3, 2)
    inner = caffe.V0LayerParameter(name="conv1", type="conv", blobs=[blob_proto(values, legacy=True)])
    net = caffe.NetParameter(name="old", layers=[caffe.V1LayerParameter(layer=inner, bottom=["data"])])
    weights = read(saved(tmp_path, net.SerializeToString()))
    assert [(layer.name, layer.type) for layer in weights.layers] == [("conv1", "conv")]
    np.testing.assert_array_equal(weights.layers[0].blobs[0].data, values)


def test_v1_layers_take_precedence_over_v2_layers_as_in_caffe(tmp_path):
    net = caffe.NetParameter(layer=[{"name": "new"}], layers=[{"name": "old"}])
    assert [layer.name for layer in read(saved(tmp_path, net.SerializeToString())).layers] == ["old"]


def test_fields_of_forks_are_skipped(tmp_path):
    values = array(3, 4)
    layer = caffe.LayerParameter(name="a", type="X", blobs=[blob_proto(values)]).SerializeToString()
    group = tag(300, 3) + delimited(7, b"not a blob") + tag(301, 3) + tag(301, 4) + tag(300, 4)
    strange = delimited(148, b"\xff\xff") + group + tag(149, 1) + bytes(8) + tag(150, FIXED32) + bytes(4)
    weights = read(saved(tmp_path, delimited(100, strange + layer + strange)))
    assert weights.layers[0].name == "a"
    np.testing.assert_array_equal(weights.layers[0].blobs[0].data, values)


def test_c3d_has_five_extents_and_other_field_numbers(tmp_path):
    values, diff = array(2, 3, 4, 5, 6), array(1, 719)
    extents = b"".join(tag(n, VARINT) + varint(e) for n, e in enumerate(values.shape, 1))
    message = extents + delimited(6, values.tobytes()) + delimited(7, np.resize(diff, 720).tobytes())
    blob = first_blob(tmp_path, message)
    assert blob.legacy
    np.testing.assert_array_equal(blob.data, values)
    np.testing.assert_array_equal(blob.diff, np.resize(diff, values.shape))


@pytest.mark.parametrize(("number", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_nvidia_raw_data(number, dtype, tmp_path):
    values = array(3, 5, dtype=dtype)
    types = b"".join(tag(n, VARINT) + varint(number) for n in (10, 11))
    shape = delimited(7, delimited(1, b"\x03\x05"))
    message = shape + types + delimited(12, values.tobytes()) + delimited(13, (values * 2).tobytes())
    blob = first_blob(tmp_path, message)
    np.testing.assert_array_equal(blob.data, values, strict=True)
    np.testing.assert_array_equal(blob.diff, values * 2, strict=True)


@pytest.mark.parametrize("raw_type", [b"", tag(10, VARINT) + b"\x03"])
def test_raw_data_without_a_float_type(raw_type, tmp_path):
    message = delimited(7, delimited(1, b"\x01")) + raw_type + delimited(12, bytes(4))
    assert code_of(first_blob, tmp_path, message) == "E406"


def test_unpacked_values_are_a_view(tmp_path):
    values = array(10, 21)
    unpacked = b"".join(tag(5, FIXED32) + value.tobytes() for value in values.ravel())
    blob = first_blob(tmp_path, delimited(7, b"\x08\x0a\x08\x15") + unpacked)
    np.testing.assert_array_equal(blob.data, values)
    assert blob.data.strides == (21 * 5, 5)


@pytest.mark.parametrize("cut", [1, 63, 64, 65, 320, 500])
def test_consecutive_values_end_at_another_field(cut, tmp_path):
    values = array(501)
    parts = [tag(5, FIXED32) + value.tobytes() for value in values]
    parts.insert(cut, delimited(20, b"between"))
    blob = first_blob(tmp_path, b"".join(parts) + delimited(7, delimited(1, varint(501))))
    np.testing.assert_array_equal(blob.data, values)


def test_packed_values_in_pieces_and_doubles(tmp_path):
    values = array(7, dtype="<f8")
    pieces = delimited(8, values[:3].tobytes()) + tag(8, 1) + values[3].tobytes() + delimited(8, values[4:].tobytes())
    blob = first_blob(tmp_path, delimited(5, bytes(28)) + delimited(7, delimited(1, b"\x07")) + pieces)
    np.testing.assert_array_equal(blob.data, values, strict=True)


def test_blobs_are_read_only_views_of_the_file(tmp_path):
    path = saved(tmp_path, (REFERENCE / "convbn.caffemodel").read_bytes())
    first = read(path).layers[2].blobs[0]
    assert not first.data.flags.writeable
    assert not first.data.flags.owndata
    write_caffemodel(path, Weights(()))
    assert path.read_bytes() == b""
    np.testing.assert_array_equal(first.data, read(REFERENCE / "convbn.caffemodel").layers[2].blobs[0].data)


def test_more_than_protobuf_holds(tmp_path):
    blob = BlobArray(np.broadcast_to(np.float32(0), (MAX_BYTES // 4, 1)))
    error = error_of(write_caffemodel, tmp_path / "w", Weights((LayerBlobs("big", "", (blob,)),)))
    assert error.diagnostics[0].code == "E407"
    assert "HDF5" in error.diagnostics[0].help
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_match_the_net(tmp_path):
    weights = Weights((LayerBlobs("a", "", (BlobArray(array(2)),)),))
    v1 = caffe.NetParameter(layers=[{"name": "a"}]).SerializeToString()
    v2 = caffe.NetParameter(layer=[{"name": "b"}]).SerializeToString()
    assert code_of(write_caffemodel, tmp_path / "w", weights, v1) == "E409"
    assert "`a`" in str(error_of(write_caffemodel, tmp_path / "w", weights, v2))
    assert code_of(write_caffemodel, tmp_path / "w", Weights((LayerBlobs("a", "", (None,)),))) == "E409"
    whole = Weights((LayerBlobs("a", "", (BlobArray(np.arange(3)),)),))
    assert code_of(write_caffemodel, tmp_path / "w", whole) == "E406"
    assert not list(tmp_path.iterdir())


def test_wrong_wire_types_name_the_byte(tmp_path):
    for layer in (tag(1, VARINT) + b"\1", tag(2, VARINT) + b"\4", tag(7, FIXED32) + bytes(4)):
        error = error_of(read, saved(tmp_path, delimited(100, layer)))
        assert error.diagnostics[0].code == "E403"
        assert "at byte 3 " in str(error)


def test_a_packed_payload_of_invalid_size(tmp_path):
    error = error_of(first_blob, tmp_path, delimited(5, bytes(6)))
    assert str(error) == "field 5 at byte 5 has 6 bytes, not a multiple of the 4 bytes of a float32"
    assert error.diagnostics[0].notes == (f"in `{tmp_path / 'file'}`, 13 bytes", "in blob 0 of layer ``")


def test_a_length_beyond_the_end(tmp_path):
    whole = (REFERENCE / "adam.caffemodel").read_bytes()
    error = error_of(read, saved(tmp_path, whole[:500]))
    assert error.diagnostics[0].message == "field 100 at byte 390 has 200 bytes, of which only 106 are present"
    assert error.diagnostics[0].help == "the file is truncated: download or copy it again"
