"""Files of Caffe2's tensors, made from messages of the schema."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from netc.schema import caffe2

FOLDER = Path(__file__).parent.parent / "reference" / "weights" / "caffe2"


def record(key: str, value: bytes) -> bytes:
    """A record of a minidb."""
    return struct.pack("<ii", len(key.encode()), len(value)) + key.encode() + value


def tensor(values: np.ndarray, name: str = "x", begin: int | None = None, **fields: object):
    """A TensorProto of floats; with `begin`, `values` are the segment of a tensor whose `dims` are given."""
    made = caffe2.TensorProto(name=name, data_type=1, dims=fields.pop("dims", values.shape), **fields)
    made.float_data.extend(values.ravel().tolist())
    if begin is not None:
        made.segment.begin, made.segment.end = begin, begin + values.size
    return made


def blob(made) -> bytes:
    """A BlobProto with a tensor."""
    return caffe2.BlobProto(name=made.name, type="Tensor", tensor=made).SerializeToString()


def chunks(*segments) -> bytes:
    """A minidb of the segments of one tensor, in this order."""
    return b"".join(record(f"{one.name}#%{index}", blob(one)) for index, one in enumerate(segments))
