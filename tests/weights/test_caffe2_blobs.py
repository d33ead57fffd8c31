"""Files of Caffe2's tensors: minidb, TensorProtos, BlobProto, TensorProto; Caffe2's own, and hostile ones."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.schema import caffe, caffe2
from netc.weights import read_any
from netc.weights.file_type import content
from netc.weights.wire import LENGTH, VARINT, Wire, delimited, tag, varint
from tests.weights.caffe2_files import FOLDER, blob, chunks, record, tensor
from tests.weights.fixtures import code_of, error_of, saved
from tests.weights.test_hostile import change, mutated, outcome

WROTE = ("predictor.minidb", "params_chunked.minidb", "params_tensorprotos.pb")
TEN = np.arange(10, dtype=np.float32)


def arrays(path) -> dict[str, np.ndarray]:
    found = read_any(path)
    assert all(len(layer.blobs) == 1 for layer in found.layers)
    return {layer.name: layer.blobs[0].data for layer in found.layers}


def of_tensor(tmp_path, made) -> np.ndarray:
    """The only tensor of a TensorProtos file."""
    (found,) = arrays(saved(tmp_path, caffe2.TensorProtos(protos=[made]).SerializeToString())).values()
    return found


@pytest.mark.parametrize("name", WROTE)
def test_parameters_as_caffe2_saved_them(name):
    wanted = dict(np.load(FOLDER / "params.npz"))
    found = arrays(FOLDER / name)
    assert found.keys() == wanted.keys()
    for blob_name, array in wanted.items():
        np.testing.assert_array_equal(found[blob_name], array, strict=True)


def test_every_type_that_caffe2_saved():
    wanted = dict(np.load(FOLDER / "values.npz"))
    wanted["scalar"] = wanted["scalar"].reshape(())
    found = arrays(FOLDER / "blobs.minidb")
    assert found.keys() == wanted.keys(), "the blob of strings is left out"
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    np.testing.assert_array_equal(arrays(FOLDER / "blob_f32.pb")["f32"], wanted["f32"], strict=True)


@pytest.mark.parametrize(
    ("kind", "field", "values", "dtype"),
    [
        (2, "int32_data", [1, -2, 2**31 - 1, -(2**31)], np.int32),
        (5, "int32_data", [0, 1, 1], np.bool_),
        (6, "int32_data", [0, 255, 128], np.uint8),
        (7, "int32_data", [-128, 127], np.int8),
        (8, "int32_data", [0, 65535], np.uint16),
        (9, "int32_data", [-300, 32767], np.int16),
        (10, "int64_data", [2**62, -3, 0], np.int64),
        (13, "double_data", [1e300, -0.5], np.float64),
        (1, "float_data", [1.5, -2.5], np.float32),
    ],
)
def test_types_of_elements(tmp_path, kind, field, values, dtype):
    made = caffe2.TensorProto(name="x", data_type=kind, dims=[len(values)], **{field: values})
    np.testing.assert_array_equal(of_tensor(tmp_path, made), np.array(values, dtype), strict=True)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(1, "f4"), (2, "i4"), (3, "u1"), (5, "?"), (6, "u1"), (7, "i1"), (9, "i2"), (10, "i8"), (12, "f2"), (13, "f8")],
)
@pytest.mark.parametrize("field", ["byte_data", "raw_data"])
def test_elements_as_bytes(tmp_path, kind, dtype, field):
    wanted = np.array([0, 1, 100], dtype).reshape(3, 1)
    made = caffe2.TensorProto(name="x", data_type=kind, dims=[3, 1], **{field: wanted.tobytes()})
    np.testing.assert_array_equal(of_tensor(tmp_path, made), wanted, strict=True)


def test_float16_as_bits_in_integers_and_bfloat16_as_upper_halves(tmp_path):
    half = np.array([3.0625, -0.316, 65504, -0.0], np.float16)
    made = caffe2.TensorProto(name="x", data_type=12, dims=[4], int32_data=half.view(np.uint16).tolist())
    np.testing.assert_array_equal(of_tensor(tmp_path, made), half, strict=True)
    upper = np.array([1.5, -2, 0.25], np.float32)
    made = caffe2.TensorProto(name="x", data_type=1, data_format=1, dims=[3])
    made.raw_data = (upper.view(np.uint32) >> 16).astype("<u2").tobytes()
    np.testing.assert_array_equal(of_tensor(tmp_path, made), upper, strict=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 300), max_size=60))
def test_packed_numbers_are_those_of_protobuf(values):
    data = caffe2.TensorProto(int64_data=values).SerializeToString()
    fields = [field for field in Wire(memoryview(data), "").fields(0, len(data)) if field.wire == LENGTH]
    found = [Wire(memoryview(data), "").varints(field, np.int64) for field in fields]
    np.testing.assert_array_equal(np.concatenate([*found, np.empty(0, np.int64)]), np.array(values, np.int64))


def test_numbers_across_blocks(tmp_path):
    wanted = np.random.default_rng(0).integers(-(2**31), 2**31, 40_000).astype(np.int32)
    made = caffe2.TensorProto(name="x", data_type=2, dims=[40_000], int32_data=wanted.tolist())
    np.testing.assert_array_equal(of_tensor(tmp_path, made), wanted, strict=True)


def test_chunks_in_any_order(tmp_path):
    parts = [tensor(TEN[a:b], "w", begin=a, dims=(2, 5)) for a, b in ((4, 8), (0, 4), (8, 10))]
    found = arrays(saved(tmp_path, chunks(*parts)))
    np.testing.assert_array_equal(found["w"], TEN.reshape(2, 5), strict=True)


def test_large_floats_are_views_of_the_file(tmp_path):
    path = saved(tmp_path, caffe2.TensorProtos(protos=[tensor(TEN)]).SerializeToString())
    (found,) = arrays(path).values()
    assert not found.flags.owndata


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (caffe2.TensorProtos(protos=[tensor(TEN)]).SerializeToString(), "tensors"),
        (tensor(TEN).SerializeToString(), "tensor"),
        (caffe2.TensorProto(data_type=1, float_data=[2.0]).SerializeToString(), "tensor"),
        (blob(tensor(TEN)), "tensor_blob"),
        (chunks(tensor(TEN)), "minidb"),
        (caffe.NetParameter(name="just a name").SerializeToString(), "caffemodel"),
        (caffe.BlobProto(num=1, channels=1, height=1, width=10, data=TEN).SerializeToString(), "blob"),
        (caffe.BlobProto(data=TEN, shape=caffe.BlobShape(dim=[10])).SerializeToString(), "blob"),
    ],
)
def test_types_of_files(data, kind):
    assert content(memoryview(data)) == kind


def _damaged(values=TEN, **fields) -> bytes:
    return chunks(tensor(values, "w", **fields))


HOSTILE = {
    "negative extent": (_damaged(dims=(-10,)), "E404", "an extent is negative"),
    "fewer values than the shape": (_damaged(dims=(2, 6)), "E404", "12 values, but holds 10"),
    "more values than the shape": (_damaged(dims=(2, 2)), "E404", "4 values, but holds 10"),
    "extents whose product overflows": (_damaged(dims=(2**62, 2**62, 4)), "E404", "more than"),
    "no values, and huge extents": (_damaged(TEN[:0], dims=(0, 2**62)), "E404", "more than"),
    "too many axes": (_damaged(dims=(1,) * 40), "E404", "more than 32 axes"),
    "segment past the end": (_damaged(begin=5, dims=(10,)), "E404", "10 values, but its segment is 5 to 15"),
    "negative segment": (_damaged(begin=-5, dims=(10,)), "E404", "its segment is -5 to 5"),
    "segment without its values": (
        chunks(caffe2.TensorProto(name="w", data_type=1, dims=[4], segment={"begin": 0, "end": 2}, float_data=[1])),
        "E404",
        "the segment 0 to 2, but holds 1 values",
    ),
    "unknown type": (chunks(tensor(TEN, "w").__class__(name="w", data_type=14, dims=[1])), "E406", "type 14"),
    "half an element": (
        chunks(caffe2.TensorProto(name="w", data_type=1, dims=[1], raw_data=b"abc")),
        "E403",
        "not a multiple of the 4 bytes",
    ),
    "truncated": (_damaged()[:-3], "E403", "truncated"),
    "a few bytes after the last record": (_damaged() + b"\1\0", "E403", "only 2 of its first 8 bytes"),
    "huge key": (_damaged() + b"\0\0\0\x7f\0\0\0\0" + bytes(50), "E403", "no record starts"),
    "huge value": (_damaged() + b"\2\0\0\0\xff\xff\xff\x7fab" + bytes(50), "E403", "of which only 52 are present"),
    "negative length": (_damaged() + b"\xff\xff\xff\xff\1\0\0\0" + bytes(50), "E403", "no record starts"),
    "quantized": (
        record("w", caffe2.BlobProto(name="w", type="int8::Int8TensorCPU", content=b"").SerializeToString() + b"*\0"),
        "E406",
        "quantized",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    data, code, message = HOSTILE[name]
    error = error_of(read_any, saved(tmp_path, data))
    assert error.diagnostics[0].code == code
    assert message in str(error.diagnostics[0].message) + str(error.diagnostics[0].help)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (((0, 4), (4, 8)), "the values 8 to 10 of `w` are missing"),
        (((0, 4), (6, 10)), "the values 4 to 6 of `w` are missing"),
        (((0, 4), (3, 10)), "overlaps the one before, which ends at 4"),
        (((0, 10), (0, 10)), "overlaps the one before"),
        (((4, 10),), "the values 0 to 4 of `w` are missing"),
    ],
)
def test_segments_that_overlap_or_leave_a_gap(tmp_path, places, message):
    data = chunks(*(tensor(TEN[a:b], "w", begin=a, dims=(10,)) for a, b in places))
    error = error_of(read_any, saved(tmp_path, data))
    assert error.diagnostics[0].code == "E404"
    assert message in error.diagnostics[0].message


def test_segments_of_different_tensors(tmp_path):
    data = chunks(tensor(TEN[:4], "w", begin=0, dims=(10,)), tensor(TEN[4:], "w", begin=4, dims=(5, 2)))
    assert code_of(read_any, saved(tmp_path, data)) == "E404"


def test_a_number_that_does_not_end_or_is_too_long(tmp_path):
    for payload in (b"\x80" * 3, b"\x80" * 11 + b"\1", b"\x80" * 200_000 + b"\1"):
        body = tag(1, VARINT) + varint(1) + tag(2, VARINT) + varint(2) + delimited(4, payload)
        assert code_of(read_any, saved(tmp_path, delimited(1, body))) == "E403"


def test_many_small_records_take_bounded_time(tmp_path):
    path = saved(tmp_path, record("w", b"\n\1w\22\6Tensor\32\4\x08\0\x10\1") * 200_000)
    began = time.process_time()
    assert code_of(read_any, path) == "E405"
    assert time.process_time() - began < 10


CASES = [(FOLDER / name).read_bytes() for name in (*WROTE, "blobs.minidb", "blob_f32.pb")]


@settings(max_examples=300, deadline=None)
@given(data=st.sampled_from(CASES), changes=st.lists(change, min_size=1, max_size=5))
def test_mutated_files(data, changes, tmp_path_factory):
    path = saved(tmp_path_factory.getbasetemp(), mutated(data, changes), "mutated_caffe2")
    found, code = outcome(read_any, path)
    assert code in {None, "E401", "E402", "E403", "E404", "E405", "E406"}
    for layer in getattr(found, "layers", ()):
        for one in layer.blobs:
            assert one.statistics.count == one.data.size == np.prod(one.shape)
