from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.data.sources.datum import Datum, read_datum
from netc.schema import caffe

INT32 = st.integers(-(2**31), 2**31 - 1)


@given(
    INT32, INT32, INT32, INT32, st.binary(max_size=300), st.booleans(), st.lists(st.floats(width=32, allow_nan=False))
)
def test_reads_what_protobuf_writes(channels, height, width, label, data, encoded, floats):
    message = caffe.Datum(
        channels=channels, height=height, width=width, label=label, data=data, encoded=encoded, float_data=floats
    )
    found = read_datum(message.SerializeToString())
    assert (found.channels, found.height, found.width, found.label) == (channels, height, width, label)
    assert bytes(found.data) == data
    assert found.encoded == encoded
    assert ([] if found.floats is None else found.floats.tolist()) == floats


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        assert isinstance(read_datum(data), Datum)


def test_packed_floats_and_unknown_fields():
    unknown = bytes([12 << 3 | 2, 3]) + b"abc" + bytes([13 << 3 | 1]) + bytes(8) + bytes([14 << 3, 0x96, 1])
    packed = bytes([6 << 3 | 2, 8]) + np.array([1.5, -2], "<f4").tobytes()
    found = read_datum(unknown + packed + bytes([5 << 3, 7]))
    assert found.label == 7
    assert found.floats.tolist() == [1.5, -2]


def test_the_image_is_a_view():
    buffer = caffe.Datum(data=b"x" * 100).SerializeToString()
    assert read_datum(memoryview(buffer)).data.obj is buffer


def test_a_truncated_record():
    whole = caffe.Datum(channels=3, height=2, width=2, data=bytes(12), label=300).SerializeToString()
    for end in (1, 7, len(whole) - 1):
        with pytest.raises(ValueError, match=r"ends inside|reaches past"):
            read_datum(whole[:end])
