"""Files that Caffe wrote, and messages of the schema to compare with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.schema import caffe

REFERENCE = Path(__file__).parent.parent / "reference" / "weights"
SNAPSHOTS = ("adam", "convbn", "siamese", "ssd")


def array(*shape: int, dtype: str = "<f4") -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def blob_proto(values: np.ndarray, legacy: bool = False):
    message = caffe.BlobProto(data=values.ravel().tolist())
    if legacy:
        message.num, message.channels, message.height, message.width = values.shape
    else:
        message.shape.dim.extend(values.shape)
    return message


def parsed(path: Path, message):
    """The file as protobuf reads it."""
    message.ParseFromString(path.read_bytes())
    return message


def saved(folder: Path, data: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def code_of(function, *arguments) -> str:
    """The code of the one error that a call raises."""
    return error_of(function, *arguments).diagnostics[0].code


def error_of(function, *arguments) -> NetcError:
    with pytest.raises(NetcError) as caught:
        function(*arguments)
    assert len(caught.value.diagnostics) == 1
    return caught.value
